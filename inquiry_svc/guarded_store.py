"""The chosen store with what every call to it needs: a time limit and a measurement. Answers pass untouched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from inquiry_svc.catalogue import DB_CONNECTIONS_ACTIVE, DB_QUERY_DURATION, OPERATIONS
from inquiry_svc.contracts import Filters, Pool, PoolKind, Position, Stats, Store
from inquiry_svc.errors import StoreUnavailable
from inquiry_svc.inquiries import Feedback, Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc.notices import Delivery, Notice, NoticeFilters, Outbox, Settled, Undelivered
from inquiry_svc.review_queue import Claim, Review, ReviewQueue, Turn


class GuardedStore:
    """A `Store` around another. Raises `StoreUnavailable` where that one does not answer within `timeout_s`."""

    def __init__(self, store: Store, *, metrics: Metrics, timeout_s: float) -> None:
        self._store = store
        self._timeout_s = timeout_s
        self._duration_s = {
            operation: metrics.series(DB_QUERY_DURATION, operation=operation) for operation in OPERATIONS
        }
        self._active = metrics.series(DB_CONNECTIONS_ACTIVE)

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        async with self._call("save"):
            return await self._store.save(outcomes, notices)

    async def get(self, inquiry_id: str) -> Outcome | None:
        async with self._call("get"):
            return await self._store.get(inquiry_id)

    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        async with self._call("list"):
            return await self._store.list(filters, limit=limit, after=after)

    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        async with self._call("feedback"):
            return await self._store.add_feedback(inquiry_id, feedback, as_review=as_review, notices=notices)

    async def resolve(self, inquiry_id: str, resolved_at: datetime, *, notices: Sequence[Notice] = ()) -> Outcome:
        async with self._call("resolve"):
            return await self._store.resolve(inquiry_id, resolved_at, notices=notices)

    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        async with self._call("erase"):
            return await self._store.erase(inquiry_ids)

    async def stats(self, *, since: datetime, now: datetime) -> Stats:
        async with self._call("stats"):
            return await self._store.stats(since=since, now=now)

    async def open_inquiries(self) -> Mapping[str, int]:
        async with self._call("stats"):
            return await self._store.open_inquiries()

    async def reviews(self, *, limit: int, after: Turn | None) -> Sequence[Review]:
        async with self._call("reviews"):
            return await self._store.reviews(limit=limit, after=after)

    async def claim_reviews(
        self, claim: Claim, *, now: datetime, limit: int, inquiry_id: str | None = None
    ) -> Sequence[Review]:
        async with self._call("claim"):
            return await self._store.claim_reviews(claim, now=now, limit=limit, inquiry_id=inquiry_id)

    async def return_review(self, inquiry_id: str, reviewer: str, *, now: datetime, behind: bool) -> Review | None:
        async with self._call("return"):
            return await self._store.return_review(inquiry_id, reviewer, now=now, behind=behind)

    async def review_queue(self) -> ReviewQueue:
        async with self._call("review_queue"):
            return await self._store.review_queue()

    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        async with self._call("claim_notices"):
            return await self._store.claim_notices(notifier, now=now, until=until, limit=limit)

    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        async with self._call("settle_notices"):
            await self._store.settle_notices(settled)

    async def notices(self, filters: NoticeFilters, *, limit: int) -> Sequence[Undelivered]:
        async with self._call("notices"):
            return await self._store.notices(filters, limit=limit)

    async def retry_notices(self, filters: NoticeFilters, *, now: datetime, limit: int) -> int:
        async with self._call("notices"):
            return await self._store.retry_notices(filters, now=now, limit=limit)

    async def drop_notices(self, filters: NoticeFilters, *, limit: int) -> int:
        async with self._call("notices"):
            return await self._store.drop_notices(filters, limit=limit)

    async def outbox(self, notifier: str) -> Outbox:
        async with self._call("outbox"):
            return await self._store.outbox(notifier)

    def pools(self) -> Mapping[PoolKind, Pool]:
        return self._store.pools()

    async def check(self) -> None:
        async with asyncio.timeout(self._timeout_s):
            await self._store.check()

    @asynccontextmanager
    async def _call(self, operation: str) -> AsyncIterator[None]:
        started = time.perf_counter()
        self._active.set(self._active.value + 1)
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError as error:
            raise StoreUnavailable(f"the store did not answer {operation} within {self._timeout_s:g} s") from error
        finally:
            self._active.set(self._active.value - 1)
            self._duration_s[operation].observe(time.perf_counter() - started)
