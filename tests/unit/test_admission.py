"""The door: a fixed number of places, none of which is ever lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inquiry_svc.admission import Admission
from inquiry_svc.catalogue import INQUIRIES_IN_FLIGHT, INQUIRIES_REFUSED, OWN_METRICS
from inquiry_svc.errors import Overloaded
from inquiry_svc.metrics import Metrics


class Door:
    def __init__(self, places: int) -> None:
        self.metrics = Metrics(OWN_METRICS)
        self.admission = Admission(places, self.metrics)

    @property
    def in_flight(self) -> float:
        return self.metrics.series(INQUIRIES_IN_FLIGHT).value

    @asynccontextmanager
    async def place(self, *, patient: bool = False) -> AsyncIterator[None]:
        await self.admission.enter(patient=patient)
        try:
            yield
        finally:
            self.admission.leave(patient=patient)

    async def hold(self, until: asyncio.Event, *, patient: bool = False) -> None:
        async with self.place(patient=patient):
            await until.wait()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_more_than_there_are_places_is_refused_at_once_and_counted() -> None:
    door, release = Door(2), asyncio.Event()
    holders = [asyncio.create_task(door.hold(release)) for _ in range(2)]
    await _turns()
    assert door.in_flight == 2
    with pytest.raises(Overloaded):
        await door.hold(release)
    with pytest.raises(Overloaded):
        await door.admission.check()
    assert door.metrics.series(INQUIRIES_REFUSED).value == 1
    release.set()
    await asyncio.gather(*holders)
    assert door.in_flight == 0
    await door.admission.check()


async def test_it_is_empty_while_nobody_holds_a_place() -> None:
    door, release = Door(2), asyncio.Event()
    empty = [door.admission.is_empty]
    holder = asyncio.create_task(door.hold(release))
    await _turns()
    empty.append(door.admission.is_empty)
    release.set()
    await holder
    assert [*empty, door.admission.is_empty] == [True, False, True]


async def test_a_patient_caller_waits_for_a_place() -> None:
    door, release = Door(1), asyncio.Event()
    holder = asyncio.create_task(door.hold(release))
    await _turns()
    patient = asyncio.create_task(door.hold(release, patient=True))
    await _turns()
    assert not patient.done()
    assert door.in_flight == 1
    release.set()
    await asyncio.gather(holder, patient)
    assert door.in_flight == 0


async def test_patient_callers_leave_half_of_the_places_to_the_others() -> None:
    door, release = Door(4), asyncio.Event()
    uploads = [asyncio.create_task(door.hold(release, patient=True)) for _ in range(50)]
    await _turns()
    assert door.in_flight == 2
    others = [asyncio.create_task(door.hold(release)) for _ in range(2)]
    await _turns()
    assert door.in_flight == 4
    release.set()
    await asyncio.gather(*uploads, *others)


async def test_no_place_is_lost_however_its_holder_leaves() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    door = Door(8)

    async def visit() -> None:
        async with door.place(patient=dice.random() < 0.5):
            await asyncio.sleep(0)
            if dice.random() < 0.3:
                raise LookupError

    for _ in range(50):
        visitors = [asyncio.create_task(visit()) for _ in range(30)]
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        for visitor in visitors:
            if dice.random() < 0.3:
                visitor.cancel()
        await asyncio.gather(*visitors, return_exceptions=True)
        assert door.in_flight == 0
    release = asyncio.Event()
    holders = [asyncio.create_task(door.hold(release)) for _ in range(8)]
    await _turns()
    assert door.in_flight == 8, f"places were lost, seed {seed}"
    release.set()
    await asyncio.gather(*holders)


async def test_once_somebody_was_refused_fewer_are_let_in_until_nobody_was_for_a_while() -> None:
    now = 0.0
    admission = Admission(100, Metrics(OWN_METRICS), when_crowded=16, clock=lambda: now)
    for _ in range(100):
        await admission.enter(patient=False)
    with pytest.raises(Overloaded):
        await admission.enter(patient=False)
    assert admission.given == 16
    for _ in range(76):
        admission.leave(patient=False)
    assert admission.is_full, "24 are inside, half as many again as those who would wait are given"
    admission.leave(patient=False)
    await admission.enter(patient=False)
    now = 1.5
    with pytest.raises(Overloaded):
        admission.require_place()
    now = 3.0
    assert admission.given == 16
    now = 4.0
    assert admission.given == 100
    for _ in range(76):
        await admission.enter(patient=False)
    assert admission.is_full


async def test_uploads_that_hold_their_half_leave_the_others_what_a_crowd_is_given() -> None:
    admission = Admission(64, Metrics(OWN_METRICS), when_crowded=8)
    for _ in range(32):
        await admission.enter(patient=True)
    for _ in range(32):
        await admission.enter(patient=False)
    with pytest.raises(Overloaded):
        await admission.enter(patient=False)
    for _ in range(30):
        admission.leave(patient=False)
    await admission.enter(patient=False)
