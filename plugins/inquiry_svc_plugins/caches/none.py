"""The cache `none`: remembers nothing, so that every text is classified anew."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from inquiry_svc.contracts import Host, NoSettings, Provider
from inquiry_svc.hookspecs import hookimpl


@asynccontextmanager
async def open_none(settings: NoSettings, host: Host) -> AsyncIterator[None]:
    yield


@hookimpl
def register_caches() -> Iterable[Provider[None]]:
    return [Provider("none", open_none)]
