"""The cache `none`: remembers nothing, so that every text is classified anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from inquiry_svc.contracts import Cache, Host, NoSettings, Provider
from inquiry_svc.hookspecs import hookimpl


class NoCache:
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return [None] * len(keys)

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        return

    async def check(self) -> None:
        return


@asynccontextmanager
async def open_none(settings: NoSettings, host: Host) -> AsyncIterator[Cache]:
    yield NoCache()


@hookimpl
def register_caches() -> Iterable[Provider[Cache]]:
    return [Provider("none", open_none)]
