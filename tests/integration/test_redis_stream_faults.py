"""Redis killed, hung, cut off or talking nonsense under a stream of messages: it waits, goes on, and loses nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import pytest
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from inquiry_svc.catalogue import INQUIRIES_PROCESSED, SOURCE_FAILURES
from inquiry_svc.contracts import Filters
from inquiry_svc.testing.providers import Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc_plugins.sources.redis_stream import RedisStreamSettings
from inquiry_svc_plugins.stores.memory import MemoryStore
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.servers.redis import RedisServer, redis_server

QUICK: Final[dict[str, Any]] = {
    "sources.providers": ("redis_stream",),
    "sources.redis_stream.block_s": 0.1,
    "sources.redis_stream.timeout_s": 0.5,
    "sources.redis_stream.claim_idle_s": 0.5,
    "sources.redis_stream.batch_size": 16,
    "store.provider": "given",
}
RESUMED_WITHIN_S: Final = 5.0


@dataclass(slots=True)
class Producer:
    """Adds messages with a subject each, one after the other, for as long as it runs."""

    redis: aioredis.Redis
    added: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    """Redis did not say that it had added them; perhaps it has."""
    numbers: count[int] = field(default_factory=count)

    async def add(self, subject: str) -> None:
        body = {"subject": subject, "body": "My card was charged twice.", "sender_email": "ana@example.org"}
        try:
            async with asyncio.timeout(0.3):
                await self.redis.xadd("inquiries", {"inquiry": json.dumps(body)})
            self.added.append(subject)
        except (RedisError, TimeoutError):
            self.unsure.append(subject)

    @asynccontextmanager
    async def adding(self) -> AsyncIterator[None]:
        async def add_on() -> None:
            while not done.is_set():
                await self.add(f"message {next(self.numbers)}")
                await asyncio.sleep(0.002)

        done = asyncio.Event()
        task = asyncio.create_task(add_on())
        try:
            yield
        finally:
            done.set()
            await task


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    with redis_server(durable=True) as server:
        await server.start()
        yield server


@pytest.fixture
async def producer(server: RedisServer) -> AsyncIterator[Producer]:
    async with aioredis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0)) as client:
        yield Producer(client)


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[aioredis.Redis]:
    """To ask with: unlike the producer's, it tries again over a connection that a fault has left behind."""
    async with aioredis.Redis(port=server.port, socket_timeout=None) as client:
        yield client


async def subjects(store: MemoryStore) -> Counter[str]:
    return Counter(outcome.inquiry.subject for outcome in await store.list(Filters(), limit=10**6, after=None))


async def until_stored(store: MemoryStore, producer: Producer) -> None:
    """Whatever has been added by now."""
    wanted = set(producer.added)
    async with asyncio.timeout(30):
        while not (await subjects(store)).keys() >= wanted:  # noqa: ASYNC110 (a store tells nobody)
            await asyncio.sleep(0.01)


async def fail_and_mend(fault: str, server: RedisServer, proxy: FaultProxy) -> None:
    match fault:
        case "killed":
            server.kill()
            await asyncio.sleep(0.3)  # away, while messages and the source want it
            await server.start()
        case "stopped":
            server.pause()
            await asyncio.sleep(1.0)  # longer than it is waited for
            server.go_on()
        case "hang" | "reset" | "garbage":
            proxy.fault = fault
            await asyncio.sleep(1.0)
            proxy.fault = "none"


@pytest.mark.parametrize("fault", ["killed", "stopped", "hang", "reset", "garbage"])
async def test_each_message_is_one_inquiry_whatever_redis_does(
    fault: str, server: RedisServer, producer: Producer, redis: aioredis.Redis
) -> None:
    store, resumed_s = MemoryStore(), list[float]()
    async with fault_proxy(server.port) as proxy:
        settings = {**QUICK, "sources.redis_stream.url": f"redis://127.0.0.1:{proxy.port}/0"}
        async with running_service(settings, plugins=[Offering(store=store)]) as running:
            async with producer.adding():
                for _ in range(2):
                    await asyncio.sleep(0.2)  # load
                    await fail_and_mend(fault, server, proxy)
                    mended = time.perf_counter()
                    stored = (await subjects(store)).total()
                    while (await subjects(store)).total() == stored:  # noqa: ASYNC110 (a store tells nobody)
                        await asyncio.sleep(0.005)
                    resumed_s.append(time.perf_counter() - mended)
            await until_stored(store, producer)
            async with running.client.get("/api/v1/health/live") as response:
                assert response.status == 200
            failures = running.service.metrics.series(SOURCE_FAILURES, source="redis_stream").value
        found = await subjects(store)
    assert await redis.xlen("inquiries") == 0
    assert await redis.xlen("inquiries:dead") == 0
    assert found.keys() >= set(producer.added), "lost"
    assert found.keys() <= {*producer.added, *producer.unsure}
    assert set(found.values()) == {1}, "doubled"
    assert failures >= 2
    print(
        f"{fault} twice: {len(producer.added)} added, {found.total()} stored, {failures:g} failed runs; "
        f"resumed after {max(resumed_s):.2f} s at most"
    )
    assert max(resumed_s) < RESUMED_WITHIN_S


async def test_the_service_starts_while_redis_is_gone_and_takes_what_is_there_when_it_comes(
    server: RedisServer, producer: Producer, redis: aioredis.Redis
) -> None:
    store = MemoryStore()
    await producer.add("before")
    server.kill()
    settings = {**QUICK, "sources.redis_stream.url": server.url}
    async with running_service(settings, plugins=[Offering(store=store)]) as running:
        inquiry = {"subject": "over HTTP", "body": "Charged twice.", "sender_email": "ana@example.org"}
        async with running.client.post("/api/v1/inquiries/submit", json=inquiry) as response:
            assert response.status == 201
        await server.start()
        await until_stored(store, producer)
    assert await subjects(store) == {"before": 1, "over HTTP": 1}


async def test_what_the_store_cannot_take_waits_in_the_stream_until_it_can(
    server: RedisServer, producer: Producer, redis: aioredis.Redis
) -> None:
    class AwayAtFirst(MemoryStore):
        async def save(self, outcomes: Any, notices: Any = ()) -> Any:
            await there.wait()
            return await super().save(outcomes, notices)

    there, store = asyncio.Event(), AwayAtFirst()
    for number in range(50):
        await producer.add(f"message {number}")
    settings = {**QUICK, "sources.redis_stream.url": server.url, "store.timeout_s": 0.05}
    async with running_service(settings, plugins=[Offering(store=store)]) as running:
        await until_failed(running, 100)
        assert await redis.xlen("inquiries") == 50
        pending: Any = await redis.xpending("inquiries", RedisStreamSettings().group)
        assert pending["pending"] == 16, "more was taken than is worked on"
        there.set()
        await until_stored(store, producer)
    assert set((await subjects(store)).values()) == {1}
    assert await redis.xlen("inquiries") == 0
    assert await redis.xlen("inquiries:dead") == 0


async def until_failed(running: Running, times: int) -> None:
    failed = running.service.metrics.series(INQUIRIES_PROCESSED, status="failed")
    async with asyncio.timeout(20):
        while failed.value < times:  # noqa: ASYNC110 (a metric tells nobody)
            await asyncio.sleep(0.01)
