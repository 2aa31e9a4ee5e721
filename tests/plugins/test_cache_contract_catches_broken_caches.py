"""The contract suite of caches, tried on caches that are broken on purpose: each must fail it where it is broken.

A cache that forgets is not broken. `BrokenCaches` is run once, in a process of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from inquiry_svc.contracts import Cache
from inquiry_svc.testing.caches import CacheContract
from tests.plugins.suite_failures import names_of_tests, suite_failures


class WholeCache:
    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return [self.values.get(key) for key in keys]

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        self.values |= values

    async def check(self) -> None:
        pass


class GivesAStaleValue(WholeCache):
    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        self.values = {**values, **self.values}


class TakesKeysThatLookAlikeForOne(WholeCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        folded = {key.lower(): value for key, value in self.values.items()}
        return [folded.get(key.lower()) for key in keys]


class CutsKeys(WholeCache):
    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        self.values |= {key.rstrip(b" \0"): value for key, value in values.items()}

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return await super().get_many([key.rstrip(b" \0") for key in keys])


class LeavesOutMisses(WholeCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return [self.values[key] for key in keys if key in self.values]


class AnswersAKeyOnce(WholeCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return await super().get_many(list(dict.fromkeys(keys)))


class AnswersInItsOwnOrder(WholeCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return await super().get_many(sorted(keys))


class MakesUpAValueForAMiss(WholeCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return [self.values.get(key, b"") for key in keys]


class FailsOverNothing(WholeCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        if not keys:
            raise ValueError("no keys")
        return await super().get_many(keys)


class CutsValuesAtNul(WholeCache):
    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        self.values |= {key: value.partition(b"\0")[0] for key, value in values.items()}


class GivesACallerTheAnswerOfAnother(WholeCache):
    asked: Sequence[bytes] = ()

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        self.asked = keys
        await asyncio.sleep(0)
        return [self.values.get(key) for key in self.asked][: len(keys)]


class FailsItsOwnCheck(WholeCache):
    async def check(self) -> None:
        raise ValueError("not well")


BROKEN: Mapping[type[WholeCache], str] = {
    GivesAStaleValue: "test_what_comes_back_is_what_was_put_last",
    TakesKeysThatLookAlikeForOne: "test_a_key_that_was_never_put_is_a_miss",
    CutsKeys: "test_what_comes_back_is_what_was_put_last",
    LeavesOutMisses: "test_a_key_that_was_never_put_is_a_miss",
    AnswersAKeyOnce: "test_there_is_an_answer_for_each_key_in_order_and_for_one_asked_twice",
    AnswersInItsOwnOrder: "test_there_is_an_answer_for_each_key_in_order_and_for_one_asked_twice",
    MakesUpAValueForAMiss: "test_a_key_that_was_never_put_is_a_miss",
    FailsOverNothing: "test_nothing_may_be_asked_and_nothing_may_be_put",
    CutsValuesAtNul: "test_what_comes_back_is_what_was_put_last",
    GivesACallerTheAnswerOfAnother: "test_many_at_once_do_not_get_each_others_values",
    FailsItsOwnCheck: "test_a_cache_that_works_passes_its_own_check",
}
"""Each broken cache, and a test that must fail over it."""


class BrokenCaches(CacheContract):
    @pytest.fixture(params=[WholeCache, *BROKEN], ids=lambda cache_type: cache_type.__name__)
    def cache(self, request: pytest.FixtureRequest) -> Cache:
        cache: Cache = request.param()
        return cache


@pytest.fixture(scope="module")
def failed() -> set[tuple[str, str]]:
    return suite_failures(__file__, "BrokenCaches")


@pytest.mark.parametrize(("cache_type", "test"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", "in"))
def test_the_suite_fails_over(failed: set[tuple[str, str]], cache_type: type[WholeCache], test: str) -> None:
    assert (test, cache_type.__name__) in failed


def test_a_cache_that_is_whole_fails_nothing(failed: set[tuple[str, str]]) -> None:
    assert [test for test, cache in failed if cache == WholeCache.__name__] == []


def test_each_test_of_the_suite_fails_over_some_broken_cache(failed: set[tuple[str, str]]) -> None:
    assert {test for test, _ in failed} == names_of_tests(CacheContract)
