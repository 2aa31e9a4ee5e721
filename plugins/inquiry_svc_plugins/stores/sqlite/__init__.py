"""Offers the store `sqlite`, the embedded default: durable, in one file in the data folder, nothing to install.

One machine's store: several processes may share the file, several machines may not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from inquiry_svc.contracts import Host, Provider, Store
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.repeating import repeated
from inquiry_svc.upkeep import Backups, Contents, Restored, Schema, Upkeep

if TYPE_CHECKING:
    import sqlite3

    from inquiry_svc_plugins.stores.sqlite.store import SqliteStore

COUNT_HOURS_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    path: str = ""
    """The file; a relative one lies in the data folder. Empty: `inquiries.sqlite3` there."""
    busy_timeout_s: Annotated[float, Meta(gt=0)] = 1.0
    """How long a write waits for another process that is writing."""
    readers: Annotated[int, Meta(ge=1)] = 2
    """How many reads may run at a time, each in a thread of its own."""


@asynccontextmanager
async def open_sqlite(settings: SqliteSettings, host: Host) -> AsyncIterator[Store]:
    """Create or migrate the file; on leaving, wait until what is being written is committed."""
    from inquiry_svc_plugins.stores.sqlite.database import open_database

    async with (
        _opened(settings, host, open_database) as store,
        repeated(
            store.count_hours,
            period_s=COUNT_HOURS_EVERY_S,
            first_after_s=COUNT_HOURS_EVERY_S / 6,
            name="sqlite hours",
            failing="the hours that are over can't be counted; stats goes through their rows",
        ),
    ):
        yield store


@asynccontextmanager
async def open_to_read(settings: SqliteSettings, host: Host) -> AsyncIterator[Store]:
    from inquiry_svc_plugins.stores.sqlite.database import open_read_only

    async with _opened(settings, host, open_read_only) as store:
        yield store


@asynccontextmanager
async def _opened(
    settings: SqliteSettings, host: Host, connect: Callable[[Path, float, int], Sequence[sqlite3.Connection]]
) -> AsyncIterator[SqliteStore]:
    """`connect` gives the connection that writes, then those that read."""
    import asyncio

    from inquiry_svc_plugins.stores.sqlite.store import SqliteStore

    path = _path(settings, host)
    writer, *readers = await asyncio.to_thread(connect, path, settings.busy_timeout_s, settings.readers)
    store = SqliteStore(path, writer, readers, settings.busy_timeout_s)
    try:
        yield store
    finally:
        await store.close()


def migrate(settings: SqliteSettings, host: Host) -> Sequence[int]:
    from inquiry_svc_plugins.stores.sqlite.database import migrate_database

    return migrate_database(_path(settings, host), settings.busy_timeout_s)


def schema(settings: SqliteSettings, host: Host) -> Schema:
    from inquiry_svc_plugins.stores.sqlite.database import schema_of

    return schema_of(_path(settings, host), settings.busy_timeout_s)


def save_backup(settings: SqliteSettings, host: Host, file: Path) -> Contents:
    from inquiry_svc_plugins.stores.sqlite import backups

    return backups.save_backup(_path(settings, host), file, settings.busy_timeout_s)


def verify_backup(settings: SqliteSettings, host: Host, file: Path) -> Contents:
    from inquiry_svc_plugins.stores.sqlite import backups

    return backups.verify_backup(file)


def restore_backup(settings: SqliteSettings, host: Host, file: Path) -> Restored:
    from inquiry_svc_plugins.stores.sqlite import backups

    return backups.restore_backup(_path(settings, host), file)


def _path(settings: SqliteSettings, host: Host) -> Path:
    return host.data_dir / (settings.path or "inquiries.sqlite3")


@hookimpl
def register_stores() -> Iterable[Provider[Store]]:
    backups = Backups(save_backup, verify_backup, restore_backup)
    upkeep = Upkeep(migrate, backups, schema=schema, open_to_read=open_to_read)
    return [Provider("sqlite", open_sqlite, SqliteSettings, db_system="sqlite", upkeep=upkeep)]
