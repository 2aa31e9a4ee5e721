"""The cache `memory`: the least recently used entries of this process, for a limited time. Gone with the process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from cachetools import TTLCache
from msgspec import Meta

from inquiry_svc.contracts import Cache, Host, Provider
from inquiry_svc.hookspecs import hookimpl


@dataclass(frozen=True, slots=True)
class MemorySettings:
    max_entries: Annotated[int, Meta(ge=1)] = 50_000
    """About 0.5 kB each, so 25 MB when full."""
    ttl_s: Annotated[float, Meta(gt=0)] = 3600.0


class MemoryCache:
    def __init__(self, settings: MemorySettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: TTLCache[bytes, bytes] = TTLCache(settings.max_entries, settings.ttl_s, timer=clock)

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return [self._entries.get(key) for key in keys]

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        self._entries.update(values)

    async def check(self) -> None:
        return


@asynccontextmanager
async def open_memory(settings: MemorySettings, host: Host) -> AsyncIterator[Cache]:
    yield MemoryCache(settings)


@hookimpl
def register_caches() -> Iterable[Provider[Cache]]:
    return [Provider("memory", open_memory, MemorySettings)]
