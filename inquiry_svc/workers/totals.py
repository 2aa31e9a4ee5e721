"""The whole service's numbers, as the parent adds them up: of the workers that live, of those that lived, its own."""

from __future__ import annotations

from collections.abc import Iterable

from inquiry_svc.catalogue import WORKER_RESTARTS
from inquiry_svc.metrics import Metrics, Snapshot
from inquiry_svc.workers.merging import merged, never_below, retired


class Totals:
    def __init__(self) -> None:
        self._own = Metrics([WORKER_RESTARTS])
        self._retired: Snapshot = []
        self._shown: Snapshot = []

    def restarted(self) -> None:
        self._own.series(WORKER_RESTARTS).inc()

    def retire(self, last: Snapshot) -> None:
        """A worker is over: `last` is the newest that is known of it."""
        self._retired = retired(self._retired, last)

    def whole(self, living: Iterable[Snapshot]) -> Snapshot:
        """To be shown. No counter or histogram is lower than it ever was in what was given before."""
        self._shown = never_below(merged([*living, self._own.snapshot(), self._retired]), self._shown)
        return self._shown
