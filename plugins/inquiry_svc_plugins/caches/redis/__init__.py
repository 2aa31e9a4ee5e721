"""Offers the cache `redis`: verdicts that all workers and machines share, and that outlive a restart.

Redis is never needed: while it is away the service goes on without it, and it is used again by itself once it is back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from inquiry_svc.contracts import Cache, Host, Provider
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.settings import Seconds, Secret


@dataclass(frozen=True, slots=True)
class RedisSettings:
    url: Secret = "redis://127.0.0.1:6379/0"
    """redis://, rediss:// (TLS) or unix://; may hold a password, so it is never shown."""
    ttl_s: Annotated[float, Meta(ge=1)] = 3600.0
    """How long an entry lives, give or take a tenth, so that what was put together does not leave together."""
    timeout_s: Seconds = 0.05
    """Bounds a whole call, connecting included. There are no retries."""
    slow_s: Seconds = 0.02
    """A slower call counts as a failed one, though its answer is used: classifying anew is quicker than that."""
    retry_after_s: Seconds = 2.0
    """After 3 failures in a row no call is made for so long; then a trial beside the requests decides."""
    max_entries_in_front: Annotated[int, Meta(ge=0)] = 0
    """So many of the latest entries are kept in this process as well, for as long as `ttl_s`; 0 keeps none."""


@asynccontextmanager
async def open_redis(settings: RedisSettings, host: Host) -> AsyncIterator[Cache]:
    """Connects at the first call, so that a Redis that is away keeps nobody from starting."""
    from inquiry_svc_plugins.caches.redis.cache import RedisCache

    cache = RedisCache(settings)
    try:
        yield cache
    finally:
        await cache.aclose()


@hookimpl
def register_caches() -> Iterable[Provider[Cache]]:
    return [Provider("redis", open_redis, RedisSettings, extra="redis", db_system="redis")]
