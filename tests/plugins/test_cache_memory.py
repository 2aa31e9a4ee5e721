"""The cache `memory` remembers what was used last, for as long as it is told, and no more than it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from inquiry_svc.contracts import Cache, Host
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.caches import CacheContract
from inquiry_svc_plugins.caches.memory import MemoryCache, MemorySettings, open_memory


class TestMemoryCache(CacheContract):
    @pytest.fixture
    def cache(self) -> Cache:
        return MemoryCache(MemorySettings())


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_it_remembers() -> None:
    cache = MemoryCache(MemorySettings())
    await cache.put_many({b"a": b"1", b"b": b""})
    await cache.put_many({b"a": b"2"})
    assert list(await cache.get_many([b"b", b"a", b"c"])) == [b"", b"2", None]


async def test_the_least_recently_used_leaves_first() -> None:
    cache = MemoryCache(MemorySettings(max_entries=3))
    await cache.put_many({b"a": b"1", b"b": b"2", b"c": b"3"})
    await cache.get_many([b"a"])
    await cache.put_many({b"d": b"4"})
    assert list(await cache.get_many([b"a", b"b", b"c", b"d"])) == [b"1", None, b"3", b"4"]
    await cache.put_many({b"a": b"5"})
    await cache.put_many({b"e": b"6"})
    assert list(await cache.get_many([b"a", b"c", b"d", b"e"])) == [b"5", None, b"4", b"6"]


async def test_it_never_holds_more_than_it_may() -> None:
    cache = MemoryCache(MemorySettings(max_entries=10))
    await cache.put_many({b"%d" % number: b"x" for number in range(1_000)})
    found = await cache.get_many([b"%d" % number for number in range(1_000)])
    assert sum(value is not None for value in found) == 10
    assert found[-10:] == [b"x"] * 10


async def test_an_entry_lives_for_its_time_however_often_it_is_read() -> None:
    clock = Clock()
    cache = MemoryCache(MemorySettings(ttl_s=60), clock)
    await cache.put_many({b"a": b"1", b"b": b"2"})
    clock.now += 59.9
    assert list(await cache.get_many([b"a", b"b"])) == [b"1", b"2"]
    await cache.put_many({b"b": b"3"})
    clock.now += 0.2
    assert list(await cache.get_many([b"a", b"b"])) == [None, b"3"]
    clock.now += 60
    assert list(await cache.get_many([b"a", b"b"])) == [None, None]


async def test_a_new_one_opens_empty(tmp_path: Path) -> None:
    host = Host(tmp_path, Metrics())
    async with open_memory(MemorySettings(), host) as cache:
        await cache.put_many({b"a": b"1"})
    async with open_memory(MemorySettings(), host) as cache:
        assert list(await cache.get_many([b"a"])) == [None]
