"""A text that is read in one go is what a closer look makes of it, and is refused for the same faults."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Final

import pytest
from msgspec.structs import asdict

from inquiry_svc.intake.bodies import SubmitIn, TextIn
from inquiry_svc.intake.checking import NotValid, _read_in_one_go, checked
from inquiry_svc.intake.strict_json import NotJson


class LookedAt(TextIn, kw_only=True):
    """Of another type, which is never read in one go."""


class SubmitLookedAt(SubmitIn, kw_only=True):
    """The same of a submit."""


LOOKED_AT: Final[Mapping[type[TextIn], type[TextIn]]] = {TextIn: LookedAt, SubmitIn: SubmitLookedAt}
KINDS: Final = pytest.mark.parametrize("kind", [TextIn, SubmitIn])


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
    submit = raw.replace(b'{"', b'{"sender_email":"a@example.org","', 1)
    assert found(submit, SubmitIn) == found(submit, SubmitLookedAt)


@pytest.mark.parametrize(
    "more",
    [
        b'"sender_email":"b@example.org"',
        b'"sender_email" :"a@example.org"',
        b'"sender_name":" Ana"',
        b'"sender_name":"Ana\\n"',
        b'"sender_name":null',
        b'"sender_name":"A","sender_name":null',
        b'"source":"pigeon"',
        b'"source":"api","source" : "web"',
        b'"received_at":"2026-11-26T12:00:00Z"',
        b'"received_at":"2026-11-26T12:00:00"',
        b'"received_at":"1970-11-26T12:00:00Z"',
        b'"received_at":1',
        b'"metadata":{}',
        b'"metadata":{"a":"b"}',
        b'"metadata":{"a":"b","a":"c"}',
        b'"metadata":{"a":1e999}',
        b'"metadata":"text"',
        b'"metadata":' + b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'"more":"text"',
    ],
)
def test_what_asks_for_a_closer_look_at_a_submit_gets_it(more: bytes) -> None:
    raw = b'{"body":"a","sender_email":"a@example.org",' + more + b"}"
    assert found(raw, SubmitIn) == found(raw, SubmitLookedAt)


@pytest.mark.parametrize("address", ["", "ana", "ana@example", " ana@example.org", "ana@example.org\t", "a n@b.org"])
def test_an_address_that_is_none_is_looked_at_closely(address: str) -> None:
    raw = json.dumps({"body": "a", "sender_email": address}).encode()
    assert _read_in_one_go(raw, SubmitIn) is None
    assert found(raw, SubmitIn) == found(raw, SubmitLookedAt)


@KINDS
def test_whatever_is_sent_is_read_in_one_go_as_it_is_by_a_closer_look(kind: type[TextIn]) -> None:
    seed = random.randrange(2**32)
    dice, in_one_go = random.Random(seed), 0
    names: tuple[str, ...] = ("body", "body", "body", "subject", "subject", "body ")
    if kind is SubmitIn:
        names += ("sender_name", "source", "received_at")
    texts = ("a b", "a b", 'a\n"', " a", "ü", "", "\\", '\\"', "web", "2026-11-26T12:00:00+01:00")
    pieces = ['"', "\\", "\\u", "\\n", "body", "subject", ":", ",", " ", "{", "}", "\u2028", "\ud800", "é", "1", "null"]
    for number in range(20_000):
        members = [
            f'"{dice.choice(names)}":{json.dumps(dice.choice(texts), ensure_ascii=dice.random() < 0.2)}'
            for _ in range(dice.choice((1, 1, 2, 2, 3)))
        ]
        if kind is SubmitIn:
            members.insert(dice.randrange(len(members) + 1), '"sender_email":"ana@example.org"')
        text = "{" + ",".join(members) + "}"
        for _ in range(dice.choice((0, 0, 1, 2))):
            place = dice.randrange(len(text))
            text = text[:place] + dice.choice(pieces) + text[place + dice.choice((0, 1)) :]
        raw = text.encode(errors="surrogatepass")
        in_one_go += _read_in_one_go(raw, kind) is not None
        assert found(raw, kind) == found(raw, LOOKED_AT[kind]), f"seed {seed}, round {number}: {raw!r}"
    assert in_one_go > 500, f"seed {seed}: too few were to tell"


def test_plain_texts_are_read_in_one_go() -> None:
    for raw in (b'{"body":"a"}', b'{"subject": "", "body": "a\\n\\"b\\" \xc3\xa9"}', b'{"body":"C:\\\\users\\\\"}'):
        assert _read_in_one_go(raw, TextIn) == checked(raw, TextIn)
        assert asdict(checked(raw, TextIn)) == asdict(checked(raw, LookedAt))
    raw = b'{"body":"a","sender_email":"a@example.org","source":"web","received_at":"2026-11-26T12:00:00Z"}'
    assert _read_in_one_go(raw, SubmitIn) == checked(raw, SubmitIn)
    assert asdict(checked(raw, SubmitIn)) == asdict(checked(raw, SubmitLookedAt))
