"""What clients send is checked by each rule of the interface, and every fault is told at once, in plain words."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from inquiry_svc.intake.bodies import FeedbackIn, ResolveIn, SubmitIn, TextIn
from inquiry_svc.web.incoming import Refusal, validate

_VALID: dict[str, Any] = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}

GOOD_ADDRESSES = [
    "ana@example.org",
    "a@b.co",
    "ANA@EXAMPLE.ORG",
    "ana.maria.lopez@mail.example.co.uk",
    "ana+orders@example.org",
    "o'neil@example.org",
    "!#$%&'*+-/=?^_`{|}~@example.org",
    "1@2.info",
    "_@example.org",
    "ana@xn--bcher-kva.example",
    "ana@b-c.example",
    "ana@123.example",
    "x" * 64 + "@example.org",
    "ana@" + "b" * 63 + ".org",
    "dörte@sörensen.example",
    "коля@пример.рф",
    "δοκιμή@παράδειγμα.δοκιμή",
    "我買@屋企.香港",
    "二ノ宮@黒川.日本",
    "संपर्क@डाटामेल.भारत",
    "ไทย@ตัวอย่าง.ไทย",
    "example@مثال.السعودية",
    "😀@example.org",
]
BAD_ADDRESSES = [
    "",
    "ana",
    "@",
    "ana@",
    "@example.org",
    "ana@localhost",
    "ana@example.o",
    "ana@-example.org",
    "ana@example-.org",
    "ana@example..org",
    "ana@.org",
    "ana@example.org.",
    "ana@exa_mple.org",
    "ana@exam ple.org",
    "ana..maria@example.org",
    ".ana@example.org",
    "ana.@example.org",
    "ana maria@example.org",
    "ana@maria@example.org",
    "ana,maria@example.org",
    "ana@example.org;maria@example.org",
    "<ana@example.org>",
    "Ana <ana@example.org>",
    "mailto:ana@example.org",
    '"ana maria"@example.org',
    "ana@[127.0.0.1]",
    "ana\\@example.org",
    "ana\t@example.org",
    "ana\n@example.org",
    "ana@example.org\r\nBcc: all@example.org",
    "ana\u00a0@example.org",
    "ana\u202e@example.org",
    "ana@exam\u200bple.org",
    "x" * 65 + "@example.org",
    "ana@" + "b" * 64 + ".org",
    "ana@example。org",
]


def _calls_of(work: Callable[[], object]) -> int:
    """How many functions it calls, of Python and of C: what it costs, whatever else the machine has to do."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def _faults(document: object, kind: type[Any] = SubmitIn) -> dict[str, str]:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(Refusal) as refusal:
        validate(raw, kind)
    assert refusal.value.status == 422
    told = {fault.pointer: fault.message for fault in refusal.value.faults}
    assert len(told) == len(refusal.value.faults), "a place was told twice"
    return told


def _submit(**changes: Any) -> SubmitIn:
    return validate(json.dumps(_VALID | changes).encode(), SubmitIn)


@pytest.mark.parametrize("address", GOOD_ADDRESSES)
def test_an_address_of_any_script_is_taken(address: str) -> None:
    assert _submit(sender_email=f"  {address} ").sender_email == address


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    assert _faults(_VALID | {"sender_email": address}) == {"/sender_email": "is not a valid e-mail address"}


def test_an_address_may_have_254_characters_and_no_more() -> None:
    longest = "ana@" + ".".join(["b" * 61] * 4) + ".cc"
    assert len(longest) == 254
    assert _submit(sender_email=longest).sender_email == longest
    longer = longest.replace("@", "a@")
    assert _faults(_VALID | {"sender_email": longer}) == {"/sender_email": "must be at most 254 characters"}


@pytest.mark.parametrize(
    ("field", "fits", "refused", "message"),
    [
        ("body", "x" * 10_000, "x" * 10_001, "must be at most 10,000 characters"),
        ("body", f"  {'é' * 10_000}\n", f"  {'é' * 10_001}\n", "must be at most 10,000 characters"),
        ("body", " x ", "", "must be at least 1 character"),
        ("body", "x", " \t\u2003\n", "must be at least 1 character"),
        ("body", "x", None, "must be a string"),
        ("body", "x", ["x"], "must be a string"),
        ("subject", "x" * 500, "x" * 501, "must be at most 500 characters"),
        ("subject", "", 5, "must be a string"),
        ("sender_name", None, 5, "must be a string"),
        ("sender_name", "x" * 200, "x" * 201, "must be at most 200 characters"),
        ("source", "chat", "fax", "must be one of api, bulk, chat, email, other, web"),
        ("source", "other", "API", "must be one of api, bulk, chat, email, other, web"),
        ("metadata", {}, [], "must be an object"),
        ("metadata", {"a": None}, None, "must be an object"),
        ("metadata", {"a": "x" * 4088}, {"a": "x" * 4089}, "must be at most 4,096 bytes as JSON"),
        ("metadata", {"a": "é" * 2044}, {"a": "é" * 2045}, "must be at most 4,096 bytes as JSON"),
        ("received_at", "2026-11-23T09:00:00+05:30", "2026-11-23T09:00:00", "must be a moment with its time zone"),
        ("received_at", None, "yesterday", "must be a moment with its time zone"),
        ("received_at", "1971-01-01T00:00:00Z", 1_700_000_000, "must be a moment with its time zone"),
        ("received_at", "8999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "must be within the years 1971 to 8999"),
        ("received_at", "2024-02-29T00:00:00Z", "0001-01-01T00:00:00+14:00", "must be within the years 1971 to 8999"),
        ("received_at", "2026-11-23T09:00:00.5Z", "2026-02-30T09:00:00Z", "must be a moment with its time zone"),
        ("received_at", "2026-11-23T09:00:00z", "2026-11-23", "must be a moment with its time zone"),
    ],
)
def test_each_field_has_its_limits(field: str, fits: Any, refused: Any, message: str) -> None:
    _submit(**{field: fits})
    told = _faults(_VALID | {field: refused})
    assert list(told) == [f"/{field}"]
    assert told[f"/{field}"].startswith(message)


@pytest.mark.parametrize("character", ["\x1c", "\x1e", "\x85", "\u180e", "\u200b"])
def test_what_the_document_calls_no_white_space_is_a_text(character: str) -> None:
    assert validate(json.dumps({**_VALID, "body": f" {character}\n"}).encode(), SubmitIn).body == character


@pytest.mark.parametrize("character", [" ", "\t", "\xa0", "\u1680", "\u2003", "\u2029", "\u3000", "\ufeff"])
def test_white_space_alone_is_no_text(character: str) -> None:
    with pytest.raises(Refusal):
        validate(json.dumps({**_VALID, "body": character}).encode(), SubmitIn)


def test_text_is_trimmed_and_metadata_is_not_touched() -> None:
    metadata = {" a ": " b ", "body": " c ", "n": [1, 1.0, 0.1, 2**63 - 1, True, None, {"ü": "\u202e"}]}
    found = _submit(subject=" s\n", body="\tb ", sender_name=" Ana ", metadata=metadata)
    assert (found.subject, found.body, found.sender_name) == ("s", "b", "Ana")
    assert repr(found.metadata) == repr(metadata)


def test_every_fault_is_told_at_once() -> None:
    raw = (
        rb'{"bodi": "x", "subject": 5, "sender_email": "ana", "source": "fax", "received_at": "9999-01-01T00:00:00Z",'
        rb' "metadata": {"a": NaN, "b": "\u0000", "b": 1}, "sender_name": "\ud800"}'
    )
    assert _faults(raw) == {
        "/body": "is required",
        "/subject": "must be a string",
        "/sender_email": "is not a valid e-mail address",
        "/source": "must be one of api, bulk, chat, email, other, web",
        "/received_at": "must be within the years 1971 to 8999",
        "/metadata/a": "is NaN, which is not JSON",
        "/metadata/b": "stands there twice",
        "/sender_name": "holds a lone surrogate",
        "/bodi": "is not a field here; did you mean 'body'?",
    }


@pytest.mark.parametrize("kind", [SubmitIn, TextIn, FeedbackIn, ResolveIn])
def test_a_field_whose_name_no_text_can_hold_is_refused_by_its_place(kind: type[Any]) -> None:
    assert (
        _faults(rb'{"\ud800": 1, "category": "hr", "body": "x", "sender_email": "ana@example.org"}', kind)["/\\ud800"]
        == "the key holds a lone surrogate"
    )


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"body"', b"true"])
def test_only_an_object_is_taken(raw: bytes) -> None:
    assert _faults(raw) == {"": "must be an object"}


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff{}", b"body=x", b"\xef\xbb\xbf{}", b"{'body': 1}", b"{}{}"])
def test_what_is_not_json_is_400_and_says_where(raw: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        validate(raw, SubmitIn)
    assert refusal.value.status == 400
    [fault] = refusal.value.faults
    assert fault.pointer == ""
    assert "character" in fault.message or "byte" in fault.message


@pytest.mark.parametrize("kind", [SubmitIn, TextIn, FeedbackIn, ResolveIn])
def test_a_body_full_of_unknown_fields_is_refused_quickly_and_briefly(kind: type[Any]) -> None:
    few, many = ({f"k{number}": number for number in range(count)} for count in (100, 5_000))
    assert len(_faults(many, kind)) == 50
    more = _calls_of(lambda: _faults(many, kind)) - _calls_of(lambda: _faults(few, kind))
    assert more < 30 * (len(many) - len(few)), "the event loop would stand still"


def test_feedback_must_name_a_label_that_exists() -> None:
    assert validate(b'{"category": "hr"}', FeedbackIn).category == "hr"
    assert _faults({}, FeedbackIn) == {"": "give at least one of category, sentiment, urgency"}
    assert _faults({"reviewer": "Ana", "urgency": None}, FeedbackIn) == {
        "": "give at least one of category, sentiment, urgency"
    }
    assert _faults({"urgency": "now"}, FeedbackIn) == {"/urgency": "must be one of critical, high, low, medium"}


def test_when_an_inquiry_was_resolved_may_be_left_out() -> None:
    assert validate(b"{}", ResolveIn).resolved_at is None
    assert _faults({"resolved_at": "0001-01-01T00:00:00Z"}, ResolveIn) == {
        "/resolved_at": "must be within the years 1971 to 8999"
    }


def test_a_long_name_is_not_sent_back_whole() -> None:
    [pointer] = _faults(_VALID | {"x" * 50_000: 1})
    assert len(pointer) <= 101
