"""Who finds no place waits a moment for one, the newest first; who waited in vain is told so in turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from inquiry_svc.admission import Admission
from inquiry_svc.catalogue import INQUIRIES_REFUSED, OWN_METRICS
from inquiry_svc.metrics import Metrics
from inquiry_svc.web import gate as gates
from inquiry_svc.web.gate import Gate

PLACES = 2


class Here:
    """Writes down what becomes of each caller, by its name."""

    def __init__(self, places: int = PLACES, when_crowded: int | None = None) -> None:
        self.metrics = Metrics(OWN_METRICS)
        self.admission = Admission(places, self.metrics, when_crowded=when_crowded)
        self.gate = Gate(self.admission)
        self.happened: list[str] = []
        self.callers: dict[str, Caller] = {}

    def come(self, *names: str, ago_s: float = 0.0, raising: Exception | None = None, stages: int = 2) -> list[Caller]:
        callers = [Caller(self, name, time.perf_counter() - ago_s, raising, stages) for name in names]
        self.callers |= dict(zip(names, callers, strict=True))
        for caller in callers:
            self.gate.enter(caller)
        return callers

    def leave(self, *names: str) -> None:
        for name in names:
            self.gate.let_out(self.callers[name])

    async def until(self, *happened: str) -> None:
        async with asyncio.timeout(30):
            while self.happened != list(happened):  # noqa: ASYNC110 (turns of the gate have no event)
                await asyncio.sleep(0.001)


class Caller:
    def __init__(self, here: Here, name: str, started: float, raising: Exception | None, stages: int) -> None:
        self.started = started
        self.stages = stages
        self.waits = True
        self._here = here
        self._name = name
        self._raising = raising

    def begin(self) -> None:
        self._becomes("begins")

    def give_up(self) -> None:
        pass

    def refuse(self) -> None:
        self._becomes("is refused")
        self._here.gate.refused("id")

    def _becomes(self, what: str) -> None:
        self.waits = False
        if self._raising is not None:
            raise self._raising
        self._here.happened.append(f"{self._name} {what}")


def begun(names: Sequence[str]) -> list[str]:
    return [f"{name} begins" for name in names]


async def test_a_place_that_comes_free_goes_to_the_newest_who_waits() -> None:
    here = Here()
    here.come("a", "b", "c", "d", "e")
    assert here.happened == begun("ab")
    here.leave("a", "b")
    await asyncio.sleep(0)
    assert here.happened == begun("abed")


async def test_in_a_crowd_there_are_half_as_many_at_once_of_those_who_are_not_stored() -> None:
    here = Here(places=5, when_crowded=4)
    here.come("a", "b", "c", "d", stages=1)
    assert here.happened == begun("abcd"), "there is no crowd yet"
    here.admission.refuse()
    here.leave("a", "b")
    here.come("x")
    await asyncio.sleep(0)
    assert here.happened == begun("abcd"), "two that are not stored keep it as busy as four that are"
    here.leave("c")
    await asyncio.sleep(0)
    here.come("y", "z")
    assert here.happened == begun("abcdxy")


async def test_a_crowd_that_is_given_all_places_is_given_them_to_whomever() -> None:
    here = Here(places=4, when_crowded=8)
    here.admission.refuse()
    here.come("a", "b", "c", "d", "e", stages=1)
    assert here.happened == begun("abcd")


async def test_who_comes_while_there_are_places_waits_for_nothing() -> None:
    here = Here()
    here.come("a", "b", "c")
    here.leave("a")
    here.come("d")
    assert here.happened == begun("abd")


async def test_who_has_waited_too_long_is_refused_and_gets_no_place_any_more() -> None:
    here = Here()
    here.come("a", "b", "c", "d", ago_s=1.0)
    await here.until(*begun("ab"), "c is refused", "d is refused")
    here.leave("a")
    await asyncio.sleep(0)
    assert here.happened[4:] == []
    assert here.metrics.series(INQUIRIES_REFUSED).value == 2


async def test_who_has_left_gets_no_place_and_is_not_counted_as_refused() -> None:
    here = Here()
    *_, gone = here.come("a", "b", "c", "d")
    gone.waits = False
    here.leave("a")
    await asyncio.sleep(0)
    assert here.happened == begun("abc")
    [gone] = here.come("e", ago_s=1.0)
    gone.waits = False
    here.come("f", ago_s=1.0)
    await here.until(*begun("abc"), "f is refused")
    assert here.metrics.series(INQUIRIES_REFUSED).value == 1


@pytest.mark.parametrize("place_comes_free", [False, True])
async def test_whatever_comes_of_one_the_others_are_told_or_served(place_comes_free: bool) -> None:
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: raised.append(told))
    here = Here()
    here.come("a", "b")
    here.come("c", ago_s=0.0 if place_comes_free else 1.0)
    here.come("d", ago_s=0.0 if place_comes_free else 1.0, raising=ConnectionResetError())
    if place_comes_free:
        here.admission.leave(patient=False)  # of which the gate is not told
    await here.until(*begun("ab"), "c is refused")
    assert [type(each["exception"]) for each in raised] == [ConnectionResetError]


async def test_only_so_many_are_told_in_a_turn_of_those_who_waited_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "TOLD_PER_S", 0)  # and one in each turn, whatever that is
    here = Here()
    here.come("a", "b")
    *_, gone = here.come("c", "d", "e", ago_s=1.0)
    await here.until(*begun("ab"), "c is refused")
    gone.waits = False
    await here.until(*begun("ab"), "c is refused", "d is refused")
    assert here.metrics.series(INQUIRIES_REFUSED).value == 2, "the third has left"


async def test_a_line_of_the_log_tells_of_all_who_were_refused_since_the_last(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "TELL_S", 0.0)
    here = Here()
    for _ in range(3):
        here.gate.refused("id")
    assert caplog.messages == ["refused 1 requests: all places are taken"]
    async with asyncio.timeout(30):
        while len(caplog.messages) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert caplog.messages[1:] == ["refused 2 requests: all places are taken"]
