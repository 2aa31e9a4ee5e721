"""Counted along, and put right from the store, whose failures change nothing but are told once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from msgspec.structs import replace

from inquiry_svc.contracts import Store
from inquiry_svc.errors import StoreUnavailable
from inquiry_svc.testing.samples import sample_outcome
from inquiry_svc.workload import Workload

PERIOD_S = 0.01


class Counts:
    """The one thing of a store that is asked here."""

    def __init__(self) -> None:
        self.open: Mapping[str, int] | None = {"Ana": 1}
        self.asked = 0
        self.failure: BaseException = StoreUnavailable("away")

    async def open_inquiries(self) -> Mapping[str, int]:
        self.asked += 1
        if self.open is None:
            raise self.failure
        return self.open


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.001)


def store(counts: Counts) -> Store:
    return cast("Store", cast("Any", counts))


async def test_what_others_stored_is_seen_at_the_next_reading() -> None:
    counts, workload = Counts(), Workload()
    async with workload.kept_current(store(counts), period_s=PERIOD_S):
        assert workload.open_inquiries == {"Ana": 1}
        counts.open = {"Ana": 5, "Bo": 2}
        await until(lambda: workload.open_inquiries == {"Ana": 5, "Bo": 2})


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), asyncio.CancelledError()], ids=["away", "cancelled"])
async def test_a_store_that_is_away_leaves_the_last_numbers_and_one_line(
    caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    counts, workload = Counts(), Workload()
    counts.failure = failure
    with caplog.at_level(logging.WARNING):
        async with workload.kept_current(store(counts), period_s=PERIOD_S):
            for _ in range(2):
                counts.open, asked = None, counts.asked
                await until(lambda asked=asked: counts.asked > asked + 3)  # type: ignore[misc]
                assert workload.open_inquiries == {"Ana": 1}
                counts.open, asked = {"Ana": 1}, counts.asked
                await until(lambda asked=asked: counts.asked > asked + 1)  # type: ignore[misc]
    assert [record.getMessage() for record in caplog.records] == [
        "open inquiries can't be counted; going on with the last numbers"
    ] * 2


async def test_a_store_that_cannot_be_read_at_start_stops_the_start() -> None:
    counts = Counts()
    counts.open = None
    with pytest.raises(StoreUnavailable):
        async with Workload().kept_current(store(counts)):
            pass


def test_who_has_no_consultant_is_counted_for_nobody() -> None:
    workload, outcome = Workload(), sample_outcome()
    queued = replace(outcome, route=replace(outcome.route, consultant=None))
    workload.take([outcome, queued, outcome])
    workload.give_back(outcome)
    workload.give_back(queued)
    assert workload.open_inquiries == {outcome.route.consultant: 1}
