"""Keeps a batch in Redis: one MGET to read, one pipeline to write, and a quick error when Redis is not well.

The one module of this cache that imports redis-py, whose own retries and back-off are switched off: they wait for
seconds.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc_plugins.caches.memory import MemoryCache, MemorySettings
from inquiry_svc_plugins.caches.redis import RedisSettings
from inquiry_svc_plugins.caches.redis.breaker import Breaker

T = TypeVar("T")

_FAILURES_IN_A_ROW: Final = 3
_CONNECTIONS: Final = 16
_JITTER: Final = 0.1
_PROBE: Final = b"inquiry-svc:probe"


class RedisCache:
    def __init__(self, settings: RedisSettings) -> None:
        """Raises `ConfigurationError`."""
        self._settings = settings
        self._redis: aioredis.Redis = _client(settings)
        self._breaker = Breaker(threshold=_FAILURES_IN_A_ROW, retry_after_s=settings.retry_after_s)
        self._trial: asyncio.Task[None] | None = None
        self._front: MemoryCache | None = None
        if settings.max_entries_in_front:
            self._front = MemoryCache(MemorySettings(settings.max_entries_in_front, settings.ttl_s))

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Raises `Unavailable`, unless the front knows some: then the rest counts as missing."""
        if self._front is None:
            return await self._call(lambda: self._read(keys)) if keys else []
        known = {
            key: value for key, value in zip(keys, await self._front.get_many(keys), strict=True) if value is not None
        }
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if missing:
            try:
                values = await self._call(lambda: self._read(missing))
            except Unavailable:
                if not known:
                    raise
            else:
                found = {key: value for key, value in zip(missing, values, strict=True) if value is not None}
                await self._front.put_many(found)
                known |= found
        return [known.get(key) for key in keys]

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        """Raises `Unavailable`."""
        if self._front is not None:
            await self._front.put_many(values)
        if values:
            await self._call(lambda: self._write(values))

    async def check(self) -> None:
        """Read and write, whatever the breaker says; success closes it. Raises `Unavailable`."""
        if not await self._asked(self._probe):
            # One slow answer may be this process's own doing.
            await self._asked(self._probe)
            if self._breaker.is_open:
                raise Unavailable("Redis answers, but too slowly to be of use; see slow_s in [cache.redis]")

    async def aclose(self) -> None:
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)
        await self._redis.aclose()

    # Asking Redis

    async def _call(self, operation: Callable[[], Awaitable[T]]) -> T:
        if self._breaker.is_open:
            # The trial runs beside the requests, so that none of them waits for a Redis that hangs.
            if self._breaker.trial_due and (self._trial is None or self._trial.done()):
                self._trial = asyncio.create_task(self._try_again(), name="redis trial")
            raise Unavailable(f"Redis failed {_FAILURES_IN_A_ROW} times in a row and is left alone for a while")
        return await self._asked(operation)

    async def _try_again(self) -> None:
        try:
            await self.check()
        except Unavailable:
            return  # the breaker knows, and health tells

    async def _asked(self, operation: Callable[[], Awaitable[T]]) -> T:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await operation()
        except Exception as error:
            self._breaker.failed()
            # Only the kind of the error: its text may quote what a stranger keeps in this Redis.
            raise Unavailable(f"Redis failed: {type(error).__name__}") from error
        except asyncio.CancelledError:
            self._breaker.failed()  # whoever waited had waited for long enough
            raise
        if time.perf_counter() - started > self._settings.slow_s:
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        return answer

    async def _read(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        values: Any = await self._redis.mget(keys)
        if (
            not isinstance(values, list)
            or len(values) != len(keys)
            or any(not (value is None or isinstance(value, bytes)) for value in values)
        ):
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise ValueError("what came back is not an answer to MGET")
        return values

    async def _write(self, values: Mapping[bytes, bytes]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key, value in values.items():
                jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 (spreads load, guards nothing)
                pipeline.set(key, value, px=int(self._settings.ttl_s * jitter * 1000))
            await pipeline.execute()

    async def _probe(self) -> bool:
        """Whether a write and a read were quick."""
        started = time.perf_counter()
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(_PROBE, _PROBE, ex=60)
            pipeline.get(_PROBE)
            answers = await pipeline.execute()
        if len(answers) != 2 or answers[1] != _PROBE:
            raise ValueError("Redis did not give back what was put")
        return time.perf_counter() - started <= self._settings.slow_s


def _client(settings: RedisSettings) -> aioredis.Redis:
    try:
        pool: aioredis.BlockingConnectionPool = aioredis.BlockingConnectionPool.from_url(
            settings.url,
            max_connections=_CONNECTIONS,
            timeout=settings.timeout_s,
            socket_timeout=None,  # calls are limited; redis-py's wait_for loses cancellations before Python 3.12
            socket_connect_timeout=settings.timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:
        # Neither the URL nor what its parser says of it: both may hold a password.
        raise ConfigurationError(
            "setting cache.redis.url is no URL of a Redis; write redis://host:6379/0, rediss://... or unix://..."
        ) from None
    return aioredis.Redis.from_pool(pool)
