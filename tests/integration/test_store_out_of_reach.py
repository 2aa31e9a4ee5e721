"""A store that is stuck, gone, full or read-only: a quick and honest 503, and all is well when it is back."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.catalogue import HEALTH, INQUIRIES_PROCESSED
from inquiry_svc.contracts import Host, Provider, Store
from inquiry_svc.errors import StoreUnavailable
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Outcome
from inquiry_svc.notices import Notice
from inquiry_svc.testing.providers import Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.testing.samples import sample_inquiry
from inquiry_svc_plugins.stores.memory import MemoryStore
from inquiry_svc_plugins.stores.sqlite.database import open_database
from inquiry_svc_plugins.stores.sqlite.store import SqliteStore
from tests.side_by_side import MORE_S

SUBMIT = "/api/v1/inquiries/submit"
BULK = "/api/v1/inquiries/bulk"
INQUIRY = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
GIVEN = {"store.provider": "given"}


class GivenStore(MemoryStore):
    """Works, is away, or is stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.going_on = asyncio.Event()
        self.going_on.set()

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        await self.check()
        return await super().save(outcomes, notices)

    async def get(self, inquiry_id: str) -> Outcome | None:
        await self.check()
        return await super().get(inquiry_id)

    async def check(self) -> None:
        await self.going_on.wait()
        if self.away:
            raise StoreUnavailable("away")


async def submit(running: Running, body: object = INQUIRY) -> tuple[int, float, Any]:
    """Status, seconds and answer."""
    started = time.perf_counter()
    async with running.client.post(SUBMIT, json=body) as response:
        answer = await response.json()
        if response.status == 503:
            assert int(response.headers["Retry-After"]) >= 1
            assert answer["type"] == "/problems/store-unavailable"
        return response.status, time.perf_counter() - started, answer


async def status_of(running: Running, path: str) -> int:
    async with running.client.get(path) as response:
        return response.status


@pytest.mark.alone
async def test_a_store_that_is_stuck_is_told_of_within_2_s_and_served_again_by_itself() -> None:
    store = GivenStore()
    async with running_service(GIVEN, plugins=[Offering(store=store)]) as running:
        store.going_on.clear()
        callers = [asyncio.create_task(submit(running)) for _ in range(100)]
        reading = asyncio.create_task(running.client.get(f"/api/v1/inquiries/{sample_inquiry().inquiry_id}"))
        answers = await asyncio.gather(*callers)
        assert {status for status, _, _ in answers} == {503}
        slowest_s = max(took_s for _, took_s, _ in answers)
        async with await reading as response:
            assert response.status == 503
        async with running.client.get("/api/v1/health") as response:
            assert response.status == 503
            assert (await response.json())["components"]["database"]["status"] == "unhealthy"
        store.going_on.set()
        statuses = [(await submit(running))[0] for _ in range(3)]
    print(f"the slowest of 100 was told after {slowest_s:.2f} s")
    assert slowest_s < 2
    assert statuses[-1] == 201


async def test_a_store_that_is_gone_is_told_of_at_once_and_served_again_by_itself() -> None:
    store = GivenStore()
    async with running_service(GIVEN, plugins=[Offering(store=store)]) as running:
        store.away = True
        answers = [await submit(running) for _ in range(5)]
        assert [status for status, _, _ in answers] == [503] * 5
        assert sorted(took_s for _, took_s, _ in answers)[2] < 0.5 + MORE_S
        async with asyncio.timeout(30):
            while await status_of(running, "/api/v1/health/ready") != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert running.service.metrics.series(HEALTH, component="database").value == 0
        async with running.client.post("/api/v1/inquiries/classify", json={"body": "A question"}) as response:
            assert response.status == 200, "classifying needs no store"
        store.away = False
        assert (await submit(running))[0] == 201
        processed = running.service.metrics.series(INQUIRIES_PROCESSED, status="failed").value
    assert processed == 5


async def test_a_bulk_upload_to_a_store_that_is_gone_is_told_of_by_batches_and_not_line_for_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, lines, headers = GivenStore(), [json.dumps(INQUIRY)] * 100, {"Content-Type": "application/x-ndjson"}
    async with running_service(GIVEN, plugins=[Offering(store=store)]) as running:
        store.away = True
        async with running.client.post(BULK, data="\n".join(lines), headers=headers) as response:
            answers = [json.loads(line) async for line in response.content]
    assert [answer["type"] for answer in answers] == ["/problems/store-unavailable"] * 100
    assert {record.name for record in caplog.records if record.levelname == "ERROR"} == {"inquiry_svc.pipeline"}


class SmallDisk:
    """Offers `small`: SQLite on a disk that is full after so many pages, until it is made larger."""

    def __init__(self) -> None:
        self.writer: sqlite3.Connection | None = None

    def grow(self, pages: int) -> None:
        assert self.writer is not None
        self.writer.execute(f"PRAGMA max_page_count = {pages}")

    @asynccontextmanager
    async def _open(self, settings: object, host: Host) -> AsyncIterator[Store]:
        path = host.data_dir / "inquiries.sqlite3"
        self.writer, *readers = open_database(path, 1.0, 1)
        store = SqliteStore(path, self.writer, readers, 1.0)
        try:
            yield store
        finally:
            await store.close()

    @hookimpl
    def register_stores(self) -> Iterable[Provider[Store]]:
        return [Provider("small", self._open)]


async def test_a_full_disk_is_a_503_keeps_nothing_half_and_is_served_again_when_there_is_room(tmp_path: Path) -> None:
    disk, acknowledged, large = SmallDisk(), list[str](), {**INQUIRY, "body": "charged " * 1000}
    async with running_service({"store.provider": "small"}, plugins=[disk], data_dir=tmp_path) as running:
        disk.grow(64)
        status = 201
        for _ in range(100):
            status, _, answer = await submit(running, large)
            if status != 201:
                break
            acknowledged.append(answer["inquiry_id"])
        assert status == 503, "the disk never filled"
        assert len(acknowledged) > 3
        for inquiry_id in acknowledged:
            async with running.client.get(f"/api/v1/inquiries/{inquiry_id}") as response:
                assert response.status == 200
        disk.grow(10_000)
        status, _, answer = await submit(running, large)
        assert status == 201
        acknowledged.append(answer["inquiry_id"])
    assert stored(tmp_path) == set(acknowledged)


async def test_a_database_file_that_is_taken_away_is_a_503_rather_than_a_loss(tmp_path: Path) -> None:
    async with running_service({"store.provider": "sqlite"}, data_dir=tmp_path) as running:
        assert (await submit(running))[0] == 201
        (tmp_path / "inquiries.sqlite3").rename(tmp_path / "elsewhere")
        assert (await submit(running))[0] == 503
        (tmp_path / "elsewhere").rename(tmp_path / "inquiries.sqlite3")
        assert (await submit(running))[0] == 201


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_a_database_that_another_program_holds_is_a_503_until_it_lets_go(tmp_path: Path, lock: str) -> None:
    async with running_service({"store.provider": "sqlite"}, data_dir=tmp_path) as running:
        assert (await submit(running))[0] == 201
        other = sqlite3.connect(tmp_path / "inquiries.sqlite3", isolation_level=None)
        other.execute(lock)
        status, took_s, _ = await submit(running)
        assert status == 503
        assert took_s < 2 + MORE_S
        other.execute("ROLLBACK")
        other.close()
        assert (await submit(running))[0] == 201


def stored(data_dir: Path) -> set[str]:
    """Every id in the database, each of them whole."""
    database = sqlite3.connect(data_dir / "inquiries.sqlite3")
    try:
        tables = [
            {row[0] for row in database.execute(query)}
            for query in (
                "SELECT inquiry_id FROM inquiries",
                "SELECT inquiry_id FROM predictions",
                "SELECT inquiry_id FROM routing_decisions",
            )
        ]
        assert tables[0] == tables[1] == tables[2], "half an inquiry is stored"
        return tables[0]
    finally:
        database.close()
