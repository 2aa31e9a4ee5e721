"""The schema of PostgreSQL as services start on it: made once, required where it may not be made, and only added to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from inquiry_svc_plugins.stores.named_sql import read_migrations
from tests.acceptance.serving import run_command, serving
from tests.acceptance.test_backups import more_acknowledged
from tests.acceptance.test_kill import Book, submit
from tests.acceptance.test_workers_kill import load
from tests.servers.postgres import PostgresServer, postgres_server

TOGETHER: Final = 4
KNOWN: Final = "\n".join(str(number) for number, _ in read_migrations("inquiry_svc_plugins.stores.postgres"))
"""The numbers of the migrations that there are, a line each."""

ONLY_ADDS: Final = """
BEGIN;
ALTER TABLE inquiries ADD COLUMN language text;
ALTER TABLE predictions ADD COLUMN reviewed_by text NOT NULL DEFAULT 'nobody';
CREATE TABLE attachments (
    attachment_id uuid PRIMARY KEY, inquiry_id uuid NOT NULL REFERENCES inquiries ON DELETE CASCADE
);
DO $$ BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW outcomes AS SELECT o.*, NULL::text AS language FROM ('
        || rtrim(pg_get_viewdef('outcomes'), ';') || ') AS o';
END $$;
INSERT INTO schema_migrations (version) SELECT max(version) + 1 FROM schema_migrations;
COMMIT;
"""
"""What a later release may do under the rule of docs/upgrades.md."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def environ(server: PostgresServer) -> Iterator[Mapping[str, str]]:
    """Of a service on an empty database."""
    with server.database("inquiries") as url:
        yield {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": url}


def versions(server: PostgresServer) -> str:
    return server.sql("SELECT version FROM schema_migrations ORDER BY version", "inquiries")


async def test_of_services_that_start_at_once_on_an_empty_database_one_migrates_and_all_serve(
    server: PostgresServer, environ: Mapping[str, str], tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        starting = (
            stack.enter_async_context(serving(tmp_path / str(number), environ=environ)) for number in range(TOGETHER)
        )
        services = await asyncio.gather(*starting)
        for service in services:
            async with aiohttp.ClientSession(service.url) as session:
                await submit(session, Book(random.Random(1)), "hello", None)
        told = [line["message"] for service in services for line in service.logged()]
        for number in KNOWN.split():
            assert told.count(f"migration {number} of the postgres store was applied") == 1
    assert versions(server) == KNOWN
    assert server.sql("SELECT count(*) FROM outcomes", "inquiries") == str(TOGETHER)


async def test_a_service_that_may_not_migrate_refuses_a_schema_that_is_behind_and_says_the_cure(
    server: PostgresServer, environ: Mapping[str, str], tmp_path: Path
) -> None:
    careful = {**environ, "INQUIRY_STORE__POSTGRES__MIGRATE_AT_START": "false"}
    code, _, told = run_command("serve", "--port", "0", "--data-dir", str(tmp_path), environ=careful)
    (line,) = [line for line in told.splitlines() if not line.startswith("{")]  # the log warns of the test's own server
    assert code == 2
    assert "the schema lacks migration 1; run inquiry-svc migrate, or set" in line
    assert server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "inquiries") == "0"

    code, out, told = run_command("migrate", environ=careful)
    assert (code, told) == (0, "")
    assert out.startswith(f"store 'postgres': applied migration {', '.join(KNOWN.split())}; ")
    assert run_command("migrate", environ=careful)[1].startswith("store 'postgres': no migration was due; ")
    async with serving(tmp_path, environ=careful) as service, aiohttp.ClientSession(service.url) as session:
        await submit(session, Book(random.Random(1)), "hello", None)


async def test_a_migration_that_only_adds_fails_no_request_of_the_release_before(
    server: PostgresServer, environ: Mapping[str, str], tmp_path: Path
) -> None:
    book = Book(random.Random(1))
    async with serving(tmp_path / "first", environ=environ) as before, load(before.url, book):
        await more_acknowledged(book)
        await asyncio.to_thread(server.sql, ONLY_ADDS, "inquiries")
        await more_acknowledged(book)
        async with serving(tmp_path / "second", environ=environ) as again, load(again.url, book):
            await more_acknowledged(book)
    assert versions(server) == f"{KNOWN}\n{len(KNOWN.split()) + 1}"
    assert server.sql("SELECT count(*) FROM outcomes", "inquiries") == str(len(book.acknowledged))
