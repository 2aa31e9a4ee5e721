"""Runs work on PostgreSQL connections, and decides what a failure means: nothing was kept, or ask again.

A connection that failed is never used again. Every other is opened anew before it is used, since after a restart or a
failover of the server all of them are stale; unless the server lives, and refused this work alone. Work that may have
been committed although the connection died (its COMMIT was on the way) is done once more on a new connection, so it
must be idempotent: asking again tells what became of it, guessing does not. Knows no table.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias, TypeVar

import asyncpg

from inquiry_svc.contracts import Pool
from inquiry_svc.errors import StoreUnavailable
from inquiry_svc_plugins.stores.postgres import PostgresSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")

Role: TypeAlias = Literal["writer", "reader"]

_BLAMES_THE_ROW: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)

_GOES_AWAY: Final = (
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""What PostgreSQL says, or asyncpg for it, where other connections to it are lost as well."""

_WORTH_ANOTHER_CONNECTION: Final = (
    *_GOES_AWAY,
    asyncpg.DeadlockDetectedError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was told to end while nobody used it
    asyncpg.SerializationError,
    OSError,
)


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is not typed
    def get_reset_query(self) -> str:
        """Nothing to reset: no work leaves anything behind, and asking would cost a round trip each time."""
        return ""


class Connections:
    """Up to `size` connections of one role, opened when first needed."""

    def __init__(self, settings: PostgresSettings, size: int, role: Role) -> None:
        self._role = role
        self._connect_timeout_s = settings.connect_timeout_s
        self._suspect = False
        self._begun: set[asyncio.Future[None]] = set()
        self._pool: Any = asyncpg.create_pool(
            settings.url,
            min_size=0,
            max_size=size,
            connection_class=_Connection,
            max_inactive_connection_lifetime=0,
            **connect_options(settings, role),
        )

    async def __aenter__(self) -> Connections:
        await self._pool
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for work that was begun. A server that does not say goodbye is left without."""
        while self._begun:
            await asyncio.wait(self._begun)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Give `work` a connection; it may be called twice. Raises `StoreUnavailable`, or what blames a row."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun.add(done)
        try:
            return await self._run_twice(work)
        finally:
            self._begun.discard(done)
            done.set_result(None)

    def pool(self) -> Pool:
        opened, idle = self._pool.get_size(), self._pool.get_idle_size()
        return Pool(idle, opened - idle, self._pool.get_max_size())

    async def _run_twice(self, work: Callable[[Any], Awaitable[T]]) -> T:
        try:
            try:
                return await self._run(work)
            except TimeoutError:
                raise
            except _WORTH_ANOTHER_CONNECTION as error:
                logger.info("the %s connection was lost (%s); trying a new one", self._role, type(error).__name__)
                return await self._run(work)
        except _BLAMES_THE_ROW:
            raise
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            reason = getattr(error, "sqlstate", None) or type(error).__name__
            raise StoreUnavailable(f"the {self._role} of the postgres store can't serve now: {reason}") from error

    async def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        if self._suspect:
            self._suspect = False
            await self._pool.expire_connections()
        try:
            connection = await self._pool.acquire()  # no limit: to wait for a free one is no failure
        except Exception as error:
            self._suspect |= _tells_of_the_others(error)
            raise
        since = time.monotonic()
        try:
            return await work(connection)
        except _BLAMES_THE_ROW:
            raise
        except BaseException as error:
            # Who is cancelled may have waited for a connection until then; the server has had this long.
            soon = isinstance(error, asyncio.CancelledError) and time.monotonic() - since < self._connect_timeout_s
            self._suspect |= not soon and _tells_of_the_others(error)
            connection.terminate()  # at once: a polite end would wait for a server that may hang
            raise
        finally:
            with suppress(Exception):  # one that was told to end may be lost by now; what was done is done
                await self._pool.release(connection, timeout=self._connect_timeout_s)


def _tells_of_the_others(error: BaseException) -> bool:
    """Whether what befell one connection may have befallen all: a server that says no is there for the others."""
    return not isinstance(error, asyncpg.PostgresError) or isinstance(error, _GOES_AWAY)


def connect_options(settings: PostgresSettings, role: Role) -> dict[str, Any]:
    """What every connection of this role is opened with, beside the URL."""
    return {
        "timeout": settings.connect_timeout_s,
        "target_session_attrs": "read-write" if role == "writer" else "any",
        "server_settings": {
            "application_name": f"inquiry-svc {role}",
            "statement_timeout": str(int(settings.statement_timeout_s * 1000)),
            "default_transaction_read_only": "on" if role == "reader" else "off",
            # A list's plan hangs on which filters are given; one for all of them would go through whole tables.
            "plan_cache_mode": "force_custom_plan" if role == "reader" else "auto",
            # To start other processes takes ten times as long as a list.
            "max_parallel_workers_per_gather": "0",
        },
    }
