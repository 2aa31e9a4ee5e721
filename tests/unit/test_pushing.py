"""Exporters that send are called each period and at the stop, with what is new, whatever happens to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from inquiry_svc.catalogue import EXPORTER_PUSHES, OWN_METRICS, TEXTS_RECEIVED
from inquiry_svc.metrics import Distribution, Metrics, Snapshot
from inquiry_svc.pushing import OwnTurns, Turn, pushed_regularly

FOREVER_S: Final = 3600.0


class GivenExporter:
    """Notes how many texts it was told of, in all and before; fails or hangs when told to."""

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.told: list[tuple[float, float | None]] = []
        self.failure: BaseException | None = None
        self.going_on = asyncio.Event()
        self.going_on.set()
        self.called = 0

    @property
    def texts_told(self) -> float:
        return self.told[-1][0] if self.told else 0.0

    async def push(self, snapshot: Snapshot, sent: Snapshot) -> None:
        self.called += 1
        await self.going_on.wait()
        if self.failure:
            raise self.failure
        self.told.append((_texts(snapshot) or 0.0, _texts(sent)))


def _texts(snapshot: Snapshot) -> float | None:
    for family in snapshot:
        if family.metric is TEXTS_RECEIVED:
            value = family.values[()]
            assert not isinstance(value, Distribution)
            return value
    return None


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.001)


def pushes(metrics: Metrics, result: str) -> float:
    return metrics.series(EXPORTER_PUSHES, exporter="given", result=result).value


async def test_each_push_is_told_what_the_one_before_sent() -> None:
    metrics, exporter = Metrics(OWN_METRICS), GivenExporter(0.005)
    async with pushed_regularly({"given": exporter}, OwnTurns(metrics), metrics):
        for texts in range(1, 4):
            metrics.series(TEXTS_RECEIVED).inc()
            await until(lambda texts=texts: exporter.texts_told == texts)  # type: ignore[misc]
    told = [now for now, _ in exporter.told]
    assert [before for _, before in exporter.told] == [None, *told[:-1]]
    assert pushes(metrics, "ok") == len(told)
    assert pushes(metrics, "failed") == 0


async def test_the_stop_sends_what_is_left() -> None:
    metrics, exporter = Metrics(OWN_METRICS), GivenExporter(FOREVER_S)
    async with pushed_regularly({"given": exporter}, OwnTurns(metrics), metrics):
        metrics.series(TEXTS_RECEIVED).inc(5)
    assert exporter.told == [(5, None)]


@pytest.mark.parametrize("failure", [ConnectionError("gone"), asyncio.CancelledError()], ids=["gone", "cancelled"])
async def test_a_push_that_fails_is_counted_told_of_once_and_made_up_for(
    caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    metrics, exporter = Metrics(OWN_METRICS), GivenExporter(0.005)
    with caplog.at_level(logging.WARNING):
        async with pushed_regularly({"given": exporter}, OwnTurns(metrics), metrics):
            metrics.series(TEXTS_RECEIVED).inc(5)
            await until(lambda: exporter.told != [])
            exporter.failure = failure
            metrics.series(TEXTS_RECEIVED).inc(2)
            await until(lambda: pushes(metrics, "failed") >= 3)
            exporter.failure = None
            await until(lambda: exporter.texts_told == 7)
    assert (7, 5) in exporter.told
    assert len(caplog.records) == 1


async def test_an_exporter_that_hangs_holds_up_the_stop_for_a_moment_only() -> None:
    metrics, exporter, other = Metrics(OWN_METRICS), GivenExporter(0.005), GivenExporter(FOREVER_S)
    async with asyncio.timeout(30):
        async with pushed_regularly({"given": exporter, "other": other}, OwnTurns(metrics), metrics):
            exporter.going_on.clear()
            await until(lambda: exporter.called > 0)
    assert exporter.told == []
    assert len(other.told) == 1
    assert pushes(metrics, "failed") == 1


async def test_what_is_being_sent_at_the_stop_is_let_through() -> None:
    metrics, exporter = Metrics(OWN_METRICS), GivenExporter(0.005)
    async with pushed_regularly({"given": exporter}, OwnTurns(metrics), metrics):
        metrics.series(TEXTS_RECEIVED).inc(5)
        exporter.going_on.clear()
        await until(lambda: exporter.called == 1)
        asyncio.get_running_loop().call_later(0.05, exporter.going_on.set)
    assert exporter.told == [(5, None), (5, 5)], "broken off, it would have been sent twice"


async def test_whose_turn_it_is_not_sends_nothing_and_counts_nothing() -> None:
    class NeverTurns:
        asked = 0

        @asynccontextmanager
        async def turn(self, exporter: str, period_s: float, *, last: bool) -> AsyncIterator[Turn | None]:
            self.asked += 1
            yield None

    metrics, exporter, turns = Metrics(OWN_METRICS), GivenExporter(0.001), NeverTurns()
    async with pushed_regularly({"given": exporter}, turns, metrics):
        await until(lambda: turns.asked > 3)
    assert exporter.called == pushes(metrics, "ok") == pushes(metrics, "failed") == 0
