"""The cache `redis` on a real server: shared while it is well, and missed by nobody while it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from inquiry_svc.catalogue import CACHE_LOOKUPS
from inquiry_svc.contracts import Cache, Host
from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc.inquiries import Text, Verdict
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.caches import CacheContract
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.testing.samples import sample_verdict
from inquiry_svc_plugins.caches.redis import RedisSettings, open_redis
from inquiry_svc_plugins.caches.redis.breaker import Breaker
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.servers.redis import RedisServer, redis_server
from tests.side_by_side import MORE_S, lateness_of_the_machine, p99

SUBMIT: Final = "/api/v1/inquiries/submit"
AT_EASE: Final[dict[str, Any]] = {"timeout_s": 5.0, "slow_s": 5.0}
"""For tests of what is kept, on a machine that may be busy."""


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    with redis_server() as server:
        await server.start()
        yield server


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, Metrics())


class TestRedisCache(CacheContract):
    @pytest.fixture
    async def cache(self, server: RedisServer, host: Host) -> AsyncIterator[Cache]:
        async with open_redis(RedisSettings(url=server.url, **AT_EASE), host) as cache:
            yield cache


class TestRedisCacheWithAFront(CacheContract):
    @pytest.fixture
    async def cache(self, server: RedisServer, host: Host) -> AsyncIterator[Cache]:
        async with open_redis(RedisSettings(url=server.url, max_entries_in_front=5, **AT_EASE), host) as cache:
            yield cache


async def test_two_share_what_one_has_put_and_it_leaves_after_about_its_time(server: RedisServer, host: Host) -> None:
    settings = RedisSettings(url=server.url, ttl_s=100, **AT_EASE)
    async with open_redis(settings, host) as one, open_redis(settings, host) as other:
        await one.put_many({b"%d" % number: b"x" for number in range(50)})
        assert list(await other.get_many([b"0", b"none", b"49"])) == [b"x", None, b"x"]
    lives_ms = [int((await server.ask("PTTL", str(number))).strip()[1:]) for number in range(50)]
    assert all(85_000 < life_ms <= 110_000 for life_ms in lives_ms)
    assert max(lives_ms) - min(lives_ms) > 2_000


async def test_the_front_answers_while_redis_is_gone(server: RedisServer, host: Host) -> None:
    async with open_redis(RedisSettings(url=server.url, max_entries_in_front=10, **AT_EASE), host) as cache:
        await cache.put_many({b"a": b"1"})
        server.kill()
        assert list(await cache.get_many([b"a", b"b"])) == [b"1", None]
        with pytest.raises(Unavailable):
            await cache.get_many([b"b"])


async def test_a_call_that_is_broken_off_leaves_no_answer_behind_for_the_next(server: RedisServer, host: Host) -> None:
    async with fault_proxy(server.port) as proxy:
        settings = RedisSettings(url=f"redis://127.0.0.1:{proxy.port}", **AT_EASE)
        async with open_redis(settings, host) as cache:
            await cache.put_many({b"a": b"1", b"b": b"2"})
            proxy.delay_s = 0.1
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(cache.get_many([b"a"]), 0.02)
            assert list(await cache.get_many([b"b"])) == [b"2"]


async def test_a_caller_that_is_cancelled_at_any_moment_is_let_go(server: RedisServer, host: Host) -> None:
    async def ask_on(cache: Cache) -> None:
        while True:
            await cache.get_many([b"a"])

    for number in range(100):
        async with open_redis(RedisSettings(url=server.url, **AT_EASE), host) as cache:
            await cache.get_many([b"a"])
            asking = asyncio.create_task(ask_on(cache))
            await asyncio.sleep(number / 50_000)  # whatever it is at by then
            asking.cancel()
            done, _ = await asyncio.wait([asking], timeout=5)
            while not asking.done():
                asking.cancel()
                await asyncio.sleep(0.0007)
            assert done, "it went on"


def test_the_breaker_opens_after_failures_in_a_row_and_asks_for_one_trial_in_time() -> None:
    now = [100.0]
    breaker = Breaker(threshold=3, retry_after_s=2, clock=lambda: now[0])
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    seen = [(breaker.is_open, breaker.trial_due)]
    breaker.failed()
    seen.append((breaker.is_open, breaker.trial_due))
    now[0] += 2
    seen.append((breaker.is_open, breaker.trial_due))
    breaker.failed()
    seen.append((breaker.is_open, breaker.trial_due))
    breaker.succeeded()
    seen.append((breaker.is_open, breaker.trial_due))
    assert seen == [(False, False), (True, False), (True, True), (True, False), (False, False)]


async def test_a_wrong_url_is_refused_without_being_quoted(host: Host) -> None:
    opening = open_redis(RedisSettings(url="http://:hunter2@example.org"), host)
    with pytest.raises(ConfigurationError, match=r"cache\.redis\.url") as refused:
        await opening.__aenter__()
    assert "hunter2" not in str(refused.value)


# The whole service


async def by_body(texts: Sequence[Text]) -> Sequence[Verdict]:
    return [sample_verdict("technical_support" if "broken" in text.body else "billing") for text in texts]


async def submits(running: Running, name: str, count: int) -> list[float]:
    """Sends `count` different ones, each of them twice; every one must be answered rightly. Seconds of each."""
    took_s = []
    for number in range(count):
        for category, body in (("technical_support", "It is broken"), ("billing", "Charged twice")):
            sent = {"body": f"{body}, {name} {number}", "sender_email": "ana@example.org"}
            for _ in range(2):
                started = time.perf_counter()
                async with running.client.post(SUBMIT, json=sent) as response:
                    answer: Any = await response.json()
                took_s.append(time.perf_counter() - started)
                assert response.status == 201, answer
                assert answer["category"]["label"] == category
    return sorted(took_s)


def lookups(running: Running, result: str) -> float:
    return running.service.metrics.series(CACHE_LOOKUPS, result=result).value


async def cache_health(running: Running) -> str:
    async with running.client.get("/api/v1/health") as response:
        answer: Any = await response.json()
    return str(answer["components"]["cache"]["status"])


async def until(true: Callable[[], Awaitable[bool]], *, within_s: float) -> float:
    started = time.perf_counter()
    async with asyncio.timeout(within_s):
        while not await true():  # noqa: ASYNC110 (a server tells nobody)
            await asyncio.sleep(0.05)
    return time.perf_counter() - started


async def is_used(running: Running) -> bool:
    before = lookups(running, "hit")
    await submits(running, f"used {time.perf_counter()}", 1)
    return lookups(running, "hit") > before


async def fail(fault: str, server: RedisServer, proxy: FaultProxy, other: RedisServer) -> None:
    if fault == "gone":
        server.kill()
    elif fault == "stopped":
        server.pause()
    elif fault == "slow":
        proxy.delay_s = 0.04
    elif fault == "out of memory":
        await server.ask("CONFIG", "SET", "maxmemory", "1")
    elif fault == "read-only":
        await other.start()
        await server.ask("REPLICAOF", "127.0.0.1", str(other.port))
    elif fault in ("hang", "reset", "garbage"):
        proxy.fault = fault  # type: ignore[assignment]  # one of these three


async def mend(fault: str, server: RedisServer, proxy: FaultProxy) -> None:
    proxy.fault, proxy.delay_s = "none", 0.0
    if fault == "gone":
        await server.start()
    elif fault == "stopped":
        server.go_on()
    elif fault == "out of memory":
        await server.ask("CONFIG", "SET", "maxmemory", "0")
    elif fault == "read-only":
        await server.ask("REPLICAOF", "NO", "ONE")


@pytest.mark.alone
@pytest.mark.parametrize("fault", ["gone", "stopped", "hang", "slow", "reset", "garbage", "out of memory", "read-only"])
async def test_every_inquiry_is_served_whatever_redis_does(fault: str, server: RedisServer) -> None:
    with redis_server() as other:
        async with fault_proxy(server.port) as proxy:
            settings = {
                "classifier.provider": "given",
                "cache.provider": "redis",
                "cache.redis.url": f"redis://127.0.0.1:{proxy.port}/0",
            }
            classifier = FunctionClassifier(by_body)
            async with running_service(settings, plugins=[Offering(classifier=classifier)]) as running:
                well_s = await submits(running, "well", 60)
                assert lookups(running, "hit") > 0
                assert await cache_health(running) == "healthy"
                await fail(fault, server, proxy, other)
                await submits(running, "failing", 3)  # the first few find it out
                with lateness_of_the_machine() as late_s:
                    ill_s = await submits(running, "ill", 60)

                async def is_degraded() -> bool:
                    return await cache_health(running) != "healthy"

                await until(is_degraded, within_s=5)
                await mend(fault, server, proxy)

                async def is_back() -> bool:
                    return await is_used(running) and not await is_degraded()

                back_s = await until(is_back, within_s=5)
                well_ms, ill_ms, late_ms = (p99(each) * 1000 for each in (well_s, ill_s, late_s))
                print(
                    f"redis {fault}: p99 {well_ms:.1f} ms well, {ill_ms:.1f} ms ill, all late by {late_ms:.1f} ms; "
                    f"used again after {back_s:.2f} s"
                )
                assert ill_ms < well_ms + 5 + late_ms, "a wait for Redis shows"


async def test_it_starts_while_redis_is_gone_and_uses_it_when_it_comes(server: RedisServer) -> None:
    server.kill()
    settings = {"cache.provider": "redis", "cache.redis.url": server.url}
    async with running_service({**settings, "classifier.provider": "given"}, plugins=[given()]) as running:
        await submits(running, "before", 3)
        assert await cache_health(running) != "healthy"
        await server.start()
        await until(lambda: is_used(running), within_s=5 + MORE_S)


def given() -> Offering:
    return Offering(classifier=FunctionClassifier(by_body))


async def test_flushed_and_foreign_bytes_are_never_an_answer(server: RedisServer) -> None:
    settings: dict[str, Any] = {
        "cache.provider": "redis",
        "cache.redis.url": server.url,
        "cache.redis.timeout_s": 5.0,
        "classifier.provider": "given",
    }
    async with running_service(settings, plugins=[given()]) as running:
        await submits(running, "same", 5)
        poked = await server.ask(
            "EVAL", "for _, k in ipairs(redis.call('KEYS', '*')) do redis.call('SET', k, 'foreign') end return 1", "0"
        )
        assert poked == b":1\r\n"
        await submits(running, "same", 5)
        assert lookups(running, "invalid") == 10
        assert await server.ask("FLUSHALL") == b"+OK\r\n"
        await submits(running, "same", 5)
        assert lookups(running, "error") == 0


async def test_a_thousand_identical_at_once_make_one_prediction(server: RedisServer) -> None:
    settings: dict[str, Any] = {
        "cache.provider": "redis",
        "cache.redis.url": server.url,
        "classifier.provider": "given",
    }
    settings |= {
        "batching.places": 1000,
        "cache.timeout_s": 5.0,
        "cache.redis.timeout_s": 5.0,
        "cache.redis.slow_s": 5.0,
    }
    classifier = FunctionClassifier(by_body)
    async with running_service(settings, plugins=[Offering(classifier=classifier)]) as running:
        text = Text("", "It is broken, a thousand times")
        predictions = await asyncio.gather(*(running.service.classify(text) for _ in range(1000)))
        assert {prediction.verdict.category.label for prediction in predictions} == {"technical_support"}
        assert sum(list(batch).count(text) for batch in classifier.batches) == 1
