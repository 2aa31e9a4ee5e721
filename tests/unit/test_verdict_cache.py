"""Verdicts in a cache that is trusted with nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from inquiry_svc.inquiries import Text, Verdict
from inquiry_svc.release import VERSION
from inquiry_svc.testing.samples import MODEL, sample_verdict
from inquiry_svc.verdict_cache import VerdictCodec

CODEC = VerdictCodec(MODEL)
KEY = CODEC.key(Text("", "one"))
VALUE = CODEC.value(KEY, sample_verdict())
any_text = st.text(st.characters(exclude_categories=[]))
texts = st.builds(Text, any_text, any_text)
scores = st.lists(st.floats(0, 1), min_size=13, max_size=13)


@given(text=texts, scores=scores)
def test_a_verdict_comes_back_to_the_last_bit(text: Text, scores: list[float]) -> None:
    key, verdict = CODEC.key(text), Verdict.from_scores(scores)
    assert repr(CODEC.verdict(key, CODEC.value(key, verdict))) == repr(verdict)


@given(st.binary(max_size=200) | st.binary(min_size=len(VALUE), max_size=len(VALUE)))
def test_foreign_bytes_are_a_miss(value: bytes) -> None:
    assert CODEC.verdict(KEY, value) is None or value == VALUE


@given(place=st.integers(0, len(VALUE) - 1), flip=st.integers(1, 255), keep=st.integers(0, len(VALUE) - 1))
def test_a_corrupted_or_truncated_value_is_a_miss(place: int, flip: int, keep: int) -> None:
    corrupted = bytearray(VALUE)
    corrupted[place] ^= flip
    assert CODEC.verdict(KEY, bytes(corrupted)) is None
    assert CODEC.verdict(KEY, VALUE[:keep]) is None
    assert CODEC.verdict(KEY, VALUE + b"\0") is None


def test_a_value_that_belongs_to_another_key_is_a_miss() -> None:
    assert CODEC.verdict(CODEC.key(Text("", "two")), VALUE) is None
    assert CODEC.verdict(KEY, VALUE) is not None


@given(one=texts, other=texts)
def test_two_texts_have_one_key_only_if_they_are_the_same(one: Text, other: Text) -> None:
    assert (CODEC.key(one) == CODEC.key(other)) == (one == other)


def test_the_end_of_a_subject_is_not_the_start_of_a_body() -> None:
    assert CODEC.key(Text("ab", "c")) != CODEC.key(Text("a", "bc"))
    assert CODEC.key(Text("", "1:x")) != CODEC.key(Text("1:", "x"))


def test_a_new_model_never_gives_an_old_answer() -> None:
    other = VerdictCodec(replace(MODEL, digest="0b" * 16))
    assert other.key(Text("", "one")) != KEY
    assert other.verdict(KEY, VALUE) is None


def test_a_new_release_never_gives_an_old_ones_answer() -> None:
    """What a text is worth as evidence is decided by code, which no digest of a model tells."""
    one, other = VerdictCodec(MODEL, release="1.0"), VerdictCodec(MODEL, release="1.1")
    assert one.key(Text("", "one")) != other.key(Text("", "one"))
    assert VerdictCodec(MODEL, release=VERSION).key(Text("", "one")) == KEY
