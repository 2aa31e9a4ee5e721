"""Backups of the store `sqlite`, there and back: what was saved is restored, equal, wherever it is restored to."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.testing.samples import sample_outcome
from inquiry_svc.upkeep import Restored
from inquiry_svc_plugins.stores.named_sql import read_migrations, read_queries
from inquiry_svc_plugins.stores.sqlite import open_sqlite
from tests.plugins.sqlite_backups import (
    SETTINGS,
    another_process_that_saved,
    changed,
    database,
    host,
    migrate,
    names,
    refused,
    restore,
    sample_outcomes,
    save,
    stored,
    verify,
)

PACKAGE = "inquiry_svc_plugins.stores.sqlite"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the store that is backed up."""
    return tmp_path / "data"


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return tmp_path / "backup.sqlite3"


def test_what_was_backed_up_comes_back_equal_on_an_empty_machine(folder: Path, backup: Path) -> None:
    outcomes = stored(folder, *sample_outcomes(50))
    contents = save(folder, backup)
    assert dict(contents.rows) == {
        "inquiries": 50,
        "predictions": 50,
        "routing_decisions": 50,
        "feedback": 1,
        "reviews": 1,
        "notices": 0,
        "idempotency_keys": 50,
    }
    assert contents.size_bytes == backup.stat().st_size
    assert verify(backup) == contents
    elsewhere = folder.parent / "another" / "machine"
    assert restore(elsewhere, backup) == Restored(contents, database(elsewhere), kept=None)
    assert names(elsewhere) == {"inquiries.sqlite3"}
    assert stored(elsewhere) == outcomes


def test_a_restored_store_goes_on_as_the_first_would_have(folder: Path, backup: Path) -> None:
    newest, *_ = outcomes = stored(folder, *sample_outcomes(5))
    before = save(folder, backup)
    elsewhere = folder.parent / "elsewhere"
    restore(elsewhere, backup)
    same_key = replace(newest, inquiry=replace(newest.inquiry, body="another"))
    assert stored(elsewhere, same_key) == outcomes
    assert save(elsewhere, folder.parent / "second").digest == before.digest
    assert len(stored(elsewhere, sample_outcome())) == 6


def test_restoring_keeps_what_was_there_under_a_name_with_the_time(folder: Path, backup: Path) -> None:
    first = stored(folder, *sample_outcomes(20))
    save(folder, backup)
    both = stored(folder, sample_outcome())
    kept = restore(folder, backup).kept
    assert kept
    assert re.fullmatch(r"inquiries\.sqlite3\.before-\d{8}T\d{6}\.\d{6}Z", kept.name)
    assert stored(folder) == first
    restore(folder, kept)
    assert stored(folder) == both


def test_a_database_of_a_newer_release_can_be_gone_back_from(folder: Path, backup: Path) -> None:
    outcomes = stored(folder, *sample_outcomes(3))
    save(folder, backup)
    changed(database(folder), "ALTER TABLE inquiries ADD COLUMN language TEXT", "PRAGMA user_version = 99")
    assert "has schema 99" in refused(ConfigurationError, stored, folder)
    assert restore(folder, backup).kept
    assert stored(folder) == outcomes


def test_what_a_killed_service_left_in_its_log_is_backed_up_and_kept_too(folder: Path, backup: Path) -> None:
    stored(folder, *sample_outcomes(4))
    save(folder, backup)
    with another_process_that_saved(folder, 7):
        pass
    assert database(folder).with_name("inquiries.sqlite3-wal").stat().st_size > 0
    assert save(folder, folder.parent / "after").rows["inquiries"] == 11
    with another_process_that_saved(folder, 1):
        pass
    kept = restore(folder, backup).kept
    assert kept
    assert verify(kept).rows["inquiries"] == 12
    assert names(folder) == {"inquiries.sqlite3", kept.name}


async def test_a_store_that_is_open_is_backed_up_with_all_that_it_acknowledged(tmp_path: Path, backup: Path) -> None:
    async with open_sqlite(SETTINGS, host(tmp_path)) as store:
        for count in range(1, 4):
            await store.save([sample_outcome()])
            assert save(tmp_path, backup).rows["inquiries"] == count
        await store.check()


def test_a_backup_is_one_file_that_only_its_owner_may_read(folder: Path, backup: Path) -> None:
    stored(folder, *sample_outcomes(3))
    save(folder, backup)
    assert backup.stat().st_mode & 0o777 == 0o600
    backup.chmod(0o400)
    backup.parent.chmod(0o500)
    try:
        assert verify(backup).rows["inquiries"] == 3
    finally:
        backup.parent.chmod(0o700)
    assert names(backup.parent) == {"data", backup.name}


# The digest


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE inquiries SET body = body || '!' WHERE inquiry_id = (SELECT max(inquiry_id) FROM inquiries)",
        "UPDATE predictions SET scores = zeroblob(8)",
        "UPDATE routing_decisions SET resolved_at = 1 WHERE resolved_at IS NULL",
        "UPDATE feedback SET reviewer = NULL",
        "UPDATE idempotency_keys SET fingerprint = 'g' WHERE value = 'key 3'",
        "DELETE FROM feedback",
    ],
)
def test_the_digest_tells_any_change_of_a_row_and_nothing_else(folder: Path, backup: Path, change: str) -> None:
    stored(folder, *sample_outcomes(9))
    before = save(folder, backup)
    changed(database(folder), "VACUUM", "UPDATE write_checks SET writes = writes + 1")
    assert save(folder, backup).digest == before.digest
    changed(database(folder), change)
    assert save(folder, backup).digest != before.digest


def test_the_digest_is_over_every_table_that_says_something_of_its_own(folder: Path) -> None:
    migrate(folder)
    with closing(sqlite3.connect(database(folder))) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    digested = read_queries(PACKAGE, "contents.sql").keys()
    derived = {"consultant_loads", "hourly_totals", "hours_changed", "hours_counted"}
    assert tables - digested == {*derived, "write_checks"}, "name the new table in contents.sql"


# Migrating


def test_migrating_makes_a_file_that_is_missing_and_does_nothing_the_second_time(folder: Path) -> None:
    assert migrate(folder / "deep") == [number for number, _ in read_migrations(PACKAGE)]
    assert migrate(folder / "deep") == []
    assert stored(folder / "deep") == []


async def test_migrating_beside_an_open_store_is_allowed(tmp_path: Path) -> None:
    async with open_sqlite(SETTINGS, host(tmp_path)) as store:
        assert migrate(tmp_path) == []
        await store.check()


def test_a_folder_that_can_not_be_made_is_refused(folder: Path, backup: Path) -> None:
    stored(folder, sample_outcome())
    save(folder, backup)
    told = "/proc/x/inquiries.sqlite3 can't be made: "
    assert told in refused(ConfigurationError, migrate, Path("/proc/x"))
    assert told in refused(ConfigurationError, restore, Path("/proc/x"), backup)
