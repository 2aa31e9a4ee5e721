"""The notices of the store `sqlite`: what is due, who holds what. Each call is made inside the store's transaction.

One connection at a time writes the file, whichever process it belongs to, so no two can hold one notice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from inquiry_svc.notices import Delivery, Notice, NoticeFilters, Outbox, Settled, Undelivered
from inquiry_svc_plugins.stores.notice_rows import NoticeRows
from inquiry_svc_plugins.stores.outcome_rows import to_json
from inquiry_svc_plugins.stores.sqlite.times import to_microseconds


class NoticeTable:
    def __init__(self, queries: Mapping[str, str], rows: NoticeRows) -> None:
        self._queries = queries
        self._rows = rows

    def keep(self, connection: sqlite3.Connection, notices: Sequence[Notice]) -> None:
        if notices:
            connection.executemany(self._queries["insert_notice"], map(self._rows.notice, notices))

    def claim(
        self, connection: sqlite3.Connection, notifier: str, now: datetime, until: datetime, limit: int
    ) -> Sequence[Delivery]:
        values = {"notifier": notifier, "now": to_microseconds(now), "limit": limit}
        due = [row[0] for row in connection.execute(self._queries["due_notices"], values)]
        if not due:
            return []
        connection.executemany(self._queries["claim_notice"], [(to_microseconds(until), nth) for nth in due])
        return list(map(self._rows.delivery, connection.execute(self._queries["deliveries"], (to_json(due),))))

    def settle(self, connection: sqlite3.Connection, settled: Sequence[Settled]) -> None:
        for each in settled:
            notice = each.delivery.notice
            values = {
                "notice_id": notice.notice_id,
                "notifier": notice.notifier,
                "inquiry_id": notice.inquiry_id,
                "claimed_until": to_microseconds(each.delivery.claimed_until),
                "at": to_microseconds(each.at),
                "reason": each.reason,
            }
            found = connection.execute(self._queries[f"notice_{each.result}"], values)
            if each.result == "failed" and found.rowcount:
                connection.execute(self._queries["hold_up_those_after"], values)

    def list(self, connection: sqlite3.Connection, filters: NoticeFilters, limit: int) -> Sequence[Undelivered]:
        values = {**_values(filters), "limit": limit}
        return list(map(self._rows.undelivered, connection.execute(self._queries["notices"], values)))

    def retry(self, connection: sqlite3.Connection, filters: NoticeFilters, now: datetime, limit: int) -> int:
        values = {**_values(filters), "now": to_microseconds(now), "limit": limit}
        return connection.execute(self._queries["retry_notices"], values).rowcount

    def drop(self, connection: sqlite3.Connection, filters: NoticeFilters, limit: int) -> int:
        return connection.execute(self._queries["drop_notices"], {**_values(filters), "limit": limit}).rowcount

    def outbox(self, connection: sqlite3.Connection, notifier: str) -> Outbox:
        return self._rows.outbox(connection.execute(self._queries["outbox"], {"notifier": notifier}).fetchone())


def _values(filters: NoticeFilters) -> dict[str, Any]:
    return {
        "notifier": filters.notifier,
        "notice_ids": None if filters.notice_ids is None else to_json(list(filters.notice_ids)),
        "set_aside": filters.set_aside,
    }
