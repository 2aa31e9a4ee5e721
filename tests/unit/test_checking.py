"""A text that is read in one go is what a closer look makes of it, and is refused for the same faults."""

from __future__ import annotations

import json
import random

import pytest
from msgspec.structs import asdict

from inquiry_svc.intake.bodies import TextIn
from inquiry_svc.intake.checking import NotValid, _plain_text, checked
from inquiry_svc.intake.strict_json import NotJson


class LookedAt(TextIn, kw_only=True):
    """Of another type, which is never read in one go."""


def found(raw: bytes, kind: type[TextIn]) -> object:
    try:
        return asdict(checked(raw, kind))
    except NotValid as error:
        return error.faults
    except NotJson as error:
        return str(error)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"body":"a","body":"b"}',
        b'{"body":"a","subject":"s","body" : "b"}',
        b'{"subject":"a","subject":"b","body":"c"}',
        b'{"body":"a","bod\\u0079":"b"}',
        b'{"body":"a\\u0000"}',
        b'{"body":"\\ud800"}',
        b'{"body":"\\u00fc"}',
        b'{"body":" a"}',
        b'{"body":"a\\n"}',
        b'{"body":"a","subject":"\\tb"}',
        b'{"body":"a","subject":"b\xe2\x80\xa8"}',
        b'{"body":" "}',
        b'{"body":""}',
        b'{"body":"a","more":1}',
        b'{"body":null}',
        b'{"body":"a","subject":NaN}',
        b'{"body":"\xff"}',
        b'{"body":"a"} ',
        b'{"body":"a"}x',
        b"[]",
        b"",
        b'{"body":"a\nb"}',
        json.dumps({"body": "x" * 10_000}).encode(),
        json.dumps({"body": "x" * 10_001}).encode(),
        json.dumps({"body": "a", "subject": "x" * 501}).encode(),
    ],
)
def test_what_asks_for_a_closer_look_gets_it(raw: bytes) -> None:
    assert found(raw, TextIn) == found(raw, LookedAt)


def test_whatever_is_sent_is_read_in_one_go_as_it_is_by_a_closer_look() -> None:
    seed = random.randrange(2**32)
    dice, in_one_go = random.Random(seed), 0
    names, texts = ("body", "body", "body", "subject", "subject", "body "), ("a b", "a b", 'a\n"', " a", "ü", "")
    pieces = ['"', "\\", "\\u", "\\n", "body", "subject", ":", ",", " ", "{", "}", "\u2028", "\ud800", "é", "1", "null"]
    for number in range(20_000):
        members = [
            f'"{dice.choice(names)}":{json.dumps(dice.choice(texts), ensure_ascii=dice.random() < 0.2)}'
            for _ in range(dice.choice((1, 1, 2, 2, 3)))
        ]
        text = "{" + ",".join(members) + "}"
        for _ in range(dice.choice((0, 0, 1, 2))):
            place = dice.randrange(len(text))
            text = text[:place] + dice.choice(pieces) + text[place + dice.choice((0, 1)) :]
        raw = text.encode(errors="surrogatepass")
        in_one_go += _plain_text(raw) is not None
        assert found(raw, TextIn) == found(raw, LookedAt), f"seed {seed}, round {number}: {raw!r}"
    assert in_one_go > 500, f"seed {seed}: too few were to tell"


def test_a_plain_text_is_read_in_one_go() -> None:
    for raw in (b'{"body":"a"}', b'{"subject": "", "body": "a\\n\\"b\\" \xc3\xa9"}'):
        assert _plain_text(raw) == checked(raw, TextIn)
        assert asdict(checked(raw, TextIn)) == asdict(checked(raw, LookedAt))
