"""What the store `postgres` erases is in no dump, and an answer that was lost on its way changes nothing of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.contracts import Host
from inquiry_svc.inquiries import Feedback, IdempotencyKey
from inquiry_svc.metrics import Metrics
from inquiry_svc.notices import Notice, NoticeFilters
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome, sample_prediction
from inquiry_svc_plugins.stores.postgres import PostgresSettings, open_postgres
from inquiry_svc_plugins.stores.postgres.store import PostgresStore
from tests.servers.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server(migrated=True) as server:
        yield server


async def test_no_dump_holds_what_is_erased(server: PostgresServer) -> None:
    words = [f"word-{number}-" for number in range(8)]
    subject, body, email, name, told, key, fingerprint, reviewer = words
    inquiry = sample_inquiry(
        subject=subject,
        body=body * 2000,
        sender_email=f"{email}@example.org",
        sender_name=name,
        metadata={"told": told},
        idempotency_key=IdempotencyKey(key, fingerprint),
    )
    with server.database("dumped") as url:
        async with open_postgres(PostgresSettings(url), Host(Path(), Metrics())) as store:
            await store.save([sample_outcome(inquiry, prediction=sample_prediction(needs_review=True))])
            await store.add_feedback(inquiry.inquiry_id, Feedback("hr", None, None, reviewer, NOON))
            before = server.run("pg_dump", database="dumped")
            assert [word for word in [*words, inquiry.inquiry_id] if word not in before] == []
            assert list(await store.erase([inquiry.inquiry_id])) == [inquiry.inquiry_id]
            after = server.run("pg_dump", database="dumped")
            assert [word for word in [*words, inquiry.inquiry_id] if word in after] == []


async def test_what_was_erased_before_the_connection_was_lost_counts(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = sample_outcome()
    with server.database("lost") as url:
        async with open_postgres(PostgresSettings(url), Host(Path(), Metrics())) as store:
            assert isinstance(store, PostgresStore)
            await store.save([outcome])
            run = store._writers.run

            async def committed_and_asked_again(work: Callable[[Any], Awaitable[Any]]) -> Any:
                await run(work)
                return await run(work)

            monkeypatch.setattr(store._writers, "run", committed_and_asked_again)
            assert list(await store.erase([outcome.inquiry.inquiry_id])) == [outcome.inquiry.inquiry_id]


async def test_what_is_erased_while_it_is_saved_again_is_saved(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, other = sample_outcome(), sample_outcome()
    told = [
        Notice(sample_inquiry().inquiry_id, "desk", "triaged", each.inquiry.inquiry_id, NOON)
        for each in (other, outcome)
    ]
    with server.database("again") as url:
        async with open_postgres(PostgresSettings(url), Host(Path(), Metrics())) as store:
            assert isinstance(store, PostgresStore)
            await store.save([outcome])
            read = store._stored

            async def erased_just_before(connection: Any, earlier: Any) -> Any:
                monkeypatch.undo()
                await store.erase([outcome.inquiry.inquiry_id])
                return await read(connection, earlier)

            monkeypatch.setattr(store, "_stored", erased_just_before)
            assert list(await store.save([other, outcome], told)) == [other, outcome]
            assert await store.get(outcome.inquiry.inquiry_id) == outcome
            assert [each.notice for each in await store.notices(NoticeFilters(), limit=9)] == told
