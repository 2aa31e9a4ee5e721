"""Migrating where others use the tables, and beside a server that has not recovered yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from inquiry_svc.errors import ConfigurationError
from inquiry_svc_plugins.stores.named_sql import read_migrations
from inquiry_svc_plugins.stores.postgres import PostgresSettings, migrating
from tests.fault_proxy import FaultProxy
from tests.servers.postgres import PostgresServer, postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server(migrated=True) as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    with server.database("test") as url:
        yield url


@pytest.fixture
def next_migration(monkeypatch: pytest.MonkeyPatch) -> int:
    """One more, that alters a table."""
    known = read_migrations("inquiry_svc_plugins.stores.postgres")
    number = known[-1][0] + 1
    more = [*known, (number, "ALTER TABLE inquiries ADD COLUMN language text")]
    monkeypatch.setattr(migrating, "read_migrations", lambda _: more)
    monkeypatch.setattr(migrating, "_PAUSE_S", 0.05)
    return number


async def test_a_migration_lets_writers_pass_while_a_table_is_read_and_is_applied_after(
    url: str, next_migration: int
) -> None:
    reading, writing = await asyncpg.connect(url), await asyncpg.connect(url)
    try:
        async with reading.transaction():
            await reading.fetchval("SELECT count(*) FROM inquiries")
            migration = asyncio.create_task(migrating.migrate(PostgresSettings(url)))
            for _ in range(20):
                await writing.execute("DELETE FROM inquiries", timeout=5)  # it takes a writer's lock
                await asyncio.sleep(0.05)
            assert not migration.done()
        assert await migration == [next_migration]
    finally:
        await reading.close()
        await writing.close()


async def test_a_migration_that_never_gets_its_table_changes_nothing_and_says_why(
    url: str, next_migration: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(migrating, "_PATIENCE_S", 0.5)
    reading = await asyncpg.connect(url)
    try:
        async with reading.transaction():
            await reading.fetchval("SELECT count(*) FROM inquiries")
            with pytest.raises(ConfigurationError, match="run inquiry-svc migrate when they are done"):
                await migrating.migrate(PostgresSettings(url))
        assert caplog.text.count("the migration waits for those who use the tables") == 1
        assert (await migrating.schema_of(PostgresSettings(url))).applied == next_migration - 1
    finally:
        await reading.close()


STARTING = b"SFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00"
"""What PostgreSQL says until it has recovered."""


async def test_a_server_that_has_not_recovered_yet_is_waited_for(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "_PAUSE_S", 0.05)
    proxy, refused = FaultProxy(server.port), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        if refused == 3:
            await proxy.serve(reader, writer)
            return
        asked = await reader.read(1000)
        if asked[4:8] == (80877103).to_bytes(4, "big"):  # for TLS
            writer.write(b"N")
            await reader.read(1000)
        writer.write(b"E" + (len(STARTING) + 4).to_bytes(4, "big") + STARTING)
        refused += 1
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        settings = PostgresSettings(server.url("test", port=port))
        await migrating.require_schema(settings)
        assert refused == 3
        refused = 0
        monkeypatch.setattr(migrating, "_PATIENCE_S", 0.0)
        with pytest.raises(ConfigurationError, match="the database system is starting up"):
            await migrating.require_schema(settings)
        assert refused < 3
