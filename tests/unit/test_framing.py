"""Where a request ends is told from its head, or not at all."""

from __future__ import annotations

import random

import pytest

from inquiry_svc.web.framing import UNCLEAR, size_of

HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"


def test_a_request_ends_where_its_length_says_however_that_is_written() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(500):
        length = dice.randrange(10_000)
        name = "".join(dice.choice((letter.upper(), letter.lower())) for letter in "content-length")
        header = f"{dice.choice([name, 'Content-Length'])}:{' ' * dice.randrange(3)}{length}".encode()
        others = [b"X-Filler: %d" % number for number in range(dice.randrange(4))]
        lines = dice.sample([header, *others], 1 + len(others))
        head = HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
        assert size_of(head + bytes(dice.randrange(20_000))) == len(head) + length, head


def test_a_request_without_a_length_has_no_body() -> None:
    assert size_of(HEAD + b"\r\nmore") == len(HEAD) + 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1e3\r\n\r\n",
        HEAD + b"content-length:\r\n\r\n",
        HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"y\r\n\r\n",
    ],
)
def test_what_does_not_say_plainly_where_it_ends_is_unclear(data: bytes) -> None:
    assert size_of(data) == UNCLEAR


def test_a_length_in_the_body_is_not_the_head_s() -> None:
    body = b"\r\nContent-Length: 99"
    assert size_of(HEAD + b"\r\n" + body) == len(HEAD) + 2
    assert size_of(HEAD + b"content-length: 21\r\n\r\n" + body) == len(HEAD) + len(b"content-length: 21\r\n\r\n") + 21
