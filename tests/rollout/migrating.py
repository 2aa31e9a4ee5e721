"""A release with a new migration beside the one before it, both serving on one PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg

import inquiry_svc_plugins
from inquiry_svc_plugins.stores.named_sql import read_migrations
from tests.acceptance.serving import run_command, serving
from tests.acceptance.test_kill import Book, submit
from tests.acceptance.test_postgres_kill import look_into_the_database
from tests.rollout.account import Account
from tests.rollout.customers import customers, more, new_book
from tests.rollout.rolling import environ_on, require_ready, running_postgres
from tests.servers import free_port

_NEXT: Final = read_migrations("inquiry_svc_plugins.stores.postgres")[-1][0] + 1

_MIGRATION: Final = """
ALTER TABLE inquiries ADD COLUMN language text;
ALTER TABLE predictions ADD COLUMN reread_by text;
DO $$ BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW outcomes AS SELECT o.*, NULL::text AS language FROM ('
        || rtrim(pg_get_viewdef('outcomes'), ';') || ') AS o';
END $$;
"""
_INDEX: Final = """-- concurrently
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_predictions_reread_by ON predictions (reread_by)
    WHERE reread_by IS NOT NULL;
"""
"""What a next release may do, by the rule of docs/upgrades.md: two migrations."""


_WAITING: Final = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"


def next_release(folder: Path) -> Path:
    """What goes first on the path of the next release: the plugins of this one, with two migrations more."""
    (here,) = inquiry_svc_plugins.__path__
    shutil.copytree(
        here, folder / "inquiry_svc_plugins", copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__")
    )
    migrations = folder / "inquiry_svc_plugins/stores/postgres/migrations"
    (migrations / f"{_NEXT:04}_next.sql").write_text(_MIGRATION)
    (migrations / f"{_NEXT + 1:04}_index.sql").write_text(_INDEX)
    return folder


async def migration(folder: Path, account: Account, rounds: int) -> None:
    """Migrate while a dump reads and the old release serves; serve with both; back to the old; on to the new."""
    book, old_port, new_port = new_book(), free_port(), free_port()
    async with running_postgres() as database:
        old = {**environ_on(database), "INQUIRY_STORE__POSTGRES__MIGRATE_AT_START": "false"}
        new = {**old, "PYTHONPATH": str(next_release(folder / "next"))}
        code, _, told = await asyncio.to_thread(run_command, "migrate", environ=old)
        assert code == 0, told
        async with serving(folder / "old", "--port", str(old_port), environ=old) as before:
            account.note("the old release serves")
            async with customers(before.url, account, book):
                await more(book)
                async with _read_as_a_dump_does(database.url()):
                    account.note("a dump begins to read")
                    migrating = asyncio.create_task(asyncio.to_thread(run_command, "migrate", environ=new))
                    while await asyncio.to_thread(database.sql, _WAITING) == "0":  # it takes seconds to start
                        assert not migrating.done(), (await migrating)[2]
                        await more(book, 10)
                    await more(book, 300)
                    assert not migrating.done(), (await migrating)[2]
                account.note("the dump is over")
                code, out, told = await migrating
                assert (code, told.count("\n")) == (0, 1), told
                assert "the migration waits for those who use the tables" in told
                assert out.startswith(f"store 'postgres': applied migration {_NEXT}, {_NEXT + 1}; "), out
                account.note("both migrations are applied")
                await more(book)
                for number in range(rounds):
                    place = folder / f"new {number}"
                    async with serving(place, "--port", str(new_port), environ=new) as after:
                        await require_ready(after.url)
                        account.note("the new release serves beside the old")
                        async with customers(after.url, account, book):
                            await more(book)
                            await _require_one_memory(before.url, after.url, book)
                        account.note("rolled back: the new one is stopped")
                        after.signal(signal.SIGTERM)
                        assert await after.exit_code(within_s=20) == 0
                    await more(book)
        account.note("the old release is stopped")
        async with serving(folder / "old", "--port", str(old_port), environ=old) as before:
            account.note("the old release starts on the new schema")
            async with customers(before.url, account, book):
                await more(book)
        assert account.failures == []
        look_into_the_database(database, book)
        assert database.sql("SELECT max(version) FROM schema_migrations") == str(_NEXT + 1)


@asynccontextmanager
async def _read_as_a_dump_does(url: str) -> AsyncIterator[None]:
    """A transaction that has read the tables and stays open: nothing may be altered meanwhile."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.fetchval("SELECT count(*) FROM inquiries, predictions")
            yield
    finally:
        await connection.close()


async def _require_one_memory(old: str, new: str, book: Book) -> None:
    """A key that one release has seen gets the same inquiry from the other. `submit` asserts it."""
    replayed, keys = book.replayed, [*book.id_of_key][-20:]
    for url in (old, new):
        async with aiohttp.ClientSession(url) as session:
            for key in keys:
                await submit(session, book, book.acknowledged[book.id_of_key[key]], key)
    assert book.replayed >= replayed + 2 * len(keys)
