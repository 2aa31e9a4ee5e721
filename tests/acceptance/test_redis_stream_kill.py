"""The service and its workers killed at random moments under a stream of messages: each becomes exactly one inquiry."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from inquiry_svc_plugins.sources.redis_stream import RedisStreamSettings
from tests.acceptance.serving import Serving, serving
from tests.integration.test_redis_stream_faults import Producer
from tests.servers.redis import RedisServer, redis_server

PRODUCERS = 6
GROUP = RedisStreamSettings().group


def environ(server: RedisServer) -> dict[str, str]:
    prefix = "INQUIRY_SOURCES__REDIS_STREAM__"
    quick = {"URL": server.url, "BLOCK_S": "0.1", "CLAIM_IDLE_S": "0.5"}
    return {"INQUIRY_SOURCES__PROVIDERS": "redis_stream", **{prefix + name: value for name, value in quick.items()}}


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


@asynccontextmanager
async def stream(producer: Producer) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for _ in range(PRODUCERS):
            await stack.enter_async_context(producer.adding())
        yield


async def pending(redis: aioredis.Redis) -> int:
    found: Any = await redis.xpending("inquiries", GROUP)
    return int(found["pending"])


async def consumers(redis: aioredis.Redis) -> dict[bytes, int]:
    """How many messages each consumer of the group holds."""
    found: Any = await redis.xinfo_consumers("inquiries", GROUP)
    return {each["name"]: each["pending"] for each in found}


async def until_all_is_done(redis: aioredis.Redis, *, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while await redis.xlen("inquiries"):  # noqa: ASYNC110 (a server tells nobody)
            await asyncio.sleep(0.02)
    assert await pending(redis) == 0
    assert await redis.xlen("inquiries:dead") == 0


async def until_committed(service: Serving) -> None:
    """By this process."""
    async with asyncio.timeout(20), aiohttp.ClientSession(service.url) as session:
        while True:
            async with session.get("/metrics") as response:
                page = await response.text()
            if "redis_stream_committed_total 0" not in page:
                return
            await asyncio.sleep(0.01)


def assert_each_is_one_inquiry(file: Path, producer: Producer) -> None:
    database = sqlite3.connect(file)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = Counter(row[0] for row in database.execute("SELECT subject FROM inquiries"))
        for table in ("predictions", "routing_decisions", "idempotency_keys"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (found.total(),), table
    finally:
        database.close()
    lost = set(producer.added) - found.keys()
    assert not lost, f"{len(lost)} of {len(producer.added)} messages are lost"
    doubled = [subject for subject, times in found.items() if times > 1]
    assert not doubled, f"stored twice: {doubled}"
    assert found.keys() <= {*producer.added, *producer.unsure}


@pytest.mark.alone
@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(5, marks=pytest.mark.timeout(200)),
        pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(3000)]),
    ],
)
async def test_kills_of_the_service_and_of_redis_lose_and_double_no_message(
    tmp_path: Path, server: RedisServer, producer: Producer, redis: aioredis.Redis, kills: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, held = random.Random(seed), list[int]()
    async with stream(producer):
        for number in range(kills):
            async with serving(tmp_path, environ=environ(server)) as service:
                if number % 3 < 2:
                    await until_committed(service)
                await asyncio.sleep(dice.uniform(0, 0.3))  # load
                service.signal(signal.SIGKILL)
                assert await service.exit_code(within_s=20) == -signal.SIGKILL
            held.append(await pending(redis))
            if number % 2:
                server.kill()
                await server.start()
    async with serving(tmp_path, environ=environ(server)) as service:
        started = time.perf_counter()
        await until_all_is_done(redis, within_s=60 + 10 * kills)  # what was added all the while waits
        drained_s = time.perf_counter() - started
        service.signal(signal.SIGTERM)
        assert await service.exit_code(within_s=20) == 0
    print(
        f"{kills} kills, {kills // 2} of Redis too: {len(producer.added)} messages added and {len(producer.unsure)} "
        f"perhaps; {held} held at each kill; the rest done within {drained_s:.1f} s"
    )
    assert_each_is_one_inquiry(tmp_path / "inquiries.sqlite3", producer)
    assert sum(held) > kills, "nothing was cut off: this proves nothing"
    assert len(producer.added) > 100 * kills


async def until_both_workers_hold_some(service: Serving, redis: aioredis.Redis, killed: set[int]) -> set[int]:
    """The ids of their processes, of which none is one that was killed."""
    async with asyncio.timeout(30):
        while True:
            workers = set(service.workers())
            holding = {int(name.rpartition(b"-")[2]) for name, held in (await consumers(redis)).items() if held}
            if len(workers) == 2 and workers <= holding - killed:
                return workers
            await asyncio.sleep(0.002)


@pytest.mark.alone
@pytest.mark.timeout(200)
async def test_two_workers_share_the_messages_and_take_over_those_of_one_that_is_killed(
    tmp_path: Path, server: RedisServer, producer: Producer, redis: aioredis.Redis
) -> None:
    kills, killed, seen = 3, set[int](), set[int]()
    async with serving(tmp_path, "--workers", "2", environ=environ(server)) as service:
        async with stream(producer):
            for _ in range(kills):
                workers = await until_both_workers_hold_some(service, redis, killed)
                seen |= workers
                killed.add(max(workers))
                psutil.Process(max(workers)).kill()
            seen |= await until_both_workers_hold_some(service, redis, killed)
        await until_all_is_done(redis)
        service.signal(signal.SIGTERM)
        assert await service.exit_code(within_s=20) == 0
    print(f"{kills} kills of 2 workers: {len(producer.added)} messages, brought by {len(seen)} processes")
    assert_each_is_one_inquiry(tmp_path / "inquiries.sqlite3", producer)
    assert len(seen) == 2 + kills


@pytest.mark.alone
async def test_a_stop_under_a_stream_finishes_what_was_taken_and_leaves_the_rest(
    tmp_path: Path, server: RedisServer, producer: Producer, redis: aioredis.Redis
) -> None:
    async with serving(tmp_path, environ=environ(server)) as service, stream(producer):
        await until_committed(service)
        service.signal(signal.SIGTERM)
        assert await service.exit_code(within_s=20) == 0
    assert await pending(redis) == 0, "what was taken was not finished"
    assert await consumers(redis) == {}
    left = int(await redis.xlen("inquiries"))
    database = sqlite3.connect(tmp_path / "inquiries.sqlite3")
    [stored] = database.execute("SELECT count(*) FROM inquiries").fetchone()
    database.close()
    print(f"{len(producer.added)} added, {stored} stored, {left} left")
    assert left > 0, "too slow a stream"
    assert len(producer.added) <= stored + left <= len(producer.added) + len(producer.unsure)
    assert service.logged()[-1]["message"] == "stopped"
