"""Keeps the gauges current that only the store can tell: its connections, what waits for a person, what to be told.

While the store can't be asked they stay as they were; `system_health_status` says that it is away.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Final

from inquiry_svc.catalogue import DB_CONNECTIONS
from inquiry_svc.contracts import Store
from inquiry_svc.inquiries import REVIEW_REASONS
from inquiry_svc.metrics import Metrics
from inquiry_svc.notice_metrics import NOTICES_AGE, NOTICES_SET_ASIDE, NOTICES_WAITING
from inquiry_svc.repeating import repeated
from inquiry_svc.review_metrics import (
    REVIEW_QUEUE_AGE,
    REVIEW_QUEUE_AGE_BY_REASON,
    REVIEW_QUEUE_SIZE,
    REVIEW_QUEUE_SIZE_BY_REASON,
)

_PERIOD_S: Final = 5.0


def store_gauges_kept_current(
    store: Store, metrics: Metrics, *, notifiers: Collection[str] = (), period_s: float = _PERIOD_S
) -> AbstractAsyncContextManager[None]:
    """Read now and every period while open. The store has a time limit of its own on each call."""
    return repeated(
        partial(_read, store, metrics, notifiers),
        period_s=period_s,
        first_after_s=0,
        name="store gauges",
        failing="the queues in the store can't be read; their gauges stay as they were",
    )


async def _read(store: Store, metrics: Metrics, notifiers: Collection[str]) -> None:
    for kind, pool in store.pools().items():
        for state, count in (("idle", pool.idle), ("active", pool.active), ("max", pool.maximum)):
            metrics.series(DB_CONNECTIONS, kind=kind, state=state).set(count)
    queue = await store.review_queue()
    metrics.series(REVIEW_QUEUE_SIZE).set(queue.size)
    metrics.series(REVIEW_QUEUE_AGE).set(_age_s(queue.oldest_received_at))
    for reason in REVIEW_REASONS:
        waiting = queue.by_reason.get(reason)
        size, oldest = (waiting.size, waiting.oldest_received_at) if waiting else (0, None)
        metrics.series(REVIEW_QUEUE_SIZE_BY_REASON, reason=reason).set(size)
        metrics.series(REVIEW_QUEUE_AGE_BY_REASON, reason=reason).set(_age_s(oldest))
    for notifier in notifiers:
        outbox = await store.outbox(notifier)
        metrics.series(NOTICES_WAITING, notifier=notifier).set(outbox.waiting)
        metrics.series(NOTICES_AGE, notifier=notifier).set(_age_s(outbox.oldest_waiting_since))
        metrics.series(NOTICES_SET_ASIDE, notifier=notifier).set(outbox.set_aside)


def _age_s(moment: datetime | None) -> float:
    return 0.0 if moment is None else max(0.0, (datetime.now(UTC) - moment).total_seconds())
