"""What is erased is nowhere in Redis: the cache never held a text, and the stream lets go of what is committed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

import pytest
from redis import asyncio as aioredis

from inquiry_svc.contracts import Filters
from inquiry_svc.testing.running import running_service
from tests.servers.redis import RedisServer, redis_server

WORDS: Final = ("zephyr@quagmire.example", "Quixotic subject", "a body of wombats", "Zephyr Quagmire", "order-vexing")
SENT: Final = {
    "sender_email": WORDS[0],
    "subject": WORDS[1],
    "body": WORDS[2],
    "sender_name": WORDS[3],
    "metadata": {"order": WORDS[4]},
}


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    with redis_server() as server:
        await server.start()
        yield server


async def words_in(server: RedisServer, redis: aioredis.Redis) -> list[str]:
    """Those that are in a dump of everything, keys too."""
    await redis.config_set("rdbcompression", "no")
    await redis.save()
    dump = (server.folder / "dump.rdb").read_bytes()
    return [word for word in (*WORDS, *map(json.dumps, WORDS)) if word.encode() in dump]


async def test_no_word_of_what_is_erased_is_in_redis(server: RedisServer) -> None:
    settings = {
        "store.provider": "sqlite",
        "cache.provider": "redis",
        "cache.redis.url": server.url,
        "sources.providers": ("redis_stream",),
        "sources.redis_stream.url": server.url,
    }
    async with aioredis.Redis.from_url(server.url) as redis:
        await redis.set("another", WORDS[0])
        assert await words_in(server, redis) == [WORDS[0]], "it would be found"
        await redis.delete("another")
        async with running_service(settings) as running:
            async with running.client.post("/api/v1/inquiries/submit", json=SENT) as answer:
                assert answer.status == 201
            await redis.xadd("inquiries", {"inquiry": json.dumps({**SENT, "body": f"{WORDS[2]}, queued"})})
            async with asyncio.timeout(30):
                while len(found := await running.service.store.list(Filters(), limit=9, after=None)) < 2:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(0.01)
            for outcome in found:
                async with running.client.delete(f"/api/v1/inquiries/{outcome.inquiry.inquiry_id}") as answer:
                    assert answer.status == 204
            async with asyncio.timeout(30):
                while await redis.xlen("inquiries"):  # noqa: ASYNC110 (acknowledged just after the commit)
                    await asyncio.sleep(0.01)
        assert [key async for key in redis.scan_iter("inquiry-svc:v2:*")], "the cache was in use"
        assert await words_in(server, redis) == []
