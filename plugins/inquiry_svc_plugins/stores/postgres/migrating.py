"""Brings the database to the schema that this release needs, and refuses in one line what can't serve.

Migrations are numbered and each is applied once, all that are due in one transaction under an advisory lock, so that of
several processes that start at once one migrates and the others find it done. A release before this one keeps running
on the new schema: a migration only adds; what it replaces goes with a later release.

A migration whose first line is `-- concurrently` makes one index, while others write, which no transaction may: it is
applied by itself. What a broken-off one left of its index is dropped first.

Whoever waits to alter a table holds up all who come after, and a dump may read for an hour. So a migration waits for a
moment only, lets the others pass, and tries again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import Any, Final

import asyncpg

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.upkeep import Schema
from inquiry_svc_plugins.stores.named_sql import read_migrations
from inquiry_svc_plugins.stores.postgres import PostgresSettings
from inquiry_svc_plugins.stores.postgres.connections import Role, connect_options

logger = logging.getLogger(__name__)

_LOCK: Final = 0x696E7175697279  # "inquiry": one number that all releases agree on

_LOCK_LIMIT: Final = "200ms"
"""For each lock on a table: submits wait as long, and a store answers within 1.5 s."""
_PAUSE_S: Final = 1.0
_TURN_S: Final = 0.1
_PATIENCE_S: Final = 30.0
"""With those who read, and with a server that starts. A worker has 60 s to start."""

_CREATE_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()
)"""


_CONCURRENTLY: Final = "-- concurrently\n"
_INDEX: Final = re.compile(r"^CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)", re.MULTILINE)
_DROP_BROKEN: Final = """
SELECT format('DROP INDEX CONCURRENTLY %s', indexrelid::regclass) FROM pg_index
WHERE indexrelid = to_regclass($1) AND NOT indisvalid"""
_RECORD: Final = "INSERT INTO schema_migrations (version) VALUES ($1)"


async def require_schema(settings: PostgresSettings) -> None:
    """Raises `ConfigurationError` when the server can't be reached or the schema can't be had."""
    async with _connected(settings) as connection:
        await _warn_if_not_durable(connection)
        missing = _missing(await _version(connection))
        if missing and not settings.migrate_at_start:
            raise ConfigurationError(
                f'store "postgres": the schema lacks migration {missing[0][0]}; run inquiry-svc migrate, '
                "or set [store.postgres] migrate_at_start = true"
            )
        if missing:
            await _migrate(connection)


async def require_readable(settings: PostgresSettings) -> None:
    """Raises `ConfigurationError` when the server, or a replica, can't be reached or its schema is behind."""
    async with _connected(settings, "reader") as connection:
        missing = _missing(await _version(connection))
        if missing:
            raise ConfigurationError(
                f'store "postgres": the schema lacks migration {missing[0][0]}; run inquiry-svc migrate'
            )


async def migrate(settings: PostgresSettings) -> Sequence[int]:
    """The numbers of the migrations that were applied. Raises `ConfigurationError`."""
    async with _connected(settings) as connection:
        return await _migrate(connection)


async def schema_of(settings: PostgresSettings) -> Schema:
    """Raises `ConfigurationError`."""
    async with _connected(settings) as connection:
        newest = max(number for number, _ in read_migrations(__package__))
        return Schema(await _version(connection), newest)


async def _migrate(connection: Any) -> Sequence[int]:
    """Raises `ConfigurationError` when others never let go of the tables."""
    await connection.execute("SET statement_timeout = 0")
    # Until the connection ends. Who waited inside a statement would be waited for by an index that is made meanwhile.
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110 (other processes)
        await asyncio.sleep(_TURN_S)
    applied: list[int] = []
    while missing := _missing(await _version(connection)):
        number, script = missing[0]
        if script.startswith(_CONCURRENTLY):
            await _make_index(connection, number, script)
            applied.append(number)
        else:
            applied += await _migrate_patiently(connection)
    return applied


async def _make_index(connection: Any, number: int, script: str) -> None:
    """Holds up nobody, and waits for every transaction that is open. Broken off at any moment, it can be done again."""
    index = _INDEX.search(script)
    if index is None:
        raise ConfigurationError(f"migration {number} must be one CREATE INDEX CONCURRENTLY IF NOT EXISTS")
    drop = await connection.fetchval(_DROP_BROKEN, index[1])
    if drop is not None:
        await connection.execute(drop)
    await connection.execute(script)
    await connection.execute(_RECORD, number)
    logger.info("migration %d of the postgres store was applied", number)


async def _migrate_patiently(connection: Any) -> Sequence[int]:
    """Raises `ConfigurationError` when others never let go of the tables."""
    give_up_at, told = time.monotonic() + _PATIENCE_S, False
    while True:
        try:
            return await _migrate_at_once(connection)
        except asyncpg.LockNotAvailableError:
            if time.monotonic() > give_up_at:
                raise ConfigurationError(
                    'store "postgres": a migration is due, and for '
                    f"{_PATIENCE_S:g} s others have held the tables that it alters; run inquiry-svc migrate when they "
                    "are done: a dump, or a transaction that was left open (pg_stat_activity)"
                ) from None
        if not told:
            logger.warning("the migration waits for those who use the tables: a dump, or a transaction left open")
            told = True
        await asyncio.sleep(_PAUSE_S)


async def _migrate_at_once(connection: Any) -> Sequence[int]:
    """Up to the next that is applied by itself. Raises `LockNotAvailableError`, and has changed nothing then."""
    async with connection.transaction():
        await connection.execute("SELECT set_config('lock_timeout', $1, true)", _LOCK_LIMIT)
        await connection.execute(_CREATE_VERSIONS)
        missing = list(
            takewhile(lambda each: not each[1].startswith(_CONCURRENTLY), _missing(await _version(connection)))
        )
        for number, script in missing:
            await connection.execute(script)
            await connection.execute(_RECORD, number)
    for number, _ in missing:
        logger.info("migration %d of the postgres store was applied", number)
    return [number for number, _ in missing]


def _missing(version: int) -> Sequence[tuple[int, str]]:
    return [(number, script) for number, script in read_migrations(__package__) if number > version]


async def _version(connection: Any) -> int:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return 0
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_migrations"))


async def _warn_if_not_durable(connection: Any) -> None:
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if await connection.fetchval("SELECT current_setting($1)", name) == "off":
            logger.warning("PostgreSQL runs with %s = off: after a crash, acknowledged inquiries may be lost", name)


@asynccontextmanager
async def _connected(settings: PostgresSettings, role: Role = "writer") -> AsyncIterator[Any]:
    try:
        connection = await _connect(settings, role)
        try:
            yield connection
        finally:
            connection.terminate()
    except TimeoutError as error:
        raise _refused(f"no answer within {settings.connect_timeout_s:g} s", "look whether the server runs") from error
    except (asyncpg.ClientConfigurationError, ValueError):
        # Neither the URL nor what its parser says of it: both may hold a password.
        raise _refused("this is no URL of a PostgreSQL", "write postgresql://user@host:5432/database") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise _refused(" ".join(str(error).split()), "mend the server or the URL") from error


async def _connect(settings: PostgresSettings, role: Role) -> Any:
    """After a crash, or a cut of the power, a server that starts says so until it has recovered: it is waited for."""
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await asyncpg.connect(settings.url, **connect_options(settings, role))
        except asyncpg.CannotConnectNowError:
            if time.monotonic() > give_up_at:
                raise
        await asyncio.sleep(_PAUSE_S / 4)


def _refused(what: str, cure: str) -> ConfigurationError:
    return ConfigurationError(f'store "postgres" can\'t be opened: {what}; {cure} ([store.postgres] url)')
