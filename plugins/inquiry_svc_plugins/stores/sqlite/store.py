"""The store `sqlite`: one writer, a batch a transaction, and reads beside it that never wait for it.

What a store promises is in `contracts.Store`; the SQL is in `queries.sql`. Made and closed by `open_sqlite`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from inquiry_svc.contracts import Filters, Pool, PoolKind, Position, Stats
from inquiry_svc.errors import AlreadyResolved, InquiryNotFound, StoreUnavailable
from inquiry_svc.inquiries import Feedback, Outcome
from inquiry_svc.notices import Delivery, Notice, NoticeFilters, Outbox, Settled, Undelivered
from inquiry_svc.review_queue import Claim, Review, ReviewQueue, Turn
from inquiry_svc_plugins.stores.named_sql import read_queries
from inquiry_svc_plugins.stores.notice_rows import NoticeRows
from inquiry_svc_plugins.stores.outcome_rows import OutcomeRows, Row, to_json
from inquiry_svc_plugins.stores.sqlite.connections import Connections
from inquiry_svc_plugins.stores.sqlite.database import transaction
from inquiry_svc_plugins.stores.sqlite.erasing import Erasing, cascading
from inquiry_svc_plugins.stores.sqlite.hourly_totals import SOME_HOURS, HourlyTotals, hour_of
from inquiry_svc_plugins.stores.sqlite.notices import NoticeTable
from inquiry_svc_plugins.stores.sqlite.reviews import ReviewTable
from inquiry_svc_plugins.stores.sqlite.times import from_microseconds, to_microseconds

T = TypeVar("T")

# The module sqlite3 looks for an adapter for each value that is a bool, bytes or None: 3,000 instructions each. The
# queries that insert an outcome make NULL of an empty blob, which no text and no number equals.
_ROWS: Final = OutcomeRows(to_microseconds, from_microseconds, from_flag=int, from_bytes=bytearray, nothing=bytearray())
_FIRST_MICROSECOND: Final = -(2**63)
_LAST_MICROSECOND: Final = 2**63 - 1
_EMPTY_LOG_WITHIN_S: Final = 0.25


class SqliteStore:
    """Keeps outcomes in one file. A second process may open the same file; the two take turns in writing."""

    def __init__(
        self, path: Path, writer: sqlite3.Connection, readers: Sequence[sqlite3.Connection], busy_timeout_s: float
    ) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._file = _identity(path)
        self._queries = read_queries(__package__)
        self._reviews = ReviewTable(self._queries, _ROWS)
        self._notices = NoticeTable(self._queries, NoticeRows(_ROWS))
        self._totals = HourlyTotals(self._queries)
        self._writer = Connections([writer], "writer")
        self._readers = Connections(readers, "readers")
        self._erasing = Erasing(self._queries["erase"], self._writer)

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        return await self._write(lambda connection: self._save(connection, outcomes, notices))

    async def get(self, inquiry_id: str) -> Outcome | None:
        return await self._readers.run(lambda connection: self._outcome(connection, inquiry_id))

    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        query, values = _list_query(filters, after)
        found = await self._readers.run(
            lambda connection: connection.execute(self._queries[query], {**values, "limit": limit}).fetchall()
        )
        return [_ROWS.outcome(row) for row in found]

    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        def add(connection: sqlite3.Connection) -> Outcome:
            self._required(connection, inquiry_id)
            if as_review:
                self._reviews.require(connection, inquiry_id, feedback.reviewer, feedback.given_at)
            connection.execute(self._queries["insert_feedback"], _ROWS.feedback(inquiry_id, feedback))
            connection.execute(self._queries["clear_needs_review"], (inquiry_id,))
            self._notices.keep(connection, notices)
            return self._required(connection, inquiry_id)

        return await self._write(add)

    async def resolve(self, inquiry_id: str, resolved_at: datetime, *, notices: Sequence[Notice] = ()) -> Outcome:
        def resolve(connection: sqlite3.Connection) -> Outcome:
            if self._required(connection, inquiry_id).resolved_at is not None:
                raise AlreadyResolved(f"inquiry {inquiry_id} was resolved before")
            values = {"inquiry_id": inquiry_id, "resolved_at": to_microseconds(resolved_at)}
            connection.execute(self._queries["set_resolved"], values)
            self._notices.keep(connection, notices)
            return self._required(connection, inquiry_id)

        return await self._write(resolve)

    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        """No byte of them is in the files then; within a minute, if somebody reads for longer at this moment."""

        def erase(connection: sqlite3.Connection) -> Sequence[str]:
            with cascading(connection):
                return self._in_transaction(connection, lambda inside: self._erasing.erase(inside, inquiry_ids))

        erased = await self._writer.run(erase)
        await self._erasing.empty_log(within_s=_EMPTY_LOG_WITHIN_S)
        return erased

    async def stats(self, *, since: datetime, now: datetime) -> Stats:
        """The distributions hold every label of the closed sets, those that do not occur with 0."""
        return await self._readers.run(
            lambda connection: self._totals.stats(connection, to_microseconds(since), to_microseconds(now))
        )

    async def count_hours(self) -> None:
        """Count the hours that are over, so that `stats` need not, and again those that changed since.

        Rows are counted by a connection that reads; writing what was found takes no longer than a batch.
        """
        now = to_microseconds(datetime.now(UTC))
        more = True
        while more:
            taken_in = await self._write(lambda connection: self._totals.take_in(connection, now))
            counted = await self._readers.run(self._totals.count_changed)
            await self._write(partial(self._totals.keep, counted=counted))
            more = taken_in or len(counted) == SOME_HOURS
        await self._erasing.empty_log(within_s=0)

    async def open_inquiries(self) -> Mapping[str, int]:
        return await self._readers.run(lambda connection: dict(connection.execute(self._queries["consultant_loads"])))

    async def reviews(self, *, limit: int, after: Turn | None) -> Sequence[Review]:
        return await self._readers.run(lambda connection: self._reviews.list(connection, limit, after))

    async def claim_reviews(
        self, claim: Claim, *, now: datetime, limit: int, inquiry_id: str | None = None
    ) -> Sequence[Review]:
        return await self._write(lambda connection: self._reviews.claim(connection, claim, now, limit, inquiry_id))

    async def return_review(self, inquiry_id: str, reviewer: str, *, now: datetime, behind: bool) -> Review | None:
        return await self._write(
            lambda connection: self._reviews.give_back(connection, inquiry_id, reviewer, now, behind=behind)
        )

    async def review_queue(self) -> ReviewQueue:
        return await self._readers.run(self._reviews.queue)

    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        return await self._write(lambda connection: self._notices.claim(connection, notifier, now, until, limit))

    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        await self._write(lambda connection: self._notices.settle(connection, settled))

    async def notices(self, filters: NoticeFilters, *, limit: int) -> Sequence[Undelivered]:
        return await self._readers.run(lambda connection: self._notices.list(connection, filters, limit))

    async def retry_notices(self, filters: NoticeFilters, *, now: datetime, limit: int) -> int:
        return await self._write(lambda connection: self._notices.retry(connection, filters, now, limit))

    async def drop_notices(self, filters: NoticeFilters, *, limit: int) -> int:
        return await self._write(lambda connection: self._notices.drop(connection, filters, limit))

    async def outbox(self, notifier: str) -> Outbox:
        return await self._readers.run(lambda connection: self._notices.outbox(connection, notifier))

    def pools(self) -> Mapping[PoolKind, Pool]:
        """Those that read. The one that writes has a queue, which is meant to be busy."""
        return {"reader": self._readers.pool()}

    async def check(self) -> None:
        """Commits one small row: only that finds a full disk. Those that read may all be busy."""
        await self._write(lambda connection: connection.execute(self._queries["write_check"]))

    async def close(self) -> None:
        """Wait for what is being written. The writer closes last, which folds the write-ahead log into the file."""
        try:
            await self._erasing.close()
            await asyncio.to_thread(self._readers.close)
        finally:
            await asyncio.to_thread(self._writer.close)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._writer.run(lambda connection: self._in_transaction(connection, work))

    def _in_transaction(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        # SQLite goes on writing into a file that was deleted: all of it would be lost.
        if _identity(self._path) != self._file:
            raise StoreUnavailable("the database file of the sqlite store was removed or replaced: restart the service")
        with transaction(connection, within_s=self._busy_timeout_s):
            return work(connection)

    def _save(
        self, connection: sqlite3.Connection, outcomes: Sequence[Outcome], notices: Sequence[Notice]
    ) -> Sequence[Outcome]:
        ids_of_keys, stored = self._stored_before(connection, outcomes)
        answers: list[Outcome] = []
        fresh: list[Outcome] = []
        for outcome in outcomes:
            inquiry_id, key = outcome.inquiry.inquiry_id, outcome.inquiry.idempotency_key
            earlier = stored.get(ids_of_keys.get(key.value, inquiry_id) if key else inquiry_id)
            if earlier is None:
                fresh.append(outcome)
                stored[inquiry_id] = outcome
                if key is not None:
                    ids_of_keys[key.value] = inquiry_id
            answers.append(earlier or outcome)
        self._insert(connection, fresh)
        if notices:
            ids = {outcome.inquiry.inquiry_id for outcome in fresh}
            self._notices.keep(connection, [each for each in notices if each.inquiry_id in ids])
        return answers

    def _stored_before(
        self, connection: sqlite3.Connection, outcomes: Sequence[Outcome]
    ) -> tuple[dict[str, str], dict[str, Outcome]]:
        """The ids that the outcomes' idempotency keys lead to, and by id whatever any of `outcomes` would repeat."""
        inquiries = [outcome.inquiry for outcome in outcomes]
        keys = [inquiry.idempotency_key.value for inquiry in inquiries if inquiry.idempotency_key is not None]
        ids_of_keys: dict[str, str] = {}
        if keys:
            found = connection.execute(self._queries["inquiry_ids_of_keys"], (to_json(keys),))
            ids_of_keys.update(found)
        ids = [*(inquiry.inquiry_id for inquiry in inquiries), *ids_of_keys.values()]
        stored = map(_ROWS.outcome, connection.execute(self._queries["outcomes"], (to_json(ids),)))
        return ids_of_keys, {outcome.inquiry.inquiry_id: outcome for outcome in stored}

    def _insert(self, connection: sqlite3.Connection, fresh: Sequence[Outcome]) -> None:
        inquiries = [_ROWS.inquiry(outcome) for outcome in fresh]
        keys = [(inquiry_id, received_at) for inquiry_id, received_at, *_ in inquiries]
        tables: dict[str, Iterable[Row]] = {
            "insert_inquiry": inquiries,
            "insert_prediction": (key + _ROWS.prediction(each) for key, each in zip(keys, fresh, strict=True)),
            "insert_routing_decision": (
                key + _ROWS.routing_decision(each) for key, each in zip(keys, fresh, strict=True)
            ),
            "insert_idempotency_key": _ROWS.idempotency_keys(fresh),
            "insert_feedback": [
                _ROWS.feedback(outcome.inquiry.inquiry_id, outcome.feedback) for outcome in fresh if outcome.feedback
            ],
            "insert_review": _ROWS.waiting(fresh),
            "add_to_load": list(_loads(fresh).items()),
            "set_hour_changed": [(hour,) for hour in {hour_of(received_at) for _, received_at in keys}],
        }
        for query, values in tables.items():
            connection.executemany(self._queries[query], values)

    def _outcome(self, connection: sqlite3.Connection, inquiry_id: str) -> Outcome | None:
        row = connection.execute(self._queries["outcome"], (inquiry_id,)).fetchone()
        return None if row is None else _ROWS.outcome(row)

    def _required(self, connection: sqlite3.Connection, inquiry_id: str) -> Outcome:
        outcome = self._outcome(connection, inquiry_id)
        if outcome is None:
            raise InquiryNotFound(f"no inquiry has the id {inquiry_id}")
        return outcome


def _loads(fresh: Sequence[Outcome]) -> Mapping[str, int]:
    """How many of them are open, by consultant."""
    return Counter(
        outcome.route.consultant
        for outcome in fresh
        if outcome.route.consultant is not None and outcome.resolved_at is None
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at `path` now."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _list_query(filters: Filters, after: Position | None) -> tuple[str, dict[str, Any]]:
    """The named query led by the index that suits `filters` best, and the values that it takes."""
    bounds = [(_LAST_MICROSECOND, "")]
    if filters.until is not None:
        bounds.append((to_microseconds(filters.until), ""))  # no id is smaller than "": all at `until` are out
    if after is not None:
        bounds.append((to_microseconds(after.received_at), after.inquiry_id))
    before, before_id = min(bounds)
    values = {
        "since": _FIRST_MICROSECOND if filters.since is None else to_microseconds(filters.since),
        "before": before,
        "before_id": before_id,
        "category": filters.category,
        "sentiment": filters.sentiment,
        "urgency": filters.urgency,
        "department": filters.department,
        "escalated": filters.escalated,
        "needs_review": filters.needs_review,
        "resolved": None if filters.status is None else filters.status == "resolved",
    }
    if filters.needs_review:  # from what the fewest inquiries pass, as a rule, to what most do
        return "list_needs_review", values
    if filters.status == "routed":
        return "list_status", values
    if filters.department is not None:
        return "list_department", values
    if filters.category is not None:
        return "list_category", values
    if filters.status == "resolved":
        return "list_status", values
    return "list_newest", values
