"""The sum that an explanation keeps, and what happens to a text whose words are left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from inquiry_svc.explanations import (
    AxisExplanation,
    Span,
    SurfaceFeature,
    Words,
    contest,
    margin_between,
    scores_of,
)
from inquiry_svc.inquiries import AXES, Label, Text, Verdict
from inquiry_svc.leaving_out import MAX_CHARACTERS, NAMED, leave_out, tried
from inquiry_svc.testing.samples import sample_verdict

SCORES = (0.1, 0.2, 0.3, 0.05, 0.05, 0.3, 0.0, 1.0, 0.0, 0.25, 0.25, 0.25, 0.25)


def test_a_contest_is_between_the_two_likeliest_and_of_equals_the_first() -> None:
    verdict = Verdict.from_scores(SCORES)
    assert contest(verdict, "category") == (Label("sales", 0.3), Label("product_feedback", 0.3))
    assert contest(verdict, "sentiment") == (Label("neutral", 1.0), Label("positive", 0.0))
    assert contest(verdict, "urgency") == (Label("low", 0.25), Label("medium", 0.25))
    for axis in AXES:
        assert contest(verdict, axis)[0] == getattr(verdict, axis)
        assert list(scores_of(verdict, axis)) == list(AXES[axis])


def test_a_margin_is_the_logarithm_of_the_odds_and_finite_for_a_probability_of_0() -> None:
    verdict = Verdict.from_scores(SCORES)
    assert margin_between(verdict, "category", "sales", "technical_support") == pytest.approx(math.log(3))
    assert margin_between(verdict, "urgency", "low", "critical") == 0
    assert 700 < margin_between(verdict, "sentiment", "neutral", "positive") < 710


def word(text: str, weight: float, body: str) -> Words:
    start = body.index(text)
    return Words(text, weight, (Span("body", start, start + len(text)),))


def axis_of(words: Sequence[Words], rest: float = 0.0) -> AxisExplanation:
    label, runner_up = contest(sample_verdict(), "category")
    return AxisExplanation(label, runner_up, 2.0, 0.5, tuple(words), (SurfaceFeature("length", 3.0, 0.25),), rest)


def test_the_words_that_are_not_among_the_strongest_go_into_the_rest() -> None:
    body = "one two three"
    explained = axis_of([word("one", 1.0, body), word("two", -0.5, body), word("three", 0.125, body)], rest=0.5)
    strongest = explained.strongest(1)
    assert [words.text for words in strongest.words] == ["one"]
    assert strongest.rest == 0.125
    assert strongest.total == explained.total == 1.875
    assert explained.strongest(9) == explained


def test_what_is_left_out_is_cut_at_its_places_in_both_fields() -> None:
    text = Text("Refund?", "My \U0001f525 refund, refund")
    spans = [Span("body", 13, 19), Span("subject", 0, 6), Span("body", 5, 11), Span("body", 7, 12)]
    assert leave_out(text, spans) == Text("?", "My \U0001f525  ")
    assert leave_out(text, []) == text


def by_words(texts: Sequence[Text]) -> list[Verdict]:
    """Of a plain rule: billing as long as any of three words is there."""
    return [
        sample_verdict("billing" if {"card", "refund", "charged"} & set(text.body.split()) else "sales")
        for text in texts
    ]


def test_words_that_say_the_same_flip_nothing_one_by_one_but_together() -> None:
    body = "card refund charged please"
    words = [word("card", 1.0, body), word("refund", 0.9, body), word("please", -0.5, body), word("charged", 0.4, body)]
    verdict = sample_verdict("billing")
    label, runner_up = contest(verdict, "category")
    margin = margin_between(verdict, "category", label.label, runner_up.label)
    explained = AxisExplanation(label, runner_up, margin, 0.0, tuple(words), ())
    found = tried(Text("", body), {"category": explained}, by_words)["category"]
    assert [each.alone for each in found.words] == [0.0] * 4
    assert found.flip is not None
    assert found.flip.left_out == ("card", "refund", "charged")
    assert [span.start for span in found.flip.spans] == [0, 5, 12]
    assert found.flip.label.label == "sales"


def test_the_smallest_cut_that_flips_is_told() -> None:
    body = "card charge"
    words = [word("charge", 1.0, body), word("card", 0.5, body)]
    verdict = sample_verdict("billing")
    label, runner_up = contest(verdict, "category")
    explained = AxisExplanation(label, runner_up, 1.0, 0.0, tuple(words), ())

    def neither(texts: Sequence[Text]) -> list[Verdict]:
        return [sample_verdict("sales") for _ in texts]

    flip = tried(Text("", body), {"category": explained}, neither)["category"].flip
    assert flip is not None
    assert flip.left_out == ("card",)


def test_no_more_is_tried_than_so_many_words_and_characters() -> None:
    asked: list[int] = []

    def classify(texts: Sequence[Text]) -> list[Verdict]:
        asked.append(len(texts))
        return [sample_verdict() for _ in texts]

    short = " ".join(f"w{number:02}" for number in range(40))
    words = [word(each, 1.0, short) for each in short.split()]
    found = tried(Text("", short), {"category": axis_of(words)}, classify)["category"]
    assert [each.alone is None for each in found.words] == [False] * NAMED + [True] * (40 - NAMED)
    long = short + " " * (MAX_CHARACTERS // 3)
    found = tried(Text("", long), {"category": axis_of(words)}, classify)["category"]
    assert sum(each.alone is not None for each in found.words) == 2
    tried(Text("", long * 3), {"category": axis_of(words)}, classify)
    assert asked == [17, 2], "nothing is asked when the text alone is too long"


@pytest.mark.parametrize(("confidence", "shown"), [(0.5, "0.50"), (0.987, "0.99"), (0.9999, "0.99"), (1.0, "0.99")])
def test_nothing_is_shown_to_people_as_certain(confidence: float, shown: str) -> None:
    assert str(Label("sales", confidence)) == f"sales {shown}"
