"""Emoticons are words: what is a face and what only has its signs, and that each kind says what people mean by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inquiry_svc.inquiries import Text
from inquiry_svc_plugins.classifiers import xgboost as plugin
from inquiry_svc_plugins.classifiers.xgboost.faces import with_faces
from inquiry_svc_plugins.classifiers.xgboost.model import load_model
from inquiry_svc_plugins.classifiers.xgboost.places import runs_of

MODEL = load_model(plugin.PACKAGED_MODEL)
SIGNS = st.lists(st.sampled_from([*":;<)(][|*/\\DdPp3-o^'", " ", "a", "7", ".", "\n", "\ufeff"])).map("".join)


def face_in(text: str) -> str:
    """The one that is read."""
    (found,) = (character for character in with_faces(text) if "\ue000" < character < "\uf000")
    return found


@pytest.mark.parametrize(
    "alike",
    [
        (":)", ":-)", ":))", ":]", ":o)", "thanks :)", "thanks:)", "thanks!:)", ":) thanks", "(thanks :)"),
        (":(", ":-(", ":((", ":[", "closed :(", "closed.:("),
        (":D", ":-D", ":d"),
        (":P", ":p", ";p"),
        (":/", ":-/", ":\\", ":|"),
        (":'(", ":'(("),
        (";)", ";-)", ";]"),
        ("<3", "<33"),
        (":*", ";*"),
    ],
    ids=lambda alike: alike[0],
)
def test_what_shows_the_same_face_is_read_alike(alike: tuple[str, ...]) -> None:
    assert len({face_in(text) for text in alike}) == 1


def test_each_kind_of_face_is_another_word() -> None:
    assert len({face_in(text) for text in (":)", ":(", ":D", ":P", ":/", ":'(", ";)", "<3", ":*")}) == 9


@pytest.mark.parametrize(
    "text",
    [
        "a[1:]",
        "http://example.org",
        "at 5:30)",
        "C:\\temp",
        "f(): (x)",
        "std::(d)",
        ":Dear",
        "x<3",
        "1:)x",
        "<)",
        "a :",
        "",
    ],
)
def test_what_only_has_the_signs_of_a_face_is_none(text: str) -> None:
    assert with_faces(text) == text


@given(SIGNS)
def test_every_sign_keeps_its_place(text: str) -> None:
    read = with_faces(text)
    assert len(read) == len(text)
    assert all(one == other for one, other in zip(text, read, strict=True) if one.isalnum() and one not in "3oDdPp")


def test_a_face_is_one_word_whose_place_is_all_of_its_signs() -> None:
    text = Text("", "Parcel came :-( today")
    spans = [span for spans in runs_of(text).spans for span in spans]
    assert [text.body[span.start : span.end] for span in spans] == ["Parcel", "came", ":-(", "today"]


def test_a_face_tells_the_feeling_where_the_words_tell_none() -> None:
    for words in ("so the parcel came today", "just saw the new app", "monday again"):
        glad, sad = MODEL.verdicts([Text("", f"{words} :)"), Text("", f"{words} :(")])
        assert (glad.sentiment.label, sad.sentiment.label) == ("positive", "negative"), words
