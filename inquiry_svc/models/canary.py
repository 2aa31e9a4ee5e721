"""Watches a challenger that answers its share, and takes it down when it crosses a limit of the configuration.

What is judged is what the metrics of the whole service, of all workers, have counted since it was first seen here
beside this champion. Each worker watches; the first to see a limit crossed changes the registry, and all follow that.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeAlias

from inquiry_svc.catalogue import (
    ALIAS_FEEDBACK,
    CANARY_ROLLBACKS,
    CANDIDATE_AGREEMENT,
    CANDIDATE_DURATION,
    CANDIDATE_TEXTS,
    LIMITS,
)
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.inquiries import AXES, Outcome
from inquiry_svc.metrics import Distribution, Metric, Metrics, Snapshot
from inquiry_svc.models.limits import Counted, Figures, Missed, missed_by_canary
from inquiry_svc.models.registry import Reference, Registry
from inquiry_svc.models.swapping import Swapper
from inquiry_svc.repeating import repeated
from inquiry_svc.settings import ModelsSettings

logger = logging.getLogger(__name__)

_PERIOD_S: Final = 5.0
_COUNTERS: Final = {metric.name for metric in (ALIAS_FEEDBACK, CANDIDATE_AGREEMENT, CANDIDATE_TEXTS)}

Counts: TypeAlias = Mapping[tuple[str, ...], float]
"""By a counter's name and its labels' values; of the calls, all and the slow ones."""


class Canary:
    def __init__(self, swapper: Swapper, registry: Registry, limits: ModelsSettings, metrics: Metrics) -> None:
        self._swapper = swapper
        self._registry = registry
        self._limits = limits
        self._rollbacks = {limit: metrics.series(CANARY_ROLLBACKS, limit=limit) for limit in LIMITS}
        self._feedback = {
            (alias, axis, correct): metrics.series(ALIAS_FEEDBACK, alias=alias, axis=axis, correct=str(correct).lower())
            for alias in ("champion", "challenger")
            for axis in AXES
            for correct in (True, False)
        }
        self._watched: tuple[Reference, Reference | None] | None = None
        """The challenger, and the champion beside it."""
        self._before: Counts = {}
        """When these were first seen."""

    def reviewed(self, outcome: Outcome) -> None:
        """Count what a person said, where the champion or the challenger of now had answered."""
        line_up, feedback = self._swapper.open_models.line_up, outcome.feedback
        for alias, model in (("champion", line_up.champion), ("challenger", line_up.challenger)):
            if model is None or model.model != outcome.prediction.model or feedback is None:
                continue
            for axis in AXES:
                label = getattr(feedback, axis)
                if label is not None:
                    self._feedback[alias, axis, label == getattr(outcome.prediction.verdict, axis).label].inc()

    @asynccontextmanager
    async def watched(self, numbers: Callable[[], Awaitable[Snapshot]]) -> AsyncIterator[None]:
        """Judge it every few seconds while open. `numbers` are those of the whole service."""

        async def judge() -> None:
            await self.judge(numbers)

        failing = "the canary can't be judged; it goes on"
        async with repeated(judge, period_s=_PERIOD_S, first_after_s=_PERIOD_S, name="canary", failing=failing):
            yield

    async def judge(self, numbers: Callable[[], Awaitable[Snapshot]]) -> None:
        """Take the challenger down if it has crossed a limit since it was first seen beside this champion."""
        challenger = self._swapper.challenger
        if challenger is None:
            self._watched = None
            return
        watched = challenger, self._swapper.aliases.champion
        now = _counts(await numbers(), self._limits.max_p99_s)
        if watched != self._watched:
            self._watched, self._before = watched, now
            return
        figures = _figures({key: count - self._before.get(key, 0) for key, count in now.items()})
        missed = missed_by_canary(figures, self._limits)
        if missed:
            await self._take_down(challenger, missed, figures)

    async def _take_down(self, challenger: Reference, missed: Sequence[Missed], figures: Figures) -> None:
        why = "; ".join(each.told for each in missed)
        roll_back = partial(self._registry.roll_back, "challenger", who="the canary's watch", only=challenger)
        try:
            await asyncio.to_thread(roll_back, why=why, figures=figures.as_numbers())
        except ConfigurationError:  # another worker, or a person, was first
            return
        self._rollbacks[missed[0].limit].inc()
        logger.error("challenger %s is taken down: %s", challenger, why)


def _counts(snapshot: Snapshot, max_p99_s: float) -> Counts:
    found: dict[tuple[str, ...], float] = {}
    for family in snapshot:
        name = family.metric.name
        for labels, value in family.values.items():
            if isinstance(value, Distribution):
                if name == CANDIDATE_DURATION.name:
                    within = bisect_left(CANDIDATE_DURATION.buckets, max_p99_s)
                    found[name, "all", *labels] = value.cumulative[-1]
                    found[name, "slow", *labels] = value.cumulative[-1] - value.cumulative[within]
            elif name in _COUNTERS:
                found[name, *labels] = value
    return found


def _figures(counts: Counts) -> Figures:
    def counted(metric: Metric, *labels: str, beside: str) -> Counted:
        """Those of the series, of these and those whose last label is `beside`."""
        count = counts[metric.name, *labels]
        return Counted(count, count + counts[metric.name, *labels[:-1], beside])

    def right(alias: str) -> Mapping[str, Counted]:
        return {axis: counted(ALIAS_FEEDBACK, alias, axis, "true", beside="false") for axis in AXES}

    calls = CANDIDATE_DURATION.name
    return Figures(
        right("challenger"),
        right("champion"),
        agreed=counted(CANDIDATE_AGREEMENT, "challenger", "category", "true", beside="false"),
        slow=Counted(counts[calls, "slow", "challenger"], counts[calls, "all", "challenger"]),
        failed=counted(CANDIDATE_TEXTS, "challenger", "failed", beside="classified"),
    )
