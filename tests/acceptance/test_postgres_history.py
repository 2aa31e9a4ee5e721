"""What clients were told against what the table holds, to the row, whatever befell PostgreSQL, the way there, a worker.

Clients lose patience and send again with their key, so that one inquiry may be with two workers, with PostgreSQL since
before it was stopped, and on its way. The history is exact where each key is one row, the one that its client was told
of, and no row is there of which nobody was told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import psutil
import pytest

from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_kill import Book
from tests.acceptance.test_postgres_kill import CLIENTS, Watch, load, look_into_the_database
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.servers.postgres import PostgresServer, postgres_server

PATIENCE_S: Final = 1.0
AGAIN_LIMIT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Site:
    server: PostgresServer
    way: FaultProxy
    """From the service to the server."""
    service: Serving
    dice: random.Random

    async def a_while(self) -> None:
        """Longer than any time limit of the service, or shorter."""
        await asyncio.sleep(self.dice.choice((self.dice.uniform(0.0, 0.5), self.dice.uniform(0.5, 2.5))))

    async def kill_the_server(self) -> None:
        await asyncio.to_thread(self.server.kill)
        await self.a_while()
        await asyncio.to_thread(self.server.start)

    async def pause_the_server(self) -> None:
        await asyncio.to_thread(self.server.pause)
        await self.a_while()
        await asyncio.to_thread(self.server.go_on)

    async def cut_the_way(self) -> None:
        self.way.answers_to_cut = self.dice.randrange(10)
        self.way.fault = self.dice.choice(("hang", "reset"))
        await self.a_while()
        self.way.fault = "none"

    async def pause_a_worker(self) -> None:
        worker = psutil.Process(self.dice.choice(self.service.workers()))
        worker.suspend()
        await self.a_while()
        worker.resume()


FAULTS: Final[tuple[Callable[[Site], Awaitable[None]], ...]] = (
    Site.kill_the_server,
    Site.pause_the_server,
    Site.cut_the_way,
    Site.pause_a_worker,
)


@pytest.mark.alone
@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(3, marks=pytest.mark.timeout(300)),
        pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(3000)]),
    ],
)
async def test_each_key_is_one_row_and_each_row_was_acknowledged(tmp_path: Path, rounds: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    watch = Watch(Book(dice), patience=aiohttp.ClientTimeout(total=PATIENCE_S))
    with postgres_server(durable=True) as server:
        async with fault_proxy(server.port) as way:
            environ = {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": server.url(port=way.port)}
            async with serving(tmp_path, "--workers", "2", environ=environ) as service, load(service.url, watch):
                site, workers = Site(server, way, service, dice), service.workers()
                for fault in [fault for _ in range(rounds) for fault in dice.sample(FAULTS, len(FAULTS))]:
                    await asyncio.sleep(dice.uniform(0.1, 0.5))  # load
                    await fault(site)
                    watch.newly_stored.clear()
                    async with asyncio.timeout(AGAIN_LIMIT_S):
                        await watch.newly_stored.wait()
                assert service.workers() == workers, "a worker had to be started again"
        told = watch.book.acknowledged
        print(
            f"{rounds * len(FAULTS)} faults, {len(told)} acknowledged, {watch.book.replayed} of them replayed, "
            f"{watch.refused} answers 503, {watch.unanswered} not waited for"
        )
        look_into_the_database(server, watch.book)
        rows = server.sql("SELECT inquiry_id, subject FROM inquiries").splitlines()
        assert dict(row.split("|") for row in rows) == told, "some are stored of which nobody was told"
        keys = server.sql("SELECT idempotency_key, inquiry_id FROM outcomes").splitlines()
        assert dict(row.split("|") for row in keys) == watch.book.id_of_key
    assert len(told) > rounds * CLIENTS, "too little load: this proves nothing"
    assert watch.unanswered, "nobody lost patience: this proves less"
