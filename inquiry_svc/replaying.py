"""What another model or other rules would have made of inquiries that are stored. Nothing is written.

Each inquiry is decided twice, in the order in which it came: as it was classified and the rules of today would route
it, and by the candidate. So only what the candidate changes differs, and not what was once routed by rules of before.

Who is free depends on what everybody holds, so each side has a desk of its own, empty at the beginning: an inquiry lies
with the consultant whom that side gave it to, until the moment at which it was really resolved.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from typing import Final

from msgspec.structs import replace

from inquiry_svc.batching import isolate
from inquiry_svc.contracts import Classifier, Router
from inquiry_svc.errors import Unavailable
from inquiry_svc.history import History
from inquiry_svc.inquiries import AXES, DEPARTMENTS, Outcome, Prediction, Route
from inquiry_svc.predicting import prediction_of
from inquiry_svc.reviewing import ReviewPolicy, own_thresholds

NOBODY: Final = "nobody free"
BATCH: Final = 64
_PATIENCE_S: Final = 30.0
"""For a batch."""
_BEGINNING: Final = 60
"""Characters by which a person knows an inquiry again."""


@dataclass(frozen=True, slots=True)
class Example:
    inquiry_id: str
    beginning: str
    """Of its subject or, without one, of its body."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Shift:
    """How one thing that is decided would come out. `before` and `after` count inquiries by what was decided."""

    before: Mapping[str, int]
    after: Mapping[str, int]
    moves: Sequence[tuple[str, str, int]]
    """From what to what, and how many; the most first."""
    examples: Sequence[Example]
    """The newest."""
    looked_at: int = 0
    """Inquiries of which a person said what is right."""
    right_before: int = 0
    right_after: int = 0

    @property
    def changed(self) -> int:
        return sum(count for _, _, count in self.moves)


@dataclass(frozen=True, slots=True)
class Replay:
    inquiries: int
    failed: int
    """More of them, over which the candidate raised; they are counted nowhere else."""
    answered_by: Mapping[str, int]
    """Inquiries by the model whose answer is stored."""
    shifts: Mapping[str, Shift]
    """Of each axis, then `department`, `escalated`, `needs_review` and `consultant`."""
    most_open_before: Mapping[str, int]
    """How many inquiries each consultant would have held at once, at most."""
    most_open_after: Mapping[str, int]


async def replay(
    history: History,
    *,
    router: Router,
    candidate_router: Router,
    candidate: Classifier | None,
    policy: ReviewPolicy,
    examples: int = 3,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Replay:
    """Decide everything again. Without a `candidate`, the predictions stand as they are stored.

    Raises `Unavailable` where the candidate or a router is out of reach.
    """
    now, then, seen = _Desk(router), _Desk(candidate_router), _Seen(examples)
    async for page in history.pages():
        for first in range(0, len(page), BATCH):
            outcomes = page[first : first + BATCH]
            async with _patience():
                predictions = await _predictions(candidate, outcomes, policy)
                for outcome, prediction in zip(outcomes, predictions, strict=True):
                    before = await now.decide(outcome, _as_stored(outcome))
                    seen.add(outcome, before, await then.decide(outcome, prediction))
            on_progress(len(outcomes))
    return seen.replay(now.most_open, then.most_open)


@asynccontextmanager
async def _patience() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            yield
    except TimeoutError as error:
        raise Unavailable(f"the candidate did not decide {BATCH} inquiries in {_PATIENCE_S:g} s") from error


async def _predictions(
    candidate: Classifier | None, outcomes: Sequence[Outcome], policy: ReviewPolicy
) -> Sequence[Prediction | None]:
    """None where the candidate raised."""
    if candidate is None:
        return [_as_stored(outcome) for outcome in outcomes]
    results = await isolate(candidate.classify, [outcome.inquiry for outcome in outcomes])
    review_below = own_thresholds(candidate)
    return [
        None if isinstance(result, Exception) else prediction_of(result, candidate.model, policy, review_below)
        for result in results
    ]


def _as_stored(outcome: Outcome) -> Prediction:
    """As it was before anybody gave feedback, which takes an inquiry off the review queue; audits are left out."""
    prediction = outcome.prediction
    doubts = [reason for reason in prediction.review_reasons if reason != "audit"]
    unexplained = prediction.needs_review and not prediction.review_reasons  # stored before reasons were kept
    return replace(prediction, needs_review=bool(doubts) or unexplained)


@dataclass(frozen=True, slots=True)
class _Decision:
    prediction: Prediction
    route: Route

    def answers(self) -> dict[str, str]:
        """What is decided, in the order in which it is told."""
        verdict, route = self.prediction.verdict, self.route
        return {
            "category": verdict.category.label,
            "sentiment": verdict.sentiment.label,
            "urgency": verdict.urgency.label,
            "department": route.department,
            "escalated": _YES_OR_NO[route.escalated],
            "needs_review": _YES_OR_NO[self.prediction.needs_review],
            "consultant": route.consultant or NOBODY,
        }

    def shown(self, thing: str) -> str:
        """What is decided of one thing; a label with its confidence."""
        answer = self.answers()[thing]
        return str(getattr(self.prediction.verdict, thing)) if thing in AXES else answer


class _Desk:
    """Routes one inquiry after the other, and knows who holds what at that moment."""

    def __init__(self, router: Router) -> None:
        self.most_open: Counter[str] = Counter()
        self._router = router
        self._open: Counter[str] = Counter()
        self._leaving: list[tuple[datetime, str]] = []
        """Who is rid of one, and when: a heap, the soonest first."""

    async def decide(self, outcome: Outcome, prediction: Prediction | None) -> _Decision | None:
        """None where there is no prediction, or the router raised."""
        if prediction is None:
            return None
        while self._leaving and self._leaving[0][0] <= outcome.inquiry.received_at:
            self._open[heappop(self._leaving)[1]] -= 1
        try:
            (route,) = await self._router.route([outcome.inquiry], [prediction], self._open)
        except (Unavailable, TimeoutError):
            raise
        except Exception:
            return None
        consultant = route.consultant
        if consultant is not None:
            self._open[consultant] += 1
            self.most_open[consultant] = max(self.most_open[consultant], self._open[consultant])
            if outcome.resolved_at is not None:
                heappush(self._leaving, (outcome.resolved_at, consultant))
        return _Decision(prediction, route)


class _Seen:
    """Counts what both sides decided."""

    def __init__(self, examples: int) -> None:
        self._counts = {thing: _Counts(examples) for thing in _THINGS}
        self._answered_by: Counter[str] = Counter()
        self._failed = 0

    def add(self, outcome: Outcome, before: _Decision | None, after: _Decision | None) -> None:
        if before is None or after is None:
            self._failed += 1
            return
        model = outcome.prediction.model
        self._answered_by[f"{model.name} {model.version} ({model.digest[:8]})"] += 1
        answers = after.answers()
        for thing, answer in before.answers().items():
            counts = self._counts[thing]
            counts.both[answer, answers[thing]] += 1
            if answer != answers[thing]:
                counts.examples.append(_example(outcome, before.shown(thing), after.shown(thing)))
            said = getattr(outcome.feedback, thing, None)
            if said is not None:
                counts.looked_at += 1
                counts.right_before += said == answer
                counts.right_after += said == answers[thing]

    def replay(self, most_open_before: Mapping[str, int], most_open_after: Mapping[str, int]) -> Replay:
        return Replay(
            inquiries=self._answered_by.total(),
            failed=self._failed,
            answered_by=dict(self._answered_by),
            shifts={thing: counts.shift(_THINGS[thing]) for thing, counts in self._counts.items()},
            most_open_before=dict(most_open_before),
            most_open_after=dict(most_open_after),
        )


class _Counts:
    """Of one thing that is decided."""

    def __init__(self, examples: int) -> None:
        self.both: Counter[tuple[str, str]] = Counter()
        """What was decided before and after."""
        self.examples: deque[Example] = deque(maxlen=examples)
        self.looked_at = self.right_before = self.right_after = 0

    def shift(self, possible: Sequence[str]) -> Shift:
        before, after = Counter[str](), Counter[str]()
        for (one, other), count in self.both.items():
            before[one] += count
            after[other] += count
        found = possible or sorted(before | after)
        return Shift(
            before={answer: before[answer] for answer in found},
            after={answer: after[answer] for answer in found},
            moves=[(*move, count) for move, count in self.both.most_common() if move[0] != move[1]],
            examples=list(self.examples),
            looked_at=self.looked_at,
            right_before=self.right_before,
            right_after=self.right_after,
        )


def _example(outcome: Outcome, before: str, after: str) -> Example:
    inquiry = outcome.inquiry
    beginning = " ".join((inquiry.subject or inquiry.body)[: 2 * _BEGINNING].split())[:_BEGINNING]
    return Example(inquiry.inquiry_id, beginning, before, after)


_YES_OR_NO: Final = ("no", "yes")
_THINGS: Final[Mapping[str, Sequence[str]]] = {
    **AXES,
    "department": DEPARTMENTS,
    "escalated": ("yes", "no"),
    "needs_review": ("yes", "no"),
    "consultant": (),
}
"""What is decided of an inquiry, and what it may be; who the consultants are, only the rules know."""
