"""The door: a fixed number of places, one for every text from its arrival to its answer.

It bounds every queue behind it at once. A client who finds no place is told so immediately; a bulk upload, which can
be made to wait, waits. Those who wait hold at most half of the places, so that uploads never shut the others out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from inquiry_svc.catalogue import INQUIRIES_IN_FLIGHT, INQUIRIES_REFUSED
from inquiry_svc.errors import Overloaded
from inquiry_svc.metrics import Metrics


class Admission:
    def __init__(self, places: int, metrics: Metrics) -> None:
        self._free = asyncio.Semaphore(places)
        self._free_for_patient = asyncio.Semaphore(max(1, places // 2))
        self._places = places
        self._taken = 0
        metrics.series(INQUIRIES_IN_FLIGHT).follow(lambda: self._taken)
        self._refused = metrics.series(INQUIRIES_REFUSED)

    async def check(self) -> None:
        """Raise `Overloaded` when a newcomer would be refused now."""
        if self._free.locked():
            raise Overloaded(f"all {self._places} places are taken")

    @asynccontextmanager
    async def place(self, *, patient: bool) -> AsyncIterator[None]:
        """Hold a place. When all are taken: wait if `patient`, else raise `Overloaded` at once."""
        if not patient and self._free.locked():
            self._refused.inc()
            raise Overloaded(f"all {self._places} places are taken")
        async with self._free_for_patient if patient else nullcontext(), self._free:
            self._taken += 1
            try:
                yield
            finally:
                self._taken -= 1
