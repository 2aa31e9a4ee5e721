"""What is read as a plain head is what aiohttp's parser reads too, to the byte; and whatever is unusual is not read."""

from __future__ import annotations

import asyncio
import random

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser
from msgspec.structs import asdict

from inquiry_svc.web.heads import Asking, Head, Heads


def new_heads() -> Heads[Asking]:
    return Heads(lambda asking: asking)


def read_head(data: bytes) -> Head[Asking] | None:
    return new_heads().read(data)


PLAIN = b"POST /api/v1/inquiries/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-Request-ID:  a: B\r\n\r\n"


def test_a_plain_head_is_read() -> None:
    found = read_head(b"POST /p?q HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-ID: a: B\r\n\r\n12345more")
    assert found is not None
    assert asdict(found.asked) == {"method": "POST", "target": "/p?q", "fields": {"host": "x", "x-id": "a: B"}}
    assert (found.body_at, found.end) == (62, 67)
    short = read_head(b"GET / HTTP/1.1\r\n\r\n")
    assert short is not None
    assert asdict(short.asked) == {"method": "GET", "target": "/", "fields": {}}
    assert (short.body_at, short.end) == (18, 18)


@pytest.mark.parametrize("more", [b"", b"X-ID: a\r\n"])
def test_a_head_that_differs_in_its_length_alone_is_read_once(more: bytes) -> None:
    heads, asked = new_heads(), []
    for length in (7, 123, 123_456_789):
        raw = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n" % (length, more)
        found = heads.read(raw + b"more\r\n\r\n")
        assert found is not None
        assert (found.body_at, found.end) == (len(raw), len(raw) + length)
        asked.append(found.asked)
    assert asked[0] is asked[1] is asked[2]
    for odd in (b"", b"1234567890", b"+1", b"1 ", b"1\r\nContent-Length: 1"):
        assert heads.read(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %b\r\n%b\r\n" % (odd, more)) is None


@pytest.mark.parametrize(
    "line",
    [
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: identity",
        b"Content-Encoding: gzip",
        b"Expect: 100-continue",
        b"Upgrade: websocket",
        b"Connection: close",
        b"Connection: keep-alive, X-Request-ID",
        b"Content-Length: 5",  # a second one
        b"content-length: 6",
        b"Host : x",
        b" folded",
        b"X-Space: trailing ",
        b"X-Tab: a\tb",
        b"X-Nul: a\0b",
        b"X-Bell: \x07",
        b"X-Umlaut: \xc3\xa4",
        b"X-Bare: a\nX-Hidden: b",
        b"X-Bare: a\rX-Hidden: b",
        b"no colon",
        b": no name",
        b'"quoted": name',
        b"X-Long: " + b"x" * 5_000,
    ],
)
def test_an_unusual_line_is_not_read(line: bytes) -> None:
    before, after = PLAIN.split(b"Host: x", 1)
    assert read_head(PLAIN.replace(b":  a: B", b": a")) is not None
    assert read_head((before + b"Host: x\r\n" + line + after).replace(b":  a: B", b": a")) is None


@pytest.mark.parametrize("length", [b"+5", b"-5", b"5 ", b"5,5", b"0x5", b"5_0", b"\xb2", b"", b"9999999999"])
def test_a_length_that_is_no_plain_number_is_not_read(length: bytes) -> None:
    assert read_head(b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n") is None


@pytest.mark.parametrize(
    "line", [b"POST / HTTP/1.0", b"PUT / HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"POST  / HTTP/1.1", b"post / HTTP/1.1"]
)
def test_an_unusual_request_line_is_not_read(line: bytes) -> None:
    assert read_head(line + b"\r\nHost: x\r\n\r\n") is None


def test_a_head_that_is_not_whole_is_not_read() -> None:
    whole = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert all(read_head(whole[:end]) is None for end in range(len(whole)))


async def test_what_is_read_is_what_aiohttp_reads() -> None:
    seed = random.randrange(2**32)
    dice, read, heads = random.Random(seed), 0, new_heads()
    for number in range(20_000):
        raw = _damaged(b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\nA-b: c d\r\n\r\n" + b"x" * 12, dice)
        head = read_head(raw)
        assert heads.read(raw) == head, f"seed {seed}, round {number}: {raw!r} after others on its connection"
        if head is None or head.end > len(raw):
            continue
        read += 1
        protocol = BaseProtocol(asyncio.get_running_loop())
        parser = HttpRequestParser(protocol, protocol._loop, 2**16)
        try:
            messages, _, _ = parser.feed_data(raw[: head.end])
        except HttpProcessingError:
            continue  # it refuses more than we do, and answers that itself
        told = f"seed {seed}, round {number}: {raw!r}"
        assert len(messages) == 1, told
        message, payload = messages[0]
        assert (message.method, message.path) == (head.asked.method, head.asked.target), told
        fields = {name.lower(): value for name, value in message.headers.items()}
        assert int(fields.pop("content-length", "0")) == head.end - head.body_at, told
        assert fields == head.asked.fields, told
        assert payload.is_eof() or head.end == head.body_at, told
        assert (payload.read_nowait() if head.end > head.body_at else b"") == raw[head.body_at : head.end], told
    assert read > 2_000, f"seed {seed}: too few were read to tell"


@pytest.mark.parametrize("data", [b"\x005\r", b"\x0012", b"\0\1\r\n\r\n", b"\0", b"5\r"])
def test_where_no_head_was_read_yet_none_is_known(data: bytes) -> None:
    assert read_head(data) is None


def _damaged(raw: bytes, dice: random.Random) -> bytes:
    """With a few bytes of the head replaced, dropped, doubled or put in, mostly by what means something in HTTP."""
    damaged = bytearray(raw)
    for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
        place, byte = dice.randrange(len(raw) - 12), dice.choice(b'\r\n:\t ,;019aZ-_\0\x80"/?')
        what = dice.randrange(3)
        if what == 0:
            damaged[place] = byte
        elif what == 1:
            del damaged[place]
        else:
            damaged.insert(place, byte)
    return bytes(damaged)
