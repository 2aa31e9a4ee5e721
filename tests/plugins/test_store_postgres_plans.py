"""How PostgreSQL goes about each query of the store among a million inquiries: by an index, not through all."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from inquiry_svc.contracts import Filters, Host, Position
from inquiry_svc.metrics import Metrics
from inquiry_svc_plugins.stores.named_sql import read_queries
from inquiry_svc_plugins.stores.postgres import PostgresSettings, open_postgres
from inquiry_svc_plugins.stores.postgres.connections import Role, connect_options
from inquiry_svc_plugins.stores.postgres.lists import list_query
from inquiry_svc_plugins.stores.postgres.store import PostgresStore
from tests.servers.postgres import PostgresServer, postgres_server

pytestmark = [pytest.mark.xdist_group("million"), pytest.mark.timeout(300)]

ROWS: Final = 1_000_000
NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)
"""The newest was received then, the others a minute apart before it."""

FILL: Final = (Path(__file__).parent / "million_inquiries.sql").read_text()


@pytest.fixture(scope="module")
def million() -> Iterator[PostgresServer]:
    with postgres_server(shared_buffers="256MB", migrated=True) as server:
        started = time.perf_counter()
        server.sql(FILL.replace(":rows", str(ROWS)).replace(":now", f"'{NOW.isoformat()}'::timestamptz"))
        server.sql("VACUUM ANALYZE")
        print(f"{ROWS:,} inquiries made in {time.perf_counter() - started:.1f} s")
        started = time.perf_counter()
        asyncio.run(count_hours(server))
        server.sql("VACUUM ANALYZE")
        print(f"their hours counted in {time.perf_counter() - started:.1f} s")
        yield server


async def count_hours(server: PostgresServer) -> None:
    async with open_postgres(PostgresSettings(server.url()), Host(Path(), Metrics())) as store:
        assert isinstance(store, PostgresStore)
        await store.count_hours()


def listing(**filters: Any) -> tuple[str, Sequence[Any]]:
    after = filters.pop("after", None)
    name, values = list_query(Filters(**filters), after)
    return name, (50, *values)


WEEK: Final = NOW - timedelta(days=7)
DEEP: Final = Position(NOW - timedelta(days=300), "00000000-0000-0000-0000-000000000000")

FIRST_TURN: Final = (datetime.min.replace(tzinfo=UTC), UUID(int=0))

QUERIES: Final[dict[str, tuple[str, Sequence[Any]]]] = {
    "newest": listing(),
    "newest, deep in the pages": listing(after=DEEP),
    "newest, a window": listing(since=WEEK, until=NOW - timedelta(days=1)),
    "sentiment": listing(sentiment="negative"),
    "urgency": listing(urgency="critical"),
    "escalated": listing(escalated=True),
    "needs review": listing(needs_review=True),
    "needs review, of one category": listing(needs_review=True, category="legal"),
    "open": listing(status="routed"),
    "open, of one department": listing(status="routed", department="legal"),
    "resolved": listing(status="resolved"),
    "department": listing(department="hr"),
    "department, deep in the pages": listing(department="hr", after=DEEP),
    "category": listing(category="sales"),
    "category and department": listing(category="sales", department="sales"),
    "stats of a week": ("stats", (WEEK, NOW)),
    "stats of a month": ("stats", (NOW - timedelta(days=30), NOW)),
    "stats of a year": ("stats", (NOW - timedelta(days=365), NOW)),
    "stats of all": ("stats", (NOW - timedelta(days=3650), NOW)),
    "consultants' loads": ("consultant_loads", ()),
    "review queue": ("review_queue", ()),
    "reviews": ("reviews", (50, *FIRST_TURN)),
    "reviews, deep in the pages": ("reviews", (50, NOW - timedelta(days=300), UUID(int=0))),
    "one inquiry": ("outcome", ("00000000-0000-7000-8000-000000000001",)),
}


LATER: Final = NOW + timedelta(minutes=30)
HELD, FREE = (UUID(f"{int((NOW - timedelta(minutes=n)).timestamp() * 1000):012x}70008000{n:012x}") for n in (507, 557))
"""Two that need review."""

WRITES: Final[dict[str, tuple[str, Sequence[Any]]]] = {
    "claim the next": ("claim_reviews", ("Ana", LATER, NOW, 1)),
    "claim again and more": ("claim_reviews", ("reviewer 3", LATER, NOW, 50)),
    "claim a certain one": ("claim_review", ("Ana", LATER, NOW, FREE)),
    "release": ("return_review", (HELD, "reviewer 3", NOW, False)),
    "skip": ("return_review", (FREE, "Ana", NOW, True)),
    "wait to erase": ("lock_to_erase", ([HELD, FREE],)),
    "wait for reviews to erase": ("lock_reviews_to_erase", ([HELD, FREE],)),
    "erase": ("erase", ([HELD, FREE],)),
    "wait for who resolves to erase": ("lock_routing_to_erase", ([HELD, FREE],)),
    "wait for notices to erase": ("lock_notices_to_erase", ([HELD, FREE],)),
    "decide": ("add_feedback_as_review", (UUID(int=1), FREE, "hr", None, None, "Ana", NOW, *[[]] * 5)),
}


@pytest.mark.parametrize("what", QUERIES)
async def test_no_query_goes_through_a_whole_table(what: str, million: PostgresServer) -> None:
    explained = await explain(million, *QUERIES[what], role="reader")
    require_no_whole_table(what, explained)


PARALLEL: Final = {
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "0",
    "min_parallel_index_scan_size": "0",
}
"""So that other processes are worth their while, as PostgreSQL thinks by itself among ten million inquiries."""


@pytest.mark.parametrize("what", ["urgency", "escalated"])
async def test_no_query_waits_for_other_processes_to_start(what: str, million: PostgresServer) -> None:
    explained = await explain(million, *QUERIES[what], role="reader", **PARALLEL)
    assert not any("Workers Planned" in node for node in nodes(explained["Plan"])), json.dumps(explained, indent=1)


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("what", WRITES)
async def test_no_write_goes_through_a_whole_table(what: str, plan: str, million: PostgresServer) -> None:
    """A connection that writes may keep a plan for any values."""
    explained = await explain(million, *WRITES[what], role="writer", plan_cache_mode=plan)
    require_no_whole_table(what, explained)
    assert explained["Execution Time"] < 200


async def explain(
    server: PostgresServer, name: str, values: Sequence[Any], *, role: Role, **more: str
) -> dict[str, Any]:
    """How it really went, and nothing is changed."""
    options = connect_options(PostgresSettings(), role)
    options["server_settings"] |= more
    connection = await asyncpg.connect(server.url(), **options)
    try:
        async with connection.transaction():
            query = read_queries("inquiry_svc_plugins.stores.postgres")[name]
            found = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
            raise Rollback
    except Rollback:
        explained: dict[str, Any] = json.loads(found)[0]
        return explained
    finally:
        await connection.close()


class Rollback(Exception):
    pass


def require_no_whole_table(what: str, explained: dict[str, Any]) -> None:
    read = {(node["Node Type"], node.get("Relation Name")) for node in nodes(explained["Plan"])}
    print(f"{what}: {explained['Execution Time']:.1f} ms; {sorted(kind for kind, table in read if table)}")
    whole = {table for kind, table in read if kind == "Seq Scan" and table in LARGE}
    assert not whole, json.dumps(explained, indent=1)
    assert explained["Execution Time"] < 1400, "the statement timeout would break it off"


LARGE: Final = {"inquiries", "predictions", "routing_decisions", "idempotency_keys", "reviews", "feedback"}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)
