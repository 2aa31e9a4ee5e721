"""Histograms that remember of each bucket a trace in which it was last observed: from a slow bucket to a slow request.

In the place of plain ones where requests are traced; an exporter that can, such as `openmetrics`, shows them.
"""

from __future__ import annotations

import time
from bisect import bisect_left

from inquiry_svc.metrics import Distribution, Exemplar, HistogramSeries
from inquiry_svc.tracing import CURRENT


class ExemplifiedSeries(HistogramSeries):
    """Takes an exemplar from the task that observes, if its span is recorded: others lead nowhere."""

    __slots__ = ("_exemplars",)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(bounds)
        self._exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        super().observe(value)
        span = CURRENT.get()
        if span is not None and span.is_recorded:
            exemplar = Exemplar(span.trace_id, span.span_id, float(value), time.time())
            self._exemplars[bisect_left(self._bounds, value)] = exemplar

    def distribution(self) -> Distribution:
        return Distribution(self.cumulative(), self.sum, tuple(self._exemplars))
