"""JSON is read strictly, and each fault is named by its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inquiry_svc.intake.strict_json import MAX_DEPTH, Fault, NotJson, faults, parse

# What a client may send: text without NUL and surrogates, whole numbers of 64 bits, finite numbers.
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


def _found(raw: bytes | str) -> list[tuple[str, str]]:
    document = parse(raw.encode() if isinstance(raw, str) else raw)
    return [(fault.pointer, fault.message) for fault in faults(document)]


@given(document=_PLAIN, ascii_only=st.booleans())
def test_what_json_can_say_is_read_as_it_was_written(document: object, ascii_only: bool) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only).encode()
    assert parse(raw) == json.loads(raw)
    assert repr(parse(raw)) == repr(json.loads(raw))
    assert list(faults(parse(raw))) == []


@pytest.mark.parametrize(
    ("raw", "pointer", "message"),
    [
        ('{"a": NaN}', "/a", "is NaN, which is not JSON"),
        ('{"a": Infinity}', "/a", "is Infinity, which is not JSON"),
        ('{"a": [-Infinity]}', "/a/0", "is -Infinity, which is not JSON"),
        ('{"a": 1e999}', "/a", "is a number too large"),
        ('{"a": -1e999}', "/a", "is a number too large"),
        ('{"a": 9223372036854775808}', "/a", "is a whole number of more than 64 bits"),
        ('{"a": -9223372036854775809}', "/a", "is a whole number of more than 64 bits"),
        ('{"a": ' + "9" * 50_000 + "}", "/a", "is a whole number of more than 64 bits"),
        (r'{"a": "x\u0000"}', "/a", "holds a NUL character"),
        (r'{"a": "\ud800"}', "/a", "holds a lone surrogate"),
        (r'{"a": "\udc00\ud800"}', "/a", "holds a lone surrogate"),
        (r'{"a": {"b\u0000": 1}}', "/a/b\\u0000", "the key holds a NUL character"),
        (r'{"a": {"\udfff": 1}}', "/a/\\udfff", "the key holds a lone surrogate"),
        ('{"a": 1, "a": 2}', "/a", "stands there twice"),
        (r'{"body": 1, "\u0062ody": 2}', "/body", "stands there twice"),
        ('{"a": [{"b/~": 1, "b/~": 1}]}', "/a/0/b~1~0", "stands there twice"),
        ("NaN", "", "is NaN, which is not JSON"),
    ],
)
def test_what_json_lets_through_elsewhere_is_refused_by_its_place(raw: str, pointer: str, message: str) -> None:
    assert _found(raw) == [(pointer, message)]


def test_a_surrogate_pair_is_one_character_and_no_fault() -> None:
    assert parse(rb'"\ud83d\ude00"') == "\U0001f600"
    assert _found(r'"\ud83d\ude00"') == []


def test_the_largest_and_the_smallest_whole_numbers_pass() -> None:
    assert parse(b"[9223372036854775807, -9223372036854775808]") == [2**63 - 1, -(2**63)]


def test_every_fault_is_told_and_not_only_the_first() -> None:
    raw = r'{"a": NaN, "b": "\u0000\ud800", "c": [1e999, 2, 99999999999999999999], "a": 1, "c": 1}'
    assert _found(raw) == [
        ("/a", "stands there twice"),
        ("/b", "holds a NUL character"),
        ("/b", "holds a lone surrogate"),
        ("/c", "stands there twice"),
    ]


@pytest.mark.parametrize("levels", [1, MAX_DEPTH])
def test_a_document_as_deep_as_allowed_passes(levels: int) -> None:
    assert _found("[" * levels + "]" * levels) == []
    assert _found('{"a":' * levels + "1" + "}" * levels) == []


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 1_000, 30_000])
def test_a_deeper_document_is_refused(levels: int) -> None:
    for raw in ("[" * levels + "]" * levels, '{"a":' * levels + "1" + "}" * levels):
        [(_, message)] = _found(raw)
        assert message == f"is nested deeper than {MAX_DEPTH} levels"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"{",
        b"{]",
        b"nul",
        b"'a'",
        b"{a: 1}",
        b"[1,]",
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"\xff",
        b'"\xed\xa0\x80"',
        *(b'"a\nb"', b'"\\x41"', b'"\\u12"', b"1 2", b"\xef\xbb\xbf{}", b"{}\0", b"/**/1", b'"\0"', b"[" * 30_000),
    ],
)
def test_what_is_not_json_is_said_to_be_none(raw: bytes) -> None:
    try:
        document = parse(raw)
    except NotJson as error:
        assert str(error)
    else:
        assert list(faults(document)), "only nesting that was not read to its end may come this far"
        assert raw == b"[" * 30_000


@given(raw=st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_document_or_not_json(raw: bytes) -> None:
    try:
        found = list(faults(parse(raw)))
    except NotJson as error:
        str(error).encode()
    else:
        for fault in found:
            assert isinstance(fault, Fault)
            fault.pointer.encode()
