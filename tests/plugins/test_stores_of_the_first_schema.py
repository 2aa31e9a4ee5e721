"""A database of the first schema is brought to this release's, and what the release before goes on writing is seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from inquiry_svc.contracts import Host
from inquiry_svc.metrics import Metrics
from inquiry_svc.review_queue import Claim, ReviewQueue
from inquiry_svc.testing.samples import NOON
from inquiry_svc.testing.stores import OpenStore
from inquiry_svc_plugins.stores.named_sql import read_migrations
from inquiry_svc_plugins.stores.postgres import PostgresSettings, open_postgres
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite, verify_backup
from inquiry_svc_plugins.stores.sqlite.database import migrate
from inquiry_svc_plugins.stores.sqlite.times import to_microseconds
from tests.servers.postgres import postgres_server


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database of the first schema is."""

    run: Callable[[Sequence[str]], object]
    """Statements, as the first release would make them."""
    in_one: Callable[[Sequence[str]], Sequence[str]]
    """Three inserts as that release sent them."""
    time: Callable[[datetime], str]
    """A moment as SQL."""
    no_scores: str
    open_store: OpenStore


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from (_sqlite(tmp_path) if request.param == "sqlite" else _postgres(tmp_path))


def _sqlite(folder: Path) -> Iterator[Place]:
    file = folder / "inquiries.sqlite3"

    def run(statements: Sequence[str]) -> None:
        with closing(sqlite3.connect(file, isolation_level=None, timeout=20)) as connection:
            for statement in statements:
                connection.execute(statement)

    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        migrate(connection, file, read_migrations("inquiry_svc_plugins.stores.sqlite")[:1])
    yield Place(
        run,
        lambda inserts: inserts,
        lambda moment: str(to_microseconds(moment)),
        "x''",
        lambda: open_sqlite(SqliteSettings(busy_timeout_s=20), Host(folder, Metrics())),
    )


def _postgres(folder: Path) -> Iterator[Place]:
    ((_, script), *_) = read_migrations("inquiry_svc_plugins.stores.postgres")
    versions = "CREATE TABLE schema_migrations (version integer PRIMARY KEY, applied_at timestamptz DEFAULT now())"
    with postgres_server() as server, server.database("inquiries") as url:

        def run(statements: Sequence[str]) -> None:
            for statement in statements:
                server.sql(statement, "inquiries")

        run([script, versions, "INSERT INTO schema_migrations (version) VALUES (1)"])
        yield Place(
            run,
            lambda inserts: ["WITH i AS ({}), p AS ({}) {}".format(*inserts)],
            lambda moment: f"'{moment.isoformat()}'::timestamptz",
            "''",
            lambda: open_postgres(PostgresSettings(url), Host(folder, Metrics())),
        )


def id_of(number: int) -> str:
    return f"019a0000-0000-7000-8000-{number:012d}"


def saved(place: Place, number: int, *, due_in_h: int, needs_review: bool) -> Sequence[str]:
    """An inquiry as the first release saved it."""
    return place.in_one(_inserts(place, number, due_in_h=due_in_h, needs_review=needs_review))


def _inserts(place: Place, number: int, *, due_in_h: int, needs_review: bool) -> Sequence[str]:
    key, received, due = f"'{id_of(number)}'", place.time(NOON), place.time(NOON + timedelta(hours=due_in_h))
    return [
        "INSERT INTO inquiries"
        " (inquiry_id, timestamp, processed_at, subject, body, sender_email, sender_name, source, metadata)"
        f" VALUES ({key}, {received}, {received}, '', 'body', 'ana@example.org', NULL, 'api', '{{}}')",
        "INSERT INTO predictions"
        " (inquiry_id, timestamp, category, category_confidence, sentiment, sentiment_confidence, urgency,"
        " urgency_confidence, scores, model_name, model_version, model_digest, needs_review, degraded)"
        f" VALUES ({key}, {received}, 'billing', 0.5, 'neutral', 0.5, 'low', 0.5, {place.no_scores}, 'm', '1', 'd',"
        f" {needs_review}, '[]')",
        "INSERT INTO routing_decisions"
        " (inquiry_id, timestamp, department, consultant, priority_score, escalated, reasons, sla_due_at, resolved_at)"
        f" VALUES ({key}, {received}, 'finance', NULL, 1, FALSE, '[]', {due}, NULL)",
    ]


async def test_what_waited_waits_in_turn_and_the_release_before_goes_on_filling_the_queue(place: Place) -> None:
    place.run(saved(place, 1, due_in_h=2, needs_review=True))
    place.run(saved(place, 2, due_in_h=1, needs_review=True))
    place.run(saved(place, 3, due_in_h=1, needs_review=False))
    async with place.open_store() as store:

        async def turns() -> list[str]:
            return [review.outcome.inquiry.inquiry_id for review in await store.reviews(limit=9, after=None)]

        assert await turns() == [id_of(2), id_of(1)]
        first = await store.get(id_of(1))
        assert first is not None
        assert (first.prediction.review_reasons, first.prediction.verdict.evidence) == ((), 1.0), "nobody noted them"

        place.run(saved(place, 4, due_in_h=0, needs_review=True))
        place.run(saved(place, 5, due_in_h=0, needs_review=False))
        assert await turns() == [id_of(4), id_of(2), id_of(1)]
        place.run([f"UPDATE predictions SET needs_review = FALSE WHERE inquiry_id = '{id_of(2)}'"])
        assert await turns() == [id_of(4), id_of(1)]
        assert await store.review_queue() == ReviewQueue(2, NOON)
        claimed = await store.claim_reviews(Claim("Ana", NOON + timedelta(hours=1)), now=NOON, limit=1)
        assert [review.outcome.inquiry.inquiry_id for review in claimed] == [id_of(4)]


def test_a_backup_that_the_first_release_made_is_still_one(tmp_path: Path) -> None:
    place = next(_sqlite(tmp_path))
    place.run(saved(place, 1, due_in_h=1, needs_review=True))
    backup = tmp_path / "backup.sqlite3"
    with (
        closing(sqlite3.connect(tmp_path / "inquiries.sqlite3")) as first,
        closing(sqlite3.connect(backup)) as copy,
    ):
        first.backup(copy)
    contents = verify_backup(SqliteSettings(), Host(tmp_path, Metrics()), backup)
    assert contents.rows["inquiries"] == 1
    assert "reviews" not in contents.rows
