"""Histograms that remember of each bucket a trace in which it was last observed: from a slow bucket to a slow request.

In the place of plain ones where requests are traced; an exporter that can, such as `openmetrics`, shows them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Sequence

from inquiry_svc.metrics import Distribution, Exemplar, HistogramSeries
from inquiry_svc.tracing import CURRENT, Span


class ExemplifiedSeries(HistogramSeries):
    """Takes an exemplar from the task that observes, if its span is recorded: others lead nowhere."""

    __slots__ = ("_latest",)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(bounds)
        self._latest: list[tuple[Span, float, float] | None] = [None] * (len(bounds) + 1)
        """Span, value and moment: an exemplar is made of them when somebody asks, which is rarer."""

    def observe(self, value: float) -> None:
        super().observe(value)
        self._take([value])

    def observe_all(self, values: Sequence[float]) -> None:
        super().observe_all(values)
        self._take(values)

    def _take(self, values: Sequence[float]) -> None:
        span = CURRENT.get()
        if span is not None and span.is_recorded:
            for value in values:
                self._latest[bisect_left(self._bounds, value)] = (span, float(value), time.time())

    def distribution(self) -> Distribution:
        return Distribution(self.cumulative(), self.sum, tuple(map(_exemplar, self._latest)))


def _exemplar(latest: tuple[Span, float, float] | None) -> Exemplar | None:
    if latest is None:
        return None
    span, value, at = latest
    return Exemplar(span.trace_id, span.span_id, value, at)
