"""The notices of the store `postgres`: what is due, who holds what.

A row lock decides between two who want one at the same moment; what is locked is passed over rather than waited for.
What a lost connection had claimed is due again when that claim has run out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from inquiry_svc.notices import Delivery, Notice, NoticeFilters, Outbox, Settled, Undelivered
from inquiry_svc_plugins.stores.notice_rows import NoticeRows


class NoticeTable:
    def __init__(self, queries: Mapping[str, str], rows: NoticeRows) -> None:
        self._queries = queries
        self._rows = rows

    def columns(self, notices: Sequence[Notice]) -> Sequence[Sequence[Any]]:
        """As the last values of what keeps notices; for none, empty ones."""
        return list(zip(*map(self._rows.notice, notices), strict=True)) or [[]] * 5

    async def claim(
        self, connection: Any, notifier: str, now: datetime, until: datetime, limit: int
    ) -> Sequence[Delivery]:
        claimed = await connection.fetch(self._queries["claim_notices"], notifier, now, until, limit)
        if not claimed:
            return []
        rows = await connection.fetch(self._queries["deliveries"], [row[0] for row in claimed])
        return list(map(self._rows.delivery, rows))

    async def settle(self, connection: Any, settled: Sequence[Settled]) -> None:
        async with connection.transaction():
            for each in settled:
                delivery, notice = each.delivery, each.delivery.notice
                which = UUID(notice.inquiry_id), notice.notifier, UUID(notice.notice_id), delivery.claimed_until
                values = {"delivered": (), "returned": (each.at,)}.get(each.result, (each.at, each.reason))
                await connection.execute(self._queries[f"notice_{each.result}"], *which, *values)

    async def list(self, connection: Any, filters: NoticeFilters, limit: int) -> Sequence[Undelivered]:
        rows = await connection.fetch(self._queries["notices"], *_values(filters), limit)
        return list(map(self._rows.undelivered, rows))

    async def retry(self, connection: Any, filters: NoticeFilters, now: datetime, limit: int) -> int:
        return int(await connection.fetchval(self._queries["retry_notices"], *_values(filters), limit, now))

    async def drop(self, connection: Any, filters: NoticeFilters, limit: int) -> int:
        return int(await connection.fetchval(self._queries["drop_notices"], *_values(filters), limit))

    async def outbox(self, connection: Any, notifier: str) -> Outbox:
        return self._rows.outbox(await connection.fetchrow(self._queries["outbox"], notifier))


def _values(filters: NoticeFilters) -> Sequence[Any]:
    ids = None if filters.notice_ids is None else list(filters.notice_ids)
    return filters.notifier, filters.set_aside, ids
