"""PostgreSQL killed under load again and again: nothing acknowledged is lost, and the service needs nobody's hand."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.acceptance.serving import serving
from tests.acceptance.test_kill import SUBMIT, Book
from tests.servers.postgres import PostgresServer, postgres_server

CLIENTS: Final = 16
LONGEST_S: Final = 2.0
BACK_S: Final = 1.0


@dataclass(slots=True)
class Watch:
    """What the clients of a service saw while its database came and went."""

    book: Book
    patience_s: Sequence[float] = (300.0,)
    """One of these for each request. Who loses it sends again, not knowing what became of the first."""
    refused: int = 0
    unanswered: int = 0
    slowest_s: float = 0.0
    last_stored_at: float = 0.0
    newly_stored: asyncio.Event = field(default_factory=asyncio.Event)


async def submit_until_stored(session: aiohttp.ClientSession, watch: Watch, subject: str, key: str) -> None:
    """Send again whenever it is refused. Whatever else than 201 and an honest 503 comes is raised."""
    body = {"subject": subject, "body": f"My card was charged twice: {subject}.", "sender_email": "ana@example.org"}
    while True:
        started = time.perf_counter()
        patience = aiohttp.ClientTimeout(total=watch.book.dice.choice(watch.patience_s))
        try:
            async with session.post(SUBMIT, json=body, headers={"Idempotency-Key": key}, timeout=patience) as response:
                answer = await response.json()
        except TimeoutError:
            watch.unanswered += 1
            continue
        watch.slowest_s = max(watch.slowest_s, time.perf_counter() - started)
        assert response.status in (201, 503), answer
        if response.status == 201:
            watch.book.write(answer, key, subject, replayed="Idempotency-Replayed" in response.headers)
            watch.last_stored_at = time.perf_counter()
            watch.newly_stored.set()
            return
        assert int(response.headers["Retry-After"]) >= 1
        watch.refused += 1
        await asyncio.sleep(0.02)  # an impatient client


@asynccontextmanager
async def load(url: str, watch: Watch) -> AsyncIterator[None]:
    done = asyncio.Event()

    async def client(session: aiohttp.ClientSession) -> None:
        while not done.is_set():
            watch.book.sent += 1
            number = watch.book.sent
            await submit_until_stored(session, watch, f"inquiry {number}", f"key {number}")

    async with aiohttp.ClientSession(url) as session, asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(client(session))
        try:
            yield
        finally:
            done.set()


async def kill_and_start_again(server: PostgresServer, watch: Watch) -> None:
    await asyncio.sleep(watch.book.dice.uniform(0.1, 0.5))
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(watch.book.dice.uniform(0.0, 0.3))
    await asyncio.to_thread(server.start)
    accepting_at = time.perf_counter()
    watch.newly_stored.clear()
    async with asyncio.timeout(10):
        await watch.newly_stored.wait()
    watch.book.restarts_s.append(time.perf_counter() - accepting_at)


@pytest.mark.alone
@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(20, marks=pytest.mark.timeout(200)),
        pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(2000)]),
    ],
)
async def test_kills_of_postgres_lose_nothing_and_cost_an_honest_503_at_most(tmp_path: Path, kills: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    watch = Watch(Book(random.Random(seed)))
    with postgres_server(durable=True) as server:
        environ = {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": server.url()}
        async with serving(tmp_path, "--workers", "2", environ=environ) as service, load(service.url, watch):
            workers = service.workers()
            for _ in range(kills):
                await kill_and_start_again(server, watch)
            assert service.workers() == workers, "a worker had to be started again"
        look_into_the_database(server, watch.book)
    back_s = sorted(watch.book.restarts_s)
    assert watch.unanswered == 0
    print(
        f"{kills} kills, {len(watch.book.acknowledged)} acknowledged, {watch.book.replayed} of them replayed, "
        f"{watch.refused} answers 503, the slowest answer took {watch.slowest_s:.2f} s; from accepting connections to "
        f"the first 201: median {statistics.median(back_s):.3f} s, max {back_s[-1]:.3f} s"
    )
    assert len(watch.book.acknowledged) > kills * CLIENTS, "too little load: this proves nothing"
    assert watch.slowest_s < LONGEST_S
    assert back_s[-1] < BACK_S


def look_into_the_database(server: PostgresServer, book: Book) -> None:
    rows = server.sql("SELECT inquiry_id, subject FROM inquiries").splitlines()
    subjects = dict(row.split("|") for row in rows)
    whole = set(server.sql("SELECT inquiry_id FROM outcomes WHERE idempotency_key <> ''").splitlines())
    assert whole == subjects.keys(), "some are not whole"
    lost = book.acknowledged.keys() - subjects.keys()
    assert not lost, f"{len(lost)} of {len(book.acknowledged)} acknowledged inquiries are lost"
    assert {inquiry_id: subjects[inquiry_id] for inquiry_id in book.acknowledged} == book.acknowledged
    doubled = [subject for subject, count in Counter(subjects.values()).items() if count > 1]
    assert not doubled, f"stored twice: {doubled}"
