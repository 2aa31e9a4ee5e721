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
from itertools import product
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_kill import Book
from tests.acceptance.test_postgres_kill import CLIENTS, Watch, load, look_into_the_database
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.servers.postgres import PostgresServer, postgres_server

PATIENCE_S: Final = (1.0, 30.0)
"""Some give up before the service does; others hear whatever it says."""
AGAIN_LIMIT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Site:
    server: PostgresServer
    way: FaultProxy
    """From the service to the server."""
    service: Serving
    dice: random.Random

    async def kill_the_server(self, for_s: float) -> None:
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(for_s)
        await asyncio.to_thread(self.server.start)

    async def pause_the_server(self, for_s: float) -> None:
        await asyncio.to_thread(self.server.pause)
        await asyncio.sleep(for_s)
        await asyncio.to_thread(self.server.go_on)

    async def swallow_what_is_asked(self, for_s: float) -> None:
        self.way.fault = "hang"
        await asyncio.sleep(for_s)
        self.way.fault = "none"

    async def cut_the_way(self, for_s: float) -> None:
        self.way.answers_to_cut = self.dice.randrange(1, 10)
        await asyncio.sleep(for_s / 2)
        self.way.fault = "reset"
        await asyncio.sleep(for_s / 2)
        self.way.fault, self.way.answers_to_cut = "none", 0

    async def pause_a_worker(self, for_s: float) -> None:
        worker = psutil.Process(self.dice.choice(self.service.workers()))
        worker.suspend()
        await asyncio.sleep(for_s)
        worker.resume()


FAULTS: Final[tuple[Callable[[Site, float], Awaitable[None]], ...]] = (
    Site.kill_the_server,
    Site.pause_the_server,
    Site.swallow_what_is_asked,
    Site.cut_the_way,
    Site.pause_a_worker,
)
LENGTHS_S: Final = ((0.0, 0.5), (1.8, 2.5))
"""Shorter than any time limit of the service, and longer."""


@pytest.mark.alone
@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(1, marks=pytest.mark.timeout(300)),
        pytest.param(30, marks=[pytest.mark.soak, pytest.mark.timeout(3000)]),
    ],
)
async def test_each_key_is_one_row_and_each_row_was_acknowledged(tmp_path: Path, rounds: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    watch = Watch(Book(dice), patience_s=PATIENCE_S)
    with postgres_server(durable=True) as server:
        async with fault_proxy(server.port) as way:
            environ = {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": server.url(port=way.port)}
            async with serving(tmp_path, "--workers", "2", environ=environ) as service, load(service.url, watch):
                site, workers = Site(server, way, service, dice), service.workers()
                episodes = [*product(FAULTS, LENGTHS_S)] * rounds
                dice.shuffle(episodes)
                for fault, length_s in episodes:
                    await asyncio.sleep(dice.uniform(0.1, 0.5))  # load
                    await fault(site, dice.uniform(*length_s))
                    watch.newly_stored.clear()
                    async with asyncio.timeout(AGAIN_LIMIT_S):
                        await watch.newly_stored.wait()
                assert service.workers() == workers, "a worker had to be started again"
        told = watch.book.acknowledged
        print(
            f"{len(episodes)} faults, {len(told)} acknowledged, {watch.book.replayed} of them replayed, "
            f"{watch.refused} answers 503, {watch.unanswered} not waited for"
        )
        look_into_the_database(server, watch.book)
        rows = server.sql("SELECT inquiry_id, subject FROM inquiries").splitlines()
        assert dict(row.split("|") for row in rows) == told, "some are stored of which nobody was told"
        keys = server.sql("SELECT idempotency_key, inquiry_id FROM outcomes").splitlines()
        assert dict(row.split("|") for row in keys) == watch.book.id_of_key
    assert len(told) > rounds * CLIENTS, "too little load: this proves nothing"
    assert watch.unanswered, "nobody lost patience: this proves less"
