"""The gauges that only the store can tell: fresh while it answers, as they were while it doesn't."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from inquiry_svc.catalogue import (
    DB_CONNECTIONS,
    OWN_METRICS,
)
from inquiry_svc.contracts import Pool, PoolKind
from inquiry_svc.errors import StoreUnavailable
from inquiry_svc.metrics import Metrics
from inquiry_svc.review_metrics import (
    REVIEW_QUEUE_AGE,
    REVIEW_QUEUE_AGE_BY_REASON,
    REVIEW_QUEUE_SIZE,
    REVIEW_QUEUE_SIZE_BY_REASON,
)
from inquiry_svc.review_queue import ReviewQueue, Waiting
from inquiry_svc.store_gauges import store_gauges_kept_current
from inquiry_svc_plugins.stores.memory import MemoryStore

PERIOD_S = 0.01
LONG_AGO = datetime.now(UTC) - timedelta(days=1)


class GivenStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.queue: ReviewQueue | None = ReviewQueue(0, None)
        self.asked = 0

    async def review_queue(self) -> ReviewQueue:
        self.asked += 1
        if self.queue is None:
            raise StoreUnavailable("away")
        return self.queue

    def pools(self) -> Mapping[PoolKind, Pool]:
        return {"reader": Pool(idle=1, active=2, maximum=5), "writer": Pool(idle=0, active=1, maximum=2)}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.001)


async def test_the_queue_and_the_connections_are_read_again_and_again() -> None:
    store, metrics = GivenStore(), Metrics(OWN_METRICS)
    size, age_s = metrics.series(REVIEW_QUEUE_SIZE), metrics.series(REVIEW_QUEUE_AGE)
    async with store_gauges_kept_current(store, metrics, period_s=PERIOD_S):
        await until(lambda: store.asked > 1)
        assert (size.value, age_s.value) == (0, 0)
        store.queue = ReviewQueue(7, LONG_AGO, {"audit": Waiting(3, LONG_AGO)})
        await until(lambda: size.value == 7)
        for reason, count in {"audit": 3, "low_confidence": 0}.items():
            assert metrics.series(REVIEW_QUEUE_SIZE_BY_REASON, reason=reason).value == count
            waited_s = metrics.series(REVIEW_QUEUE_AGE_BY_REASON, reason=reason).value
            assert waited_s == 0 if not count else 86_400 <= waited_s < 2 * 86_400
        assert 86_400 <= age_s.value < 2 * 86_400
        store.queue = ReviewQueue(1, datetime.now(UTC) + timedelta(hours=1))
        await until(lambda: size.value == 1)
        assert age_s.value == 0, "a caller may say that it was received in an hour"
    for kind, counts in {"reader": (1, 2, 5), "writer": (0, 1, 2)}.items():
        for state, count in zip(("idle", "active", "max"), counts, strict=True):
            assert metrics.series(DB_CONNECTIONS, kind=kind, state=state).value == count


async def test_a_store_that_is_away_leaves_the_last_numbers_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    store, metrics = GivenStore(), Metrics(OWN_METRICS)
    store.queue = ReviewQueue(7, LONG_AGO)
    size = metrics.series(REVIEW_QUEUE_SIZE)
    with caplog.at_level(logging.WARNING):
        async with store_gauges_kept_current(store, metrics, period_s=PERIOD_S):
            await until(lambda: size.value == 7)
            store.queue, asked = None, store.asked
            await until(lambda: store.asked > asked + 3)
            assert size.value == 7
            store.queue = ReviewQueue(3, LONG_AGO)
            await until(lambda: size.value == 3)
    assert len(caplog.records) == 1
