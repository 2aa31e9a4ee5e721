"""Stopped or renewed under load, every worker drains: no request fails, and the counters are what clients saw."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_stop import INQUIRY, SUBMIT, Seen, client
from tests.acceptance.test_workers import RESTARTS, STORED, connecting_anew, scrape


@pytest.mark.alone
async def test_a_stop_under_load_breaks_no_answer(tmp_path: Path) -> None:
    seen = Seen()
    async with serving(tmp_path, "--workers", "2") as service:
        workers = [psutil.Process(each) for each in service.workers()]
        clients = [asyncio.create_task(client(service.url, seen, keep_alive=each % 2 == 0)) for each in range(20)]
        await asyncio.sleep(0.5)  # load
        told_at = time.perf_counter()
        service.signal(signal.SIGTERM)
        assert await service.exit_code(within_s=20) == 0, service.lines
        stopped_s = time.perf_counter() - told_at
        await asyncio.gather(*clients)
        assert not [worker for worker in workers if worker.is_running()]
    assert seen.broken == []
    assert set(seen.statuses) == {201}
    messages = [line["message"] for line in service.logged()]
    assert messages.count("stopped") == 3
    assert messages[-1] == "stopped"
    assert "worker" not in service.logged()[-1], "the parent is the last"
    print(f"{seen.statuses[201]} answered; stopped in {stopped_s:.2f} s")


@asynccontextmanager
async def load(url: str, seen: Seen) -> AsyncIterator[None]:
    """Clients that submit while open, and note what is not answered."""
    done = asyncio.Event()

    async def submit(*, keep_alive: bool) -> None:
        connector = aiohttp.TCPConnector(limit=1, force_close=not keep_alive)
        async with aiohttp.ClientSession(url, connector=connector) as session:
            while not done.is_set():
                try:
                    async with session.post(SUBMIT, json=INQUIRY) as answer:
                        await answer.read()
                        seen.statuses[answer.status] += 1
                except aiohttp.ClientError as error:
                    seen.broken.append(repr(error))

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(submit(keep_alive=number % 2 == 0))
        try:
            yield
        finally:
            done.set()


async def told(service: Serving, message: str, *, times: int = 1) -> None:
    """Wait until the log has said it so often."""
    async with asyncio.timeout(60):
        while sum(message in line for line in service.lines) < times:  # noqa: ASYNC110 (another process tells)
            await asyncio.sleep(0.02)


@pytest.mark.alone
@pytest.mark.parametrize("times", [1, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
async def test_a_renewal_under_load_fails_no_request_and_counts_each(tmp_path: Path, times: int) -> None:
    seen = Seen()
    async with serving(tmp_path, "--workers", "2") as service:
        first = set(service.workers())
        async with load(service.url, seen):
            for each in range(times):
                await asyncio.sleep(0.2)  # load
                service.signal(signal.SIGHUP)
                await told(service, "renewed the workers", times=each + 1)
        assert not first & set(service.workers())
        assert len(service.workers()) == 2
        async with connecting_anew(service.url) as session:
            for _ in range(5):
                found = await scrape(session)
                assert (found[STORED], found[RESTARTS]) == (seen.statuses[201], 0)
    assert seen.broken == []
    assert set(seen.statuses) == {201}
    print(f"{times} renewals, {seen.statuses[201]} answered, as many counted")


async def test_readiness_holds_through_a_renewal(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2") as service, connecting_anew(service.url) as session:
        service.signal(signal.SIGHUP)
        renewal = asyncio.create_task(told(service, "renewed the workers"))
        while not renewal.done():
            async with session.get("/api/v1/health/ready") as answer:
                assert answer.status == 200
        await renewal


async def test_a_renewal_with_a_wrong_configuration_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text("[batching]\nmax_batch = 32\n")
    async with serving(tmp_path, "--workers", "2", "--config", str(file)) as service:
        before = service.workers()
        file.write_text("[batching]\nmax_batsh = 32\n")
        service.signal(signal.SIGHUP)
        await told(service, "can't be renewed")
        assert "did you mean 'max_batch'?" in service.lines[-2]
        assert service.workers() == before
        async with connecting_anew(service.url) as session:
            found = await scrape(session)
    assert found[RESTARTS] == 0
