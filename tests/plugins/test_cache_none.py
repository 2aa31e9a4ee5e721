"""The cache `none` remembers nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inquiry_svc.contracts import Cache, Host, NoSettings
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.caches import CacheContract
from inquiry_svc_plugins.caches.none import open_none


class TestNoCache(CacheContract):
    @pytest.fixture
    async def cache(self, tmp_path: Path) -> AsyncIterator[Cache]:
        async with open_none(NoSettings(), Host(tmp_path, Metrics())) as cache:
            yield cache

    async def test_what_was_put_is_forgotten(self, cache: Cache) -> None:
        await cache.put_many({b"a": b"1"})
        assert list(await cache.get_many([b"a", b"a"])) == [None, None]
