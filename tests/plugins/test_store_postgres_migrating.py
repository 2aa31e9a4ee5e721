"""Migrating where others use the tables, and beside a server that has not recovered yet."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

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


INDEX: Final = """-- concurrently
-- For lists by language.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_inquiries_language ON inquiries (language);
"""
STATE: Final = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('idx_inquiries_language')"


@pytest.fixture
def folder_of_the_next_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sequence[int]:
    """The numbers of its migrations that this one lacks: a column, an index on it, and another column."""
    package = tmp_path / "next_release"
    shutil.copytree(Path(str(files("inquiry_svc_plugins.stores.postgres"))) / "migrations", package / "migrations")
    first = read_migrations("inquiry_svc_plugins.stores.postgres")[-1][0] + 1
    for number, script in enumerate(
        (
            "ALTER TABLE inquiries ADD COLUMN language text;",
            INDEX,
            "ALTER TABLE inquiries ADD COLUMN country text;",
        ),
        first,
    ):
        (package / f"migrations/{number:04}_next.sql").write_text(script)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(migrating, "read_migrations", lambda _: read_migrations("next_release"))
    return [first, first + 1, first + 2]


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[None]:
    """A transaction that stays open, as a dump's does: an index that is made meanwhile waits for its end."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.fetchval("SELECT count(*) FROM predictions")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[list[str]]:
    """What is told of each of many writes, none of which may wait for 5 s."""

    async def write() -> None:
        connection = await asyncpg.connect(url)
        try:
            while True:
                written.append(await connection.execute("DELETE FROM inquiries", timeout=5))  # a writer's lock
                await asyncio.sleep(0.005)
        finally:
            connection.terminate()

    written: list[str] = []
    task = asyncio.create_task(write())
    try:
        yield written
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until_an_index_waits(server: PostgresServer) -> int:
    """For a transaction to end; the process of the server that makes it."""
    waits = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%CREATE INDEX CONC%' AND wait_event = 'virtualxid'"
    async with asyncio.timeout(30):
        while not (found := await asyncio.to_thread(server.sql, waits, "test")):  # noqa: ASYNC110 (the server tells)
            await asyncio.sleep(0.02)
    return int(found)


async def test_an_index_is_made_by_itself_while_others_write_and_of_several_who_migrate_one_makes_it(
    server: PostgresServer, url: str, folder_of_the_next_release: Sequence[int]
) -> None:
    async with writing(url) as written:
        async with reading(url):
            migrations = [asyncio.create_task(migrating.migrate(PostgresSettings(url))) for _ in range(3)]
            await until_an_index_waits(server)
            written.clear()
            async with asyncio.timeout(30):
                while len(written) < 100:  # noqa: ASYNC110 (another task tells)
                    await asyncio.sleep(0.01)
            assert not any(migration.done() for migration in migrations)
        applied = await asyncio.gather(*migrations)
    assert sorted(applied, key=len) == [[], [], folder_of_the_next_release]
    assert server.sql(STATE, "test") == "t"


@pytest.mark.parametrize("killed", ["the server's process", "who migrates"])
async def test_an_index_that_was_broken_off_is_made_anew(
    server: PostgresServer, url: str, folder_of_the_next_release: Sequence[int], killed: str
) -> None:
    first, *left = folder_of_the_next_release
    async with writing(url), reading(url):
        migration = asyncio.create_task(migrating.migrate(PostgresSettings(url)))
        process_id = await until_an_index_waits(server)
        if killed == "who migrates":
            migration.cancel()
            with pytest.raises(asyncio.CancelledError):
                await migration
            assert await until_an_index_waits(server) == process_id  # the server goes on: whoever comes next waits
            again = asyncio.create_task(migrating.migrate(PostgresSettings(url)))
            await asyncio.sleep(3 * migrating._TURN_S)
            assert not again.done()
            server.sql(f"SELECT pg_cancel_backend({process_id})")
        else:
            server.sql(f"SELECT pg_terminate_backend({process_id})")
            with pytest.raises(ConfigurationError, match="can't be opened"):
                await migration
            again = asyncio.create_task(migrating.migrate(PostgresSettings(url)))
        assert await until_an_index_waits(server) != process_id
        assert server.sql(STATE, "test") == "f"
        assert (await migrating.schema_of(PostgresSettings(url))).applied == first
    assert await again == left
    assert server.sql(STATE, "test") == "t"


async def test_an_index_that_is_there_and_whole_is_left(
    server: PostgresServer, url: str, folder_of_the_next_release: Sequence[int]
) -> None:
    """Made by hand before, or by who was killed between the index and saying so."""
    server.sql("ALTER TABLE inquiries ADD COLUMN language text", "test")
    number, script = folder_of_the_next_release[1], INDEX.partition("\n")[2]
    server.sql(script, "test")
    server.sql(f"INSERT INTO schema_migrations (version) VALUES ({number - 1})", "test")
    made = server.sql("SELECT to_regclass('idx_inquiries_language')::oid", "test")
    assert await migrating.migrate(PostgresSettings(url)) == folder_of_the_next_release[1:]
    assert server.sql("SELECT to_regclass('idx_inquiries_language')::oid", "test") == made


async def test_a_migration_that_says_concurrently_and_makes_no_index_is_refused(
    url: str, folder_of_the_next_release: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [(folder_of_the_next_release[0], "-- concurrently\nCREATE INDEX idx ON inquiries (source);")]
    monkeypatch.setattr(migrating, "read_migrations", lambda _: wrong)
    with pytest.raises(ConfigurationError, match="must be one CREATE INDEX CONCURRENTLY IF NOT EXISTS"):
        await migrating.migrate(PostgresSettings(url))


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
