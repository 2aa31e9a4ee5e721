"""Who finds no place waits a moment for one, the newest first; who waited in vain is told so in turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from inquiry_svc.admission import Admission
from inquiry_svc.catalogue import INQUIRIES_REFUSED, OWN_METRICS
from inquiry_svc.metrics import Metrics
from inquiry_svc.web.gate import Gate

PLACES = 2


class Here:
    """Writes down what becomes of each caller, by its name."""

    def __init__(self) -> None:
        self.metrics = Metrics(OWN_METRICS)
        self.gate = Gate(Admission(PLACES, self.metrics))
        self.happened: list[str] = []

    def come(self, *names: str, ago_s: float = 0.0, refusal: Exception | None = None) -> list[Caller]:
        callers = [Caller(self, name, time.perf_counter() - ago_s, refusal) for name in names]
        for caller in callers:
            self.gate.enter(caller)
        return callers

    async def until(self, *happened: str) -> None:
        async with asyncio.timeout(30):
            while self.happened != list(happened):  # noqa: ASYNC110 (turns of the gate have no event)
                await asyncio.sleep(0.001)


class Caller:
    def __init__(self, here: Here, name: str, started: float, refusal: Exception | None) -> None:
        self.started = started
        self.waits = True
        self._here = here
        self._name = name
        self._refusal = refusal

    def begin(self) -> None:
        self.waits = False
        self._here.happened.append(f"{self._name} begins")

    def give_up(self) -> None:
        pass

    def refuse(self) -> None:
        self.waits = False
        if self._refusal is not None:
            raise self._refusal
        self._here.happened.append(f"{self._name} is refused")


def begun(names: Sequence[str]) -> list[str]:
    return [f"{name} begins" for name in names]


async def test_a_place_that_comes_free_goes_to_the_newest_who_waits() -> None:
    here = Here()
    here.come("a", "b", "c", "d", "e")
    assert here.happened == begun("ab")
    here.gate.let_out()
    here.gate.let_out()
    await asyncio.sleep(0)
    assert here.happened == begun("abed")


async def test_who_comes_while_there_are_places_waits_for_nothing() -> None:
    here = Here()
    here.come("a", "b", "c")
    here.gate.let_out()
    here.come("d")
    assert here.happened == begun("abd")


async def test_who_has_waited_too_long_is_refused_and_gets_no_place_any_more() -> None:
    here = Here()
    here.come("a", "b", "c", "d", ago_s=1.0)
    await here.until(*begun("ab"), "c is refused", "d is refused")
    here.gate.let_out()
    await asyncio.sleep(0)
    assert here.happened[4:] == []
    assert here.metrics.series(INQUIRIES_REFUSED).value == 2


async def test_who_has_left_gets_no_place_and_is_not_counted_as_refused() -> None:
    here = Here()
    *_, gone = here.come("a", "b", "c", "d")
    gone.waits = False
    here.gate.let_out()
    await asyncio.sleep(0)
    assert here.happened == begun("abc")
    [gone] = here.come("e", ago_s=1.0)
    gone.waits = False
    here.come("f", ago_s=1.0)
    await here.until(*begun("abc"), "f is refused")
    assert here.metrics.series(INQUIRIES_REFUSED).value == 1


async def test_who_can_not_be_told_keeps_nobody_else_from_being_told() -> None:
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: raised.append(told))
    here = Here()
    here.come("a", "b")
    here.come("c", ago_s=1.0, refusal=ConnectionResetError())
    here.come("d", ago_s=1.0)
    await here.until(*begun("ab"), "d is refused")
    assert [type(each["exception"]) for each in raised] == [ConnectionResetError]
