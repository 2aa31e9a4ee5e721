"""What a store has counted before makes no difference to what `stats` counts, whatever happens in between."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

import asyncpg
import pytest
from msgspec.structs import replace

from inquiry_svc.contracts import Host
from inquiry_svc.inquiries import Feedback, Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.outcomes import count, random_outcomes
from inquiry_svc.testing.samples import NOON, sample_inquiry
from inquiry_svc_plugins.stores.postgres import PostgresSettings, open_postgres
from inquiry_svc_plugins.stores.postgres.store import PostgresStore
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite
from inquiry_svc_plugins.stores.sqlite.store import SqliteStore
from tests.servers.postgres import PostgresServer, postgres_server

NUMBERS: Final = itertools.count()
HOUR: Final = timedelta(hours=1)
CountingStore: TypeAlias = PostgresStore | SqliteStore
Open: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server(migrated=True) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path, server: PostgresServer) -> Iterator[Open]:
    host = Host(tmp_path, Metrics())
    if request.param == "sqlite":
        yield lambda: open_sqlite(SqliteSettings(busy_timeout_s=10), host)
    else:
        with server.database(f"totals_{next(NUMBERS)}") as url:
            yield lambda: open_postgres(PostgresSettings(url), host)


def spread(outcomes: Sequence[Outcome], dice: random.Random) -> list[Outcome]:
    """Over a few days, some of them within the last hours from now."""
    now, spread_out = datetime.now(UTC), []
    for outcome in outcomes:
        ends = dice.choice((NOON, now, datetime(1, 1, 9, tzinfo=UTC), datetime(1969, 12, 31, 23, tzinfo=UTC)))
        received_at = ends - dice.random() * dice.choice((timedelta(days=3), HOUR, timedelta(minutes=20)))
        shift = received_at - outcome.inquiry.received_at
        inquiry = sample_inquiry(received_at=received_at)
        route = replace(outcome.route, sla_due_at=outcome.route.sla_due_at + shift)
        resolved_at = None if outcome.resolved_at is None else outcome.resolved_at + shift
        spread_out.append(replace(outcome, inquiry=inquiry, route=route, resolved_at=resolved_at))
    return spread_out


async def require_exact(store: CountingStore, outcomes: Sequence[Outcome], dice: random.Random) -> None:
    some = dice.choice(outcomes).inquiry.received_at
    for since in (
        datetime.min.replace(tzinfo=UTC),
        some,
        some.replace(minute=0, second=0, microsecond=0),
        some - 30 * HOUR,
        datetime.now(UTC) - dice.random() * 2 * HOUR,
    ):
        for now in (datetime.now(UTC), dice.choice(outcomes).route.sla_due_at, some + 2 * HOUR):
            found, expected = await store.stats(since=since, now=now), count(outcomes, since=since, now=now)
            if expected.average_priority_score is not None:
                assert found.average_priority_score == pytest.approx(expected.average_priority_score)
            assert dataclasses.replace(found, average_priority_score=expected.average_priority_score) == expected, (
                since,
                now,
            )


async def test_stats_are_exact_through_feedback_and_resolving_and_late_inquiries(open_store: Open) -> None:
    seed, outcomes = random_outcomes(200)
    dice = random.Random(seed)
    outcomes = spread(outcomes, dice)
    known: dict[str, Outcome] = {}
    async with open_store() as store:
        for turn in range(6):
            fresh = outcomes[turn * 30 : turn * 30 + 30]
            await store.save(fresh)
            known |= {each.inquiry.inquiry_id: each for each in fresh}
            if turn % 3:
                await store.count_hours()
            await require_exact(store, list(known.values()), dice)
            for inquiry_id in dice.sample(sorted(known), 8):
                known[inquiry_id] = await store.add_feedback(inquiry_id, Feedback("hr", None, None, "Ana", NOON))
            for inquiry_id in dice.sample([key for key, each in known.items() if each.resolved_at is None], 5):
                resolved_at = known[inquiry_id].route.sla_due_at + dice.choice((-HOUR, HOUR))
                known[inquiry_id] = await store.resolve(inquiry_id, resolved_at)
            await require_exact(store, list(known.values()), dice)
        await store.count_hours()
        await require_exact(store, list(known.values()), dice)


async def test_stats_are_exact_while_many_write_and_two_processes_count(open_store: Open) -> None:
    seed, outcomes = random_outcomes(400)
    dice = random.Random(seed)
    outcomes = spread(outcomes, dice)
    async with open_store() as one, open_store() as other:
        batches = [outcomes[start : start + 10] for start in range(0, len(outcomes), 10)]

        async def save(batch: Sequence[Outcome]) -> list[Outcome]:
            store = dice.choice((one, other))
            await store.save(batch)
            return [await store.add_feedback(batch[0].inquiry.inquiry_id, FEEDBACK), *batch[1:]]

        async def count_hours(store: CountingStore) -> None:
            for _ in range(10):
                await store.count_hours()

        counting = asyncio.gather(count_hours(one), count_hours(other))
        saved = await asyncio.gather(*map(save, batches))
        await counting
        kept = [outcome for batch in saved for outcome in batch]
        await require_exact(one, kept, dice)
        await one.count_hours()
        await require_exact(other, kept, dice)


FEEDBACK: Final = Feedback("hr", None, None, "Ana", NOON)


async def test_hours_that_changed_are_counted_some_at_a_time_and_each_once_though_it_changes_again(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed, outcomes = random_outcomes(60)
    dice = random.Random(seed)
    hours = [NOON - number * HOUR for number in range(60)]
    kept = [replace(each, inquiry=sample_inquiry(received_at=hour)) for each, hour in zip(outcomes, hours, strict=True)]
    with server.database(f"totals_{next(NUMBERS)}") as url:
        settings, host = PostgresSettings(url), Host(Path(), Metrics())
        async with open_postgres(settings, host) as store, open_postgres(settings, host) as other:
            assert isinstance(store, PostgresStore)
            await store.save(kept)
            await store.count_hours()
            turns, run = 0, store._writers.run

            async def change() -> list[Outcome]:
                return [await other.add_feedback(each.inquiry.inquiry_id, FEEDBACK) for each in kept]

            async def changing_again(work: Callable[[Any], Any]) -> Any:
                nonlocal turns
                turns += 1
                await change()
                return await run(work)

            monkeypatch.setattr(store._writers, "run", changing_again)
            await store.count_hours()
            monkeypatch.undo()
            assert turns == 4, "twenty in each; the last hour of a turn is looked at again, and nothing is after it"
            await require_exact(store, await change(), dice)


async def test_a_transaction_in_another_database_does_not_hold_up_the_counting(server: PostgresServer) -> None:
    _, (outcome,) = random_outcomes(1)
    inquiry = sample_inquiry(received_at=datetime.now(UTC) - 3 * HOUR)
    with server.database(f"totals_{next(NUMBERS)}") as url, server.database(f"totals_{next(NUMBERS)}") as elsewhere:
        idle = await asyncpg.connect(elsewhere)
        async with idle.transaction(), open_postgres(PostgresSettings(url), Host(Path(), Metrics())) as store:
            assert isinstance(store, PostgresStore)
            began = await idle.fetchval("SELECT now()")
            await store.save([replace(outcome, inquiry=inquiry)])
            oldest = await store._writers.run(lambda one: one.fetchval(store._queries["oldest_transaction"]))
        await idle.close()
        assert oldest > began


async def test_what_is_erased_is_counted_no_more(open_store: Open) -> None:
    seed, outcomes = random_outcomes(60)
    dice = random.Random(seed)
    outcomes = spread(outcomes, dice)
    async with open_store() as store:
        await store.save(outcomes)
        await store.count_hours()
        await store.erase([each.inquiry.inquiry_id for each in outcomes[:20]])
        await require_exact(store, outcomes[20:], dice)
        await store.count_hours()
        await require_exact(store, outcomes[20:], dice)
        await store.erase([each.inquiry.inquiry_id for each in outcomes[20:]])
        assert (await store.stats(since=datetime.min.replace(tzinfo=UTC), now=NOON)) == count(
            [], since=NOON, now=NOON
        ), seed
