"""The door: a fixed number of places, one for every text from its arrival to its answer.

It bounds every queue behind it at once. Who finds no place is refused immediately (a plain request has waited a moment
for one before, at `web/gate.py`); a bulk upload, which can be made to wait, waits. Those who wait hold at most half of
the places, so that uploads never shut the others out.

All places are there for a crowd that comes at once. Where more come than can be served they would stay taken, and
everybody would wait for as long as that takes: so once somebody was refused fewer are given, until nobody was for a
while.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from inquiry_svc.catalogue import INQUIRIES_IN_FLIGHT, INQUIRIES_REFUSED
from inquiry_svc.errors import Overloaded
from inquiry_svc.metrics import Metrics

_CROWD_S: Final = 2.0
"""After so long without a refusal it has gone: those who were told to come again in a second have come."""


class Admission:
    def __init__(
        self,
        places: int,
        metrics: Metrics,
        *,
        when_crowded: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`when_crowded` of the places are given while newcomers are refused; None: all of them.

        Let it keep every stage busy: what is more only waits.
        """
        self._clock = clock
        self._for_patient = asyncio.Semaphore(max(1, places // 2))
        self._places = places
        self._when_crowded = min(places, when_crowded or places)
        self._refused_at: float | None = None
        """None: there is no crowd."""
        self._taken = 0
        self._impatient = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        """For any place, first come first served. Those who have gone stay, cancelled, until it is their turn."""
        metrics.series(INQUIRIES_IN_FLIGHT).follow(lambda: self._taken)
        self._refused = metrics.series(INQUIRIES_REFUSED)

    @property
    def gives_fewer(self) -> bool:
        """Whether there is a crowd, and not all of them are given to it."""
        return self._when_crowded < self._places and self._is_crowded()

    @property
    def given(self) -> int:
        """So many of them, now, to those who would wait a moment for one."""
        return self._when_crowded if self._is_crowded() else self._places

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._taken

    @property
    def is_full(self) -> bool:
        """Whether a newcomer would be refused now.

        In a crowd those who wait for a moment would leave none to those who don't, who are given half as many more.
        """
        given = self._when_crowded * 3 // 2 if self._is_crowded() else self._places
        return self._impatient >= given or self._no_place()

    async def check(self) -> None:
        """Raise `Overloaded` when a newcomer would be refused now."""
        if self.is_full:
            raise self._overloaded()

    def require_place(self) -> None:
        """Refuse a newcomer who would find no place. Raises `Overloaded`."""
        if self.is_full:
            self.refuse()
            raise self._overloaded()

    def refuse(self) -> None:
        """Count one who is told that there is no place."""
        self._refused.inc()
        self._refused_at = self._clock()

    async def enter(self, *, patient: bool) -> None:
        """Take a place, until `leave`. When all are taken: wait if `patient`, else raise `Overloaded` at once."""
        if patient:
            await self._for_patient.acquire()
            try:
                await self._next_place()
            except BaseException:
                self._for_patient.release()
                raise
        else:
            self.take_place()

    def take_place(self) -> None:
        """For who is not patient. Raises `Overloaded`."""
        self.require_place()
        self._taken += 1
        self._impatient += 1

    def leave(self, *, patient: bool) -> None:
        if patient:
            self._for_patient.release()
        else:
            self._impatient -= 1
        self._pass_on()

    def _is_crowded(self) -> bool:
        if self._refused_at is None:
            return False
        if self._clock() - self._refused_at < _CROWD_S:
            return True
        self._refused_at = None
        return False

    def _no_place(self) -> bool:
        return self._taken >= self._places or bool(self._waiting)

    async def _next_place(self) -> None:
        if not self._no_place():
            self._taken += 1
            return
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():  # it was given a place at the moment at which it left
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a place that was held to who has waited longest, else have it free."""
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(None)
                return
        self._taken -= 1

    def _overloaded(self) -> Overloaded:
        return Overloaded("all places are taken")
