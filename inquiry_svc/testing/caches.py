"""What every cache must do, as tests to inherit. Needs pytest, pytest-asyncio and Hypothesis.

    class TestMyCache(CacheContract):
        @pytest.fixture
        async def cache(self) -> AsyncIterator[Cache]:
            async with open_my_cache(MySettings(), host) as cache:
                yield cache

A cache may forget anything at any time, so no test here asks it to remember; test that beside.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inquiry_svc.contracts import Cache

_KEYS = st.sampled_from([b"", b"\0", b"a", b"A", b"a ", "ü".encode(), b"\xff" * 32, b"k" * 4096])


class CacheContract:
    """Inherit it, and override `cache`."""

    @pytest.fixture
    def cache(self) -> Cache:
        raise NotImplementedError("override the fixture `cache`: it gives an empty cache to each test")

    async def test_a_key_that_was_never_put_is_a_miss(self, cache: Cache) -> None:
        await cache.put_many({b"known": b"value"})
        assert list(await cache.get_many([b"unknown", b"", b"KNOWN"])) == [None, None, None]

    async def test_nothing_may_be_asked_and_nothing_may_be_put(self, cache: Cache) -> None:
        await cache.put_many({})
        assert list(await cache.get_many([])) == []

    async def test_there_is_an_answer_for_each_key_in_order_and_for_one_asked_twice(self, cache: Cache) -> None:
        await cache.put_many({b"a": b"1", b"b": b"2", b"c": b"3"})
        found = list(await cache.get_many([b"c", b"x", b"a", b"c", b"b"]))
        assert all(value in (None, put) for value, put in zip(found, [b"3", None, b"1", b"3", b"2"], strict=True))

    @given(puts=st.lists(st.dictionaries(_KEYS, st.binary(max_size=9), max_size=8), max_size=8))
    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    async def test_what_comes_back_is_what_was_put_last(self, cache: Cache, puts: Sequence[dict[bytes, bytes]]) -> None:
        last: dict[bytes, bytes] = {}
        for values in puts:
            await cache.put_many(values)
            last |= values
            found = await cache.get_many(list(last))
            assert all(value in (None, put) for value, put in zip(found, last.values(), strict=True))

    async def test_many_at_once_do_not_get_each_others_values(self, cache: Cache) -> None:
        seed = random.randrange(2**32)
        rng = random.Random(seed)

        async def put_and_get(who: int) -> None:
            for _ in range(20):
                keys = [b"%d" % rng.randrange(50) for _ in range(5)]
                await cache.put_many({key: key * 2 for key in keys})
                for key, value in zip(keys, await cache.get_many(keys), strict=True):
                    assert value in (None, key * 2), f"caller {who}, seed {seed}"

        await asyncio.gather(*(put_and_get(who) for who in range(20)))

    async def test_a_cache_that_works_passes_its_own_check(self, cache: Cache) -> None:
        await cache.check()
