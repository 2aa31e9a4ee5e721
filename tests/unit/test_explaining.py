"""Explanations are asked of the model that decided, a few at once, for a while, and refused where they are nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.contracts import Explainer
from inquiry_svc.errors import CannotExplain, Overloaded, Unavailable
from inquiry_svc.explaining import MAX_AT_ONCE, Explaining
from inquiry_svc.explanations import AxisExplanation, Explanation, Span, Words, contest, margin_between
from inquiry_svc.inquiries import AXES, Model, Text
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.providers import FunctionClassifier
from inquiry_svc.testing.samples import sample_verdict

TEXT = Text("", "My card was charged twice.")


def explanation_by(model: Model, **changes: Any) -> Explanation:
    """One whose only word makes the whole margin."""
    axes = {}
    for axis in AXES:
        label, runner_up = contest(sample_verdict(), axis)
        margin = margin_between(sample_verdict(), axis, label.label, runner_up.label)
        words = Words("card", margin, (Span("body", 3, 7),))
        axes[axis] = replace(AxisExplanation(label, runner_up, margin, 0.0, (words,), ()), **changes)
    return Explanation(model, axes)


class ExplainingClassifier(FunctionClassifier):
    def __init__(self, digest: str, explain: Callable[[Model], Awaitable[Explanation]] | None = None) -> None:
        super().__init__(digest=digest)
        self._explain = explain

    async def explain(self, text: Text) -> Explanation:
        return explanation_by(self.model) if self._explain is None else await self._explain(self.model)


def explaining(*classifiers: FunctionClassifier, timeout_s: float = 5.0) -> Explaining:
    return Explaining(classifiers, metrics=Metrics(OWN_METRICS), timeout_s=timeout_s)


async def test_the_model_that_decided_explains_and_else_the_first() -> None:
    first, second = ExplainingClassifier("1"), ExplainingClassifier("2")
    both = explaining(first, second)
    for decided_by, expected in ((first.model, first), (second.model, second), (Model("gone", "1", "3"), first)):
        assert (await both.explain(TEXT, decided_by)).model == expected.model


async def test_a_classifier_without_explain_cannot() -> None:
    silent = FunctionClassifier()
    assert not isinstance(silent, Explainer)
    with pytest.raises(CannotExplain, match="'function' can't say why"):
        await explaining(silent, ExplainingClassifier("2")).explain(TEXT, silent.model)


async def test_one_more_than_are_worked_on_at_once_is_refused_and_served_later() -> None:
    go_on = asyncio.Event()

    async def wait(model: Model) -> Explanation:
        await go_on.wait()
        return explanation_by(model)

    classifier = ExplainingClassifier("1", wait)
    found = explaining(classifier)
    waiting = [asyncio.create_task(found.explain(TEXT, classifier.model)) for _ in range(MAX_AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await found.explain(TEXT, classifier.model)
    go_on.set()
    assert len(await asyncio.gather(*waiting)) == MAX_AT_ONCE
    await found.explain(TEXT, classifier.model)


async def test_what_takes_too_long_or_was_left_gives_its_place_back() -> None:
    async def never(model: Model) -> Explanation:
        await asyncio.Event().wait()
        raise AssertionError

    classifier = ExplainingClassifier("1", never)
    found = explaining(classifier, timeout_s=0.01)
    for _ in range(2 * MAX_AT_ONCE):
        with pytest.raises(Unavailable, match=r"no explanation within 0\.01 s"):
            await found.explain(TEXT, classifier.model)
    for _ in range(2 * MAX_AT_ONCE):
        leaving = asyncio.create_task(found.explain(TEXT, classifier.model))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving


@pytest.mark.parametrize("changes", [{"base": 0.1}, {"margin": 1.0}, {"words": ()}, {"rest": float("nan")}])
async def test_an_explanation_that_does_not_add_up_is_no_answer(changes: dict[str, Any]) -> None:
    async def wrong(model: Model) -> Explanation:
        return explanation_by(model, **changes)

    classifier = ExplainingClassifier("1", wrong)
    with pytest.raises(ValueError, match="does not add up"):
        await explaining(classifier).explain(TEXT, classifier.model)


async def test_an_explanation_without_an_axis_is_no_answer() -> None:
    async def part(model: Model) -> Explanation:
        return Explanation(model, {"category": explanation_by(model).axes["category"]})

    classifier = ExplainingClassifier("1", part)
    with pytest.raises(ValueError, match="not an explanation of each axis"):
        await explaining(classifier).explain(TEXT, classifier.model)
