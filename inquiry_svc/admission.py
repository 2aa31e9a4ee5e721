"""The door: a fixed number of places, one for every text from its arrival to its answer.

It bounds every queue behind it at once. A client who finds no place is told so immediately; a bulk upload, which can
be made to wait, waits. Those who wait hold at most half of the places, so that uploads never shut the others out.
"""

from __future__ import annotations

import asyncio
from collections import deque

from inquiry_svc.catalogue import INQUIRIES_IN_FLIGHT, INQUIRIES_REFUSED
from inquiry_svc.errors import Overloaded
from inquiry_svc.metrics import Metrics


class Admission:
    def __init__(self, places: int, metrics: Metrics) -> None:
        self._for_patient = asyncio.Semaphore(max(1, places // 2))
        self._places = places
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        """For any place, first come first served. Those who have gone stay, cancelled, until it is their turn."""
        metrics.series(INQUIRIES_IN_FLIGHT).follow(lambda: self._taken)
        self._refused = metrics.series(INQUIRIES_REFUSED)

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._taken

    async def check(self) -> None:
        """Raise `Overloaded` when a newcomer would be refused now."""
        if self._full():
            raise self._overloaded()

    def place(self, *, patient: bool) -> _Place:
        """Hold a place while open. When all are taken: wait if `patient`, else raise `Overloaded` at once."""
        return _Place(self, patient)

    async def enter(self, *, patient: bool) -> None:
        if patient:
            await self._for_patient.acquire()
            try:
                await self._next_place()
            except BaseException:
                self._for_patient.release()
                raise
        elif self._full():
            self._refused.inc()
            raise self._overloaded()
        else:
            self._taken += 1

    def leave(self, *, patient: bool) -> None:
        if patient:
            self._for_patient.release()
        self._pass_on()

    def _full(self) -> bool:
        return self._taken >= self._places or bool(self._waiting)

    async def _next_place(self) -> None:
        if not self._full():
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
        return Overloaded(f"all {self._places} places are taken")


class _Place:
    """A class, as this is on every request's way: a generator costs three times as much."""

    __slots__ = ("_door", "_patient")

    def __init__(self, door: Admission, patient: bool) -> None:
        self._door = door
        self._patient = patient

    async def __aenter__(self) -> None:
        await self._door.enter(patient=self._patient)

    async def __aexit__(self, *_: object) -> None:
        self._door.leave(patient=self._patient)
