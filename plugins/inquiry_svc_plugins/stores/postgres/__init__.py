"""Offers the store `postgres`: durable and shared, for several processes and several machines.

PostgreSQL 14 or newer. What a failover, a restart or a full disk does to it is told in `connections.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from inquiry_svc.contracts import Host, Provider, Store
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.repeating import repeated
from inquiry_svc.settings import Count, Seconds, Secret
from inquiry_svc.upkeep import Schema, Upkeep

COUNT_HOURS_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    url: Secret = "postgresql://127.0.0.1:5432/inquiries"
    """postgresql://user:password@host:port/database; may name several hosts: the one that can be written is found."""
    writers: Count = 2
    """Connections that write: at most so many transactions at a time."""
    readers: Count = 4
    """Connections that read, so that no slow question holds up a commit."""
    connect_timeout_s: Seconds = 0.5
    """For one connection; a way to the server that swallowed the question is tried again after so long."""
    statement_timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 1.4
    """PostgreSQL itself breaks off a statement that takes longer; keep it below `timeout_s` of [store]."""
    migrate_at_start: bool = True
    """If false, a schema that is behind stops the start: run `inquiry-svc migrate` first."""


@asynccontextmanager
async def open_postgres(settings: PostgresSettings, host: Host) -> AsyncIterator[Store]:
    """Connect and migrate; on leaving, wait until what is being written is committed. Raises `ConfigurationError`."""
    from inquiry_svc_plugins.stores.postgres.connections import Connections
    from inquiry_svc_plugins.stores.postgres.migrating import require_schema
    from inquiry_svc_plugins.stores.postgres.store import PostgresStore

    await require_schema(settings)
    async with (
        Connections(settings, settings.writers, "writer") as writers,
        Connections(settings, settings.readers, "reader") as readers,
    ):
        store = PostgresStore(writers, readers)
        async with repeated(
            store.count_hours,
            period_s=COUNT_HOURS_EVERY_S,
            first_after_s=COUNT_HOURS_EVERY_S / 6,
            name="postgres hours",
            failing="the hours that are over can't be counted; stats goes through their rows",
        ):
            yield store


@asynccontextmanager
async def open_to_read(settings: PostgresSettings, host: Host) -> AsyncIterator[Store]:
    from inquiry_svc_plugins.stores.postgres.connections import Connections
    from inquiry_svc_plugins.stores.postgres.migrating import require_readable
    from inquiry_svc_plugins.stores.postgres.store import PostgresStore

    await require_readable(settings)
    async with Connections(settings, settings.readers, "reader") as readers:
        yield PostgresStore(readers, readers)


def migrate(settings: PostgresSettings, host: Host) -> Sequence[int]:
    import asyncio

    from inquiry_svc_plugins.stores.postgres import migrating

    return asyncio.run(migrating.migrate(settings))


def schema(settings: PostgresSettings, host: Host) -> Schema:
    import asyncio

    from inquiry_svc_plugins.stores.postgres import migrating

    return asyncio.run(migrating.schema_of(settings))


@hookimpl
def register_stores() -> Iterable[Provider[Store]]:
    instead = "use pg_dump and pg_restore, as docs/backups.md tells"
    return [
        Provider(
            "postgres",
            open_postgres,
            PostgresSettings,
            extra="postgres",
            db_system="postgresql",
            upkeep=Upkeep(migrate, backups_instead=instead, schema=schema, open_to_read=open_to_read),
        )
    ]
