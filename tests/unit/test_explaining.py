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
from inquiry_svc.models.open_models import LineUp, OpenModel, OpenModels
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


def explaining(
    classifier: FunctionClassifier, fallback: FunctionClassifier | None = None, *, timeout_s: float = 5.0
) -> Explaining:
    metrics = Metrics(OWN_METRICS)
    champion, other = (OpenModel(each, metrics) for each in (classifier, fallback or FunctionClassifier()))
    return Explaining(OpenModels(LineUp(champion)), other, metrics=metrics, timeout_s=timeout_s)


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


async def test_each_model_that_is_open_explains_what_it_decided() -> None:
    metrics = Metrics(OWN_METRICS)
    opened = [OpenModel(ExplainingClassifier(digest), metrics) for digest in "12345"]
    champion, challenger, shadow, former, fallback = opened
    models = OpenModels(LineUp(champion, challenger, shadow, former))
    all_of_them = Explaining(models, fallback, metrics=metrics, timeout_s=5.0)
    for model in opened:
        assert (await all_of_them.explain(TEXT, model.model)).model == model.model


async def test_a_model_stays_open_while_it_explains() -> None:
    may_explain = asyncio.Event()

    async def explain(model: Model) -> Explanation:
        await may_explain.wait()
        return explanation_by(model)

    metrics = Metrics(OWN_METRICS)
    first, second = (OpenModel(ExplainingClassifier(digest, explain), metrics) for digest in "12")
    models = OpenModels(LineUp(first))
    asked = Explaining(models, second, metrics=metrics, timeout_s=5.0)
    explaining_it = asyncio.create_task(asked.explain(TEXT, first.model))
    await asyncio.sleep(0)
    old, models.line_up = models.line_up, LineUp(second)
    unheld = asyncio.create_task(old.unheld())
    await asyncio.sleep(0)
    assert not unheld.done()
    may_explain.set()
    assert (await explaining_it).model == first.model
    await unheld
