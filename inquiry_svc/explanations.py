"""Why a classifier said what it said: the values of an explanation, and the sum that each must keep.

An axis is explained as a contest between the label given and the runner-up, the second likeliest. The margin is the
natural logarithm of the ratio of their probabilities: 0 is a tie, 2.3 ten to one. It is made up of its parts:

    margin = base + weight of each word + weight of each surface feature + rest

A weight above 0 speaks for the label, one below 0 for the runner-up. Nothing here computes weights: classifiers do, and
lend them to those that ask several.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

from inquiry_svc.inquiries import AXES, Label, Model, Text, Verdict

Field: TypeAlias = Literal["subject", "body"]
Contest: TypeAlias = tuple[str, str]
"""A label and the one that it is held against."""

TOLERANCE: Final = 1e-3
"""How far the parts may be from the margin: one may be a sum of single-precision numbers, the other a logarithm."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to before `end` of a field, counted in Unicode code points as Python does."""

    field: Field
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Words:
    """A word or a phrase and what it weighs, wherever in the text it stands: all its places together."""

    text: str
    """As it was written at its first place."""
    weight: float
    spans: tuple[Span, ...]
    """In the order of the text, never empty."""
    alone: float | None = None
    """By how much the margin really falls when this is left out and nothing else; None where that was not tried.

    Near 0 beside a large weight, others say the same: it takes several of them to change anything.
    """


@dataclass(frozen=True, slots=True)
class SurfaceFeature:
    """A count or a share that belongs to no word, such as how many exclamation marks there are."""

    name: str
    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class Flip:
    """A cut after which another label wins: the smallest one among those that were tried."""

    left_out: tuple[str, ...]
    spans: tuple[Span, ...]
    label: Label
    """The label that wins then."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one of several models said, where the answer is made of theirs."""

    model: Model
    label: Label
    """The likeliest by itself."""
    weight: float
    """Its part of the margin: those of all opinions make it up, another way than words and features do."""


@dataclass(frozen=True, slots=True)
class AxisExplanation:
    label: Label
    runner_up: Label
    margin: float
    base: float
    """What the margin is before anything is read."""
    words: tuple[Words, ...]
    """The heaviest first, whichever way they speak."""
    surface: tuple[SurfaceFeature, ...]
    """Alike; those that weigh nothing may be missing."""
    rest: float = 0.0
    """What can be laid on no word and no feature, or is too little to be named."""
    flip: Flip | None = None
    """None when no cut that was tried changes the label."""
    opinions: tuple[Opinion, ...] = ()
    """Whose answer it is, where it is not the model's own: one that stands as it is, or those that are joined."""

    @property
    def total(self) -> float:
        """The parts together; the margin within `TOLERANCE`."""
        return math.fsum([self.base, *self.weights, self.rest])

    @property
    def weights(self) -> list[float]:
        """Of the words, then of the surface features."""
        return [*(each.weight for each in self.words), *(each.weight for each in self.surface)]

    def strongest(self, count: int) -> AxisExplanation:
        """With the `count` heaviest words alone; the others go into the rest."""
        left = math.fsum(words.weight for words in self.words[count:])
        return replace(self, words=self.words[:count], rest=self.rest + left)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one text, by one model."""

    model: Model
    axes: Mapping[str, AxisExplanation]
    """One for each of `AXES`, in their order."""


def contest(verdict: Verdict, axis: str, between: Contest | None = None) -> tuple[Label, Label]:
    """The label of an axis and its runner-up, of equals the first of `AXES`; or the two that are named."""
    scores = scores_of(verdict, axis)
    label, runner_up = between or sorted(scores, key=lambda name: -scores[name])[:2]
    return Label(label, scores[label]), Label(runner_up, scores[runner_up])


def contests(verdict: Verdict) -> dict[str, Contest]:
    """Of each axis the label and its runner-up."""
    found = {axis: contest(verdict, axis) for axis in AXES}
    return {axis: (label.label, runner_up.label) for axis, (label, runner_up) in found.items()}


def margin_between(verdict: Verdict, axis: str, label: str, runner_up: str) -> float:
    """The margin of one label over another. A probability of 0 counts as the least there is."""
    scores = scores_of(verdict, axis)
    least = sys.float_info.min
    return math.log(max(scores[label], least)) - math.log(max(scores[runner_up], least))


def scores_of(verdict: Verdict, axis: str) -> dict[str, float]:
    """The probability of each label of an axis."""
    first = sum(len(AXES[name]) for name in takewhile(lambda name: name != axis, AXES))
    return dict(zip(AXES[axis], verdict.scores[first:], strict=False))


@runtime_checkable
class Weigher(Protocol):
    """What an explainer may be able to do besides: lend its reasons to an answer that is made of its own and another's.

    Both are called as `contracts.Explainer.explain` is.
    """

    async def weigh(self, text: Text, contests: Mapping[str, Contest]) -> Mapping[str, AxisExplanation]:
        """For each axis named the margin of the first label over the second, whichever it says are the likeliest.

        Made up as in `explain`; nothing has been left out yet.
        """

    async def judge(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        """What `classify` says, without holding it up; of the first ones alone where all would take above a second."""
