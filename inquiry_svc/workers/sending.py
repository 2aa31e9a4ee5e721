"""Which worker sends the metrics through an exporter: one at a time, once a period; and what was sent.

Kept by the parent, whom no worker's death can take it from. Whoever asks when it is due gets the turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from inquiry_svc.metrics import Snapshot
from inquiry_svc.workers.process import Worker

_LONGEST_S: Final = 15.0
"""A push is broken off after 10 s; who takes longer is stopped, or stuck."""
_EARLY: Final = 0.9
"""The workers' clocks differ: who asks after nine tenths of a period is in time."""


@dataclass(slots=True)
class _Exporter:
    holder: Worker | None = None
    begun_at: float = float("-inf")
    sending: Snapshot = field(default_factory=list)
    sent: Snapshot = field(default_factory=list)


class Sending:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._exporters: dict[str, _Exporter] = {}
        self._clock = clock

    def is_free(self, exporter: str, worker: Worker) -> bool:
        """Nobody else has the turn, or whoever had it took too long. Who asks again is done with the turn before."""
        found = self._of(exporter)
        return found.holder in (None, worker) or self._clock() - found.begun_at > _LONGEST_S

    def begin(self, exporter: str, worker: Worker, period_s: float, *, last: bool) -> bool:
        """Give the worker the turn, if it is free and due; the last one of a worker is always due."""
        found = self._of(exporter)
        if not self.is_free(exporter, worker) or not (last or self._clock() - found.begun_at >= _EARLY * period_s):
            return False
        found.holder, found.begun_at = worker, self._clock()
        return True

    def note(self, exporter: str, snapshot: Snapshot) -> Snapshot:
        """The snapshot is what the holder sends now; gives what was sent before."""
        found = self._of(exporter)
        found.sending = snapshot
        return found.sent

    def end(self, exporter: str, worker: Worker, *, sent: bool) -> None:
        """The worker is done, if it still had the turn."""
        found = self._of(exporter)
        if found.holder is worker:
            found.holder = None
            if sent:
                found.sent = found.sending

    def leave(self, worker: Worker) -> None:
        """The worker is over: whatever turn it had was not completed, as far as anybody knows."""
        for exporter in self._exporters:
            self.end(exporter, worker, sent=False)

    def _of(self, exporter: str) -> _Exporter:
        return self._exporters.setdefault(exporter, _Exporter())
