"""Workers and their parent killed at random moments under load: nothing acknowledged is lost, nobody is left behind."""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import aiohttp
import psutil
import pytest

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.metrics import Gauge
from inquiry_svc.testing.exporters import Sample
from inquiry_svc.web.port import bound_socket
from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_kill import Book, look_into_the_database, submit
from tests.acceptance.test_workers import RESTARTS, RUNNING, STORED, connecting_anew, scrape

CLIENTS: Final = 12
GAUGES: Final = {metric.name for metric in OWN_METRICS if isinstance(metric, Gauge)}
RETURN_LIMIT_S: Final = 20.0


@asynccontextmanager
async def load(url: str, book: Book) -> AsyncIterator[None]:
    """Clients that submit while open, whatever happens to their connections. Leaving waits for their last answers."""
    done = asyncio.Event()

    async def client(session: aiohttp.ClientSession, *, with_keys: bool) -> None:
        while not done.is_set():
            book.sent += 1
            subject = f"inquiry {book.sent}"
            try:
                await submit(session, book, subject, f"key {book.sent}" if with_keys else None)
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)  # refused or cut off: the worker, or the service, is gone

    async with aiohttp.ClientSession(url) as lasting, connecting_anew(url) as fleeting, asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            session = lasting if number % 4 < 2 else fleeting
            tasks.create_task(client(session, with_keys=number % 2 == 0))
        try:
            yield
        finally:
            done.set()


def serving_workers(service: Serving) -> int:
    """How many times a worker has said that it serves."""
    return sum(line["message"] == "serving" for line in service.logged())


async def kill_a_worker(service: Serving, book: Book) -> None:
    """Kill one, see the others go on and it come back."""
    await asyncio.sleep(book.dice.uniform(0.1, 0.6))
    before, acknowledged, killed_at = serving_workers(service), len(book.acknowledged), time.perf_counter()
    psutil.Process(book.dice.choice(service.workers())).kill()
    async with asyncio.timeout(RETURN_LIMIT_S):
        while len(book.acknowledged) < acknowledged + 2 * CLIENTS:  # noqa: ASYNC110 (by many clients)
            await asyncio.sleep(0.005)
        assert serving_workers(service) == before, "too slow a load: the others were not seen to go on"
        while serving_workers(service) == before:  # noqa: ASYNC110 (another process tells)
            await asyncio.sleep(0.01)
    book.restarts_s.append(time.perf_counter() - killed_at)


def assert_nothing_went_down(now: Mapping[Sample, float], before: Mapping[Sample, float]) -> None:
    for sample, value in before.items():
        if sample[0] not in GAUGES and sample[0].endswith(("_total", "_bucket", "_sum", "_count")):
            assert now.get(sample, -1) >= value, sample


@asynccontextmanager
async def scraped(url: str, pages: list[dict[Sample, float]]) -> AsyncIterator[None]:
    """Scrape again and again while open, each time over a connection of its own."""

    async def scrape_on() -> None:
        while True:
            try:
                pages.append(await scrape(session))
            except aiohttp.ClientError:
                continue  # it was asked of the worker that was killed
            await asyncio.sleep(0.02)

    async with connecting_anew(url) as session:
        scraping = asyncio.create_task(scrape_on())
        try:
            yield
        finally:
            scraping.cancel()
            await asyncio.gather(scraping, return_exceptions=True)
            assert scraping.cancelled(), scraping.exception()


@pytest.mark.alone
@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(4, marks=pytest.mark.timeout(200)),
        pytest.param(60, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
async def test_kills_of_workers_lose_nothing_and_no_counter_goes_down(tmp_path: Path, kills: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    book, pages = Book(random.Random(seed)), list[dict[Sample, float]]()
    async with serving(tmp_path, "--workers", "2") as service:
        async with load(service.url, book), scraped(service.url, pages):
            for _ in range(kills):
                await kill_a_worker(service, book)
        async with connecting_anew(service.url) as session:
            for key, subject in list(book.unanswered.items()):
                await submit(session, book, subject, key)
            pages.append(await scrape(session))
    for before, now in pairwise(pages):
        assert_nothing_went_down(now, before)
    assert len(pages) > 50
    assert pages[-1][RESTARTS] == kills
    assert {page[RUNNING] for page in pages} >= {1, 2}
    assert 0 < pages[-1][STORED] <= book.sent + len(book.unanswered) + book.replayed
    look_into_the_database(tmp_path / "inquiries.sqlite3", book)
    print(
        f"{kills} kills, {book.sent} sent, {len(book.acknowledged)} acknowledged, {book.replayed} replayed, "
        f"{len(pages)} scrapes; from kill to serving again: median {statistics.median(book.restarts_s):.2f} s, "
        f"max {max(book.restarts_s):.2f} s"
    )


def serves(process: psutil.Process) -> bool:
    """False for one that has ended and that nobody has asked how."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.alone
async def test_a_kill_of_the_parent_loses_nothing_and_leaves_nobody_behind(tmp_path: Path) -> None:
    book = Book(random.Random())
    async with serving(tmp_path, "--workers", "2") as service:
        workers = [psutil.Process(each) for each in service.workers()]
        port = int(service.url.rpartition(":")[2])
        async with load(service.url, book):
            await asyncio.sleep(0.5)  # load
            acknowledged = len(book.acknowledged)
            killed_at = time.perf_counter()
            service.signal(signal.SIGKILL)
            async with asyncio.timeout(10):
                while any(serves(worker) for worker in workers):  # noqa: ASYNC110 (another process ends)
                    await asyncio.sleep(0.01)
            over_s = time.perf_counter() - killed_at
        bound_socket("127.0.0.1", port).close()
    after = len(book.acknowledged) - acknowledged
    print(f"{len(book.acknowledged)} acknowledged, {after} of them after the kill; workers over in {over_s:.2f} s")
    assert after > 0, "its workers drain"
    look_into_the_database(tmp_path / "inquiries.sqlite3", book)
