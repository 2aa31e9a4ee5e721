"""The store `postgres`: a batch is one statement, and so one transaction and one round trip.

What a store promises is in `contracts.Store`; the SQL is in `queries.sql`. Made and closed by `open_postgres`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import uuid_utils.compat

from inquiry_svc.contracts import Filters, Pool, PoolKind, Position, Stats
from inquiry_svc.errors import AlreadyResolved, InquiryNotFound, ReviewNotYours
from inquiry_svc.inquiries import CATEGORIES, DEPARTMENTS, SENTIMENTS, URGENCIES, Feedback, Outcome
from inquiry_svc.notices import Delivery, Notice, NoticeFilters, Outbox, Settled, Undelivered
from inquiry_svc.review_queue import Claim, Review, ReviewQueue, Turn
from inquiry_svc_plugins.stores.named_sql import read_queries
from inquiry_svc_plugins.stores.notice_rows import NoticeRows
from inquiry_svc_plugins.stores.outcome_rows import OutcomeRows
from inquiry_svc_plugins.stores.postgres.connections import Connections
from inquiry_svc_plugins.stores.postgres.lists import list_query
from inquiry_svc_plugins.stores.postgres.notices import NoticeTable
from inquiry_svc_plugins.stores.postgres.reviews import ReviewTable

T = TypeVar("T")

_FIRST: Final = datetime.min.replace(tzinfo=UTC)

_SOME_HOURS: Final = 20
_SOME_ROWS: Final = 10_000
_LONGEST_TURN_S: Final = 300.0


def _with_zone(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise TypeError("a time without a zone can't be stored")
    return time


def _in_utc(time: datetime) -> datetime:
    """asyncpg takes the first and the last time that there is for infinities, and gives those back without a zone."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


_ROWS: Final = OutcomeRows(_with_zone, _in_utc)


class PostgresStore:
    """Keeps outcomes in one database, which any number of services may share."""

    def __init__(self, writers: Connections, readers: Connections) -> None:
        self._writers = writers
        self._readers = readers
        self._queries = read_queries(__package__)
        self._reviews = ReviewTable(self._queries, _ROWS)
        self._notices = NoticeTable(self._queries, NoticeRows(_ROWS))

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        if not outcomes:
            return []
        unique = {outcome.inquiry.inquiry_id: outcome for outcome in reversed(outcomes)}
        columns = [*zip(*map(_row, reversed(unique.values())), strict=True), *self._notices.columns(notices)]
        feedback = {inquiry_id: _new_feedback(each) for inquiry_id, each in unique.items() if each.feedback}

        async def save(connection: Any) -> tuple[set[str], dict[str, str], dict[str, Outcome]]:
            async with connection.transaction() if feedback else nullcontext():
                written = {str(row[0]) for row in await connection.fetch(self._queries["save"], *columns)}
                for inquiry_id in written & feedback.keys():
                    await connection.execute(self._queries["insert_feedback"], *feedback[inquiry_id])
            earlier = [outcome for outcome in outcomes if outcome.inquiry.inquiry_id not in written]
            return written, *(await self._stored(connection, earlier) if earlier else ({}, {}))

        written, ids_of_keys, stored = await self._writers.run(save)
        try:
            return [
                outcome
                if outcome.inquiry.inquiry_id in written
                else stored[ids_of_keys.get(_key(outcome), outcome.inquiry.inquiry_id)]
                for outcome in outcomes
            ]
        except KeyError:  # what was found stored was erased before it was read
            return await self.save(outcomes, notices)

    async def get(self, inquiry_id: str) -> Outcome | None:
        known_id = _id(inquiry_id)
        if known_id is None:
            return None
        return await self._readers.run(lambda connection: self._outcome(connection, known_id))

    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        query, values = list_query(filters, after)
        found = await self._readers.run(lambda connection: connection.fetch(self._queries[query], limit, *values))
        return [_outcome(row) for row in found]

    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        known_id = _required(_id(inquiry_id), inquiry_id)
        query = self._queries["add_feedback_as_review" if as_review else "add_feedback"]
        values = (_new_id(), *_ROWS.feedback(inquiry_id, feedback), *self._notices.columns(notices))

        async def add(connection: Any) -> tuple[int, Outcome | None]:
            return await connection.fetchval(query, *values), await self._outcome(connection, known_id)

        count, found = await self._writers.run(add)
        outcome = _required(found, inquiry_id)
        if not count:
            raise ReviewNotYours(f"the review of inquiry {inquiry_id} is held by another, or it does not wait for one")
        return outcome

    async def resolve(self, inquiry_id: str, resolved_at: datetime, *, notices: Sequence[Notice] = ()) -> Outcome:
        known_id = _required(_id(inquiry_id), inquiry_id)
        values = (known_id, _with_zone(resolved_at), *self._notices.columns(notices))
        tries = 0

        async def resolve(connection: Any) -> tuple[int, Outcome | None]:
            nonlocal tries
            tries += 1
            count = await connection.fetchval(self._queries["resolve"], *values)
            return count, await self._outcome(connection, known_id)

        count, found = await self._writers.run(resolve)
        outcome = _required(found, inquiry_id)
        before_it_was_lost = tries > 1 and outcome.resolved_at == resolved_at
        if not count and not before_it_was_lost:
            raise AlreadyResolved(f"inquiry {inquiry_id} was resolved before")
        return outcome

    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        known_ids = [known_id for known_id in map(_id, inquiry_ids) if known_id is not None]
        erased: set[str] = set()

        async def erase(connection: Any) -> None:
            async with connection.transaction():
                await connection.execute(self._queries["lock_to_erase"], known_ids)
                await connection.execute(self._queries["lock_reviews_to_erase"], known_ids)
                await connection.execute(self._queries["lock_routing_to_erase"], known_ids)
                await connection.execute(self._queries["lock_notices_to_erase"], known_ids)
                rows = await connection.fetch(self._queries["erase"], known_ids)
                erased.update(str(row[0]) for row in rows)  # by now: the commit may succeed and its answer be lost

        await self._writers.run(erase)
        return sorted(erased)

    async def stats(self, *, since: datetime, now: datetime) -> Stats:
        """The distributions hold every label of the closed sets, those that do not occur with 0."""
        row = await self._readers.run(lambda connection: connection.fetchrow(self._queries["stats"], since, now))
        total, due = row["total"], row["due"]

        def distribution(axis: str, labels: Sequence[str]) -> Mapping[str, int]:
            return {label: row[f"{axis}_{label}"] for label in labels}

        return Stats(
            total_inquiries=total,
            processed_inquiries=total - row["unprocessed"],
            escalated_inquiries=row["escalated"],
            escalation_rate=row["escalated"] / total if total else None,
            needs_review_inquiries=row["needs_review"],
            category_distribution=distribution("category", CATEGORIES),
            department_distribution=distribution("department", DEPARTMENTS),
            urgency_distribution=distribution("urgency", URGENCIES),
            sentiment_distribution=distribution("sentiment", SENTIMENTS),
            average_priority_score=row["average_priority_score"],
            within_sla_rate=row["in_time"] / due if due else None,
        )

    async def count_hours(self) -> None:
        """Count the hours that are over, so that `stats` need not, and again those that changed since.

        It takes a connection that writes, again and again, for as long as some ten thousand rows take, or the rows of
        twenty hours that changed. Raises `TimeoutError` where that is five minutes: the server hangs or is gone.
        """
        after, more = _FIRST, True  # an hour that changes while this goes on has its turn at the next call
        while more:
            async with asyncio.timeout(_LONGEST_TURN_S):
                after, more = await self._writers.run(partial(self._count_some_hours, after))

    async def open_inquiries(self) -> Mapping[str, int]:
        rows = await self._readers.run(lambda connection: connection.fetch(self._queries["consultant_loads"]))
        return {row[0]: row[1] for row in rows}

    async def reviews(self, *, limit: int, after: Turn | None) -> Sequence[Review]:
        return await self._readers.run(lambda connection: self._reviews.list(connection, limit, after))

    async def claim_reviews(
        self, claim: Claim, *, now: datetime, limit: int, inquiry_id: str | None = None
    ) -> Sequence[Review]:
        known_id = None if inquiry_id is None else _id(inquiry_id)
        if inquiry_id is not None and known_id is None:
            return []
        return await self._writers.run(lambda connection: self._reviews.claim(connection, claim, now, limit, known_id))

    async def return_review(self, inquiry_id: str, reviewer: str, *, now: datetime, behind: bool) -> Review | None:
        known_id = _id(inquiry_id)
        if known_id is None:
            return None
        return await self._writers.run(
            lambda connection: self._reviews.give_back(connection, known_id, reviewer, now, behind)
        )

    async def review_queue(self) -> ReviewQueue:
        return await self._readers.run(self._reviews.queue)

    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        return await self._writers.run(lambda connection: self._notices.claim(connection, notifier, now, until, limit))

    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        await self._writers.run(lambda connection: self._notices.settle(connection, settled))

    async def notices(self, filters: NoticeFilters, *, limit: int) -> Sequence[Undelivered]:
        return await self._readers.run(lambda connection: self._notices.list(connection, filters, limit))

    async def retry_notices(self, filters: NoticeFilters, *, now: datetime, limit: int) -> int:
        return await self._writers.run(lambda connection: self._notices.retry(connection, filters, now, limit))

    async def drop_notices(self, filters: NoticeFilters, *, limit: int) -> int:
        return await self._writers.run(lambda connection: self._notices.drop(connection, filters, limit))

    async def outbox(self, notifier: str) -> Outbox:
        return await self._readers.run(lambda connection: self._notices.outbox(connection, notifier))

    def pools(self) -> Mapping[PoolKind, Pool]:
        return {"writer": self._writers.pool(), "reader": self._readers.pool()}

    async def check(self) -> None:
        """Commits one small row: that finds a server that can be read but not written.

        Those that read may all be busy: then lists take longer, and inquiries are stored as ever.
        """
        await self._writers.run(lambda connection: connection.execute(self._queries["write_check"]))

    async def _count_some_hours(self, after: datetime, connection: Any) -> tuple[datetime, bool]:
        """Of those that changed, some from `after` on. The last of them, and whether there may be more.

        What changes an hour of more than a quarter of an hour ago puts down that it did. What does not, since it is of
        less, may not be committed yet: so hours are counted up to a quarter of an hour before the oldest transaction.
        """
        oldest = await connection.fetchval(self._queries["oldest_transaction"])
        async with connection.transaction(isolation="repeatable_read"):  # changes after its moment stay put down
            await connection.execute("SET LOCAL statement_timeout = 0")
            await connection.execute(self._queries["one_counts_hours"])
            taken = await connection.fetch(self._queries["take_changed_hours"], _SOME_HOURS, after)
            changed = {_in_utc(row[0]) for row in taken}
            if changed:
                await connection.execute(self._queries["forget_hours"], changed)
                await connection.execute(self._queries["count_hours_again"], changed)
            until = await connection.fetchval(self._queries["next_hours"], _SOME_ROWS, oldest)
            if until is not None:
                await connection.execute(self._queries["count_next_hours"], until)
                await connection.execute(self._queries["set_hours_counted"], until)
        return max(changed, default=after), len(changed) >= _SOME_HOURS or until is not None

    async def _outcome(self, connection: Any, inquiry_id: UUID) -> Outcome | None:
        row = await connection.fetchrow(self._queries["outcome"], inquiry_id)
        return None if row is None else _outcome(row)

    async def _stored(self, connection: Any, outcomes: Sequence[Outcome]) -> tuple[dict[str, str], dict[str, Outcome]]:
        """The ids that the outcomes' idempotency keys lead to, and by id whatever is stored of all these ids."""
        keys = [key for key in map(_key, outcomes) if key]
        found = await connection.fetch(self._queries["inquiry_ids_of_keys"], keys) if keys else []
        ids_of_keys = {row[0]: str(row[1]) for row in found}
        ids = [*(outcome.inquiry.inquiry_id for outcome in outcomes), *ids_of_keys.values()]
        stored = map(_outcome, await connection.fetch(self._queries["outcomes"], ids))
        return ids_of_keys, {outcome.inquiry.inquiry_id: outcome for outcome in stored}


def _row(outcome: Outcome) -> Sequence[Any]:
    """The columns of the three tables, then the key; `save` names them in this order."""
    key = outcome.inquiry.idempotency_key
    return (
        *_ROWS.inquiry(outcome),
        *_ROWS.prediction(outcome),
        *_ROWS.routing_decision(outcome),
        *((key.value, key.fingerprint) if key else (None, None)),
    )


def _outcome(row: Any) -> Outcome:
    inquiry_id, *columns = row
    return _ROWS.outcome([str(inquiry_id), *columns])


def _new_id() -> UUID:
    return uuid_utils.compat.uuid7()


def _new_feedback(outcome: Outcome) -> Sequence[Any]:
    assert outcome.feedback
    return (_new_id(), *_ROWS.feedback(outcome.inquiry.inquiry_id, outcome.feedback))


def _key(outcome: Outcome) -> str:
    """The idempotency key; "" is none."""
    return outcome.inquiry.idempotency_key.value if outcome.inquiry.idempotency_key else ""


def _id(inquiry_id: str) -> UUID | None:
    try:
        return UUID(inquiry_id)
    except ValueError:
        return None


def _required(found: T | None, inquiry_id: str) -> T:
    if found is None:
        raise InquiryNotFound(f"no inquiry has the id {inquiry_id}")
    return found
