"""What the store `sqlite` does not back up or restore: told in one line, and nothing has changed."""

from __future__ import annotations

import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest

from inquiry_svc.contracts import Filters
from inquiry_svc.errors import ConfigurationError, InquiryServiceError, UpkeepFailed
from inquiry_svc_plugins.stores.sqlite import open_sqlite
from tests.plugins.sqlite_backups import (
    SETTINGS,
    another_process_that_saved,
    changed,
    damaged,
    database,
    host,
    names,
    refused,
    restore,
    sample_outcomes,
    save,
    stored,
    verify,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a store with 302 outcomes."""
    return tmp_path / "data"


@pytest.fixture
def backup(tmp_path: Path, folder: Path) -> Path:
    """Of when it had 300."""
    backup = tmp_path / "backup.sqlite3"
    stored(folder, *sample_outcomes(300))
    save(folder, backup)
    changed(database(folder), "DELETE FROM idempotency_keys")
    assert len(stored(folder, *sample_outcomes(2))) == 302
    return backup


# A file that is no backup, or no longer whole


def make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: Final[dict[str, tuple[Callable[[Path], object], type[InquiryServiceError], str]]] = {
    "missing": (Path.unlink, ConfigurationError, "can't be read: No such file or directory"),
    "a folder": (make_a_folder, ConfigurationError, "can't be read: Is a directory"),
    "empty": (lambda file: file.write_bytes(b""), ConfigurationError, "is no backup of this store"),
    "text": (lambda file: file.write_text("dear diary " * 999), ConfigurationError, "is no backup of this store"),
    "half": (lambda file: os.truncate(file, file.stat().st_size // 2), UpkeepFailed, "is damaged"),
    "a page": (damaged, UpkeepFailed, "is damaged"),
    "text that is none": (
        lambda file: changed(file, "UPDATE inquiries SET body = CAST(x'ff' AS TEXT)"),
        UpkeepFailed,
        "is damaged",
    ),
    "an index that lacks rows": (
        lambda file: changed(
            file,
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_schema SET sql = replace(sql, '(timestamp,', '(subject,') WHERE name LIKE '%ies_timestamp'",
        ),
        UpkeepFailed,
        "is damaged",
    ),
    "of another program": (
        lambda file: changed(file, "PRAGMA application_id = 7"),
        ConfigurationError,
        "is no backup of this store",
    ),
    "of a newer release": (
        lambda file: changed(file, "PRAGMA user_version = 99"),
        ConfigurationError,
        "has schema 99, this release knows up to ",
    ),
    "half an inquiry": (
        lambda file: changed(file, "DELETE FROM routing_decisions WHERE resolved_at IS NULL"),
        UpkeepFailed,
        "holds half of an inquiry",
    ),
    "an orphan": (
        lambda file: changed(file, "UPDATE feedback SET inquiry_id = 'of nobody'"),
        UpkeepFailed,
        "holds half of an inquiry",
    ),
    "a bare copy": (
        lambda file: changed(file, "PRAGMA journal_mode = WAL"),
        ConfigurationError,
        "is a database in use or a bare copy of one",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_no_whole_backup_is_refused_and_the_present_database_untouched(
    folder: Path, backup: Path, damage: str
) -> None:
    before = database(folder).read_bytes()
    make, kind, told = DAMAGES[damage]
    make(backup)
    for message in (refused(kind, verify, backup), refused(kind, restore, folder, backup)):
        assert str(backup) in message
        assert told in message
    assert database(folder).read_bytes() == before
    assert names(folder) == {"inquiries.sqlite3"}
    refused(kind, restore, folder.parent / "new", backup)
    assert not (folder.parent / "new").exists()


# A database that is in use, or not ours


async def test_nothing_is_restored_while_a_store_is_open(folder: Path, backup: Path) -> None:
    async with open_sqlite(SETTINGS, host(folder)) as store:
        assert f"{database(folder)} is in use: stop the service" in refused(UpkeepFailed, restore, folder, backup)
        await store.check()
        assert len(await store.list(Filters(), limit=1000, after=None)) == 302
        beside = {name for name in names(folder) if not name.endswith(("-wal", "-shm"))}
        assert beside == {"inquiries.sqlite3"}
    assert restore(folder, backup).kept


def test_nothing_is_restored_while_another_program_reads(folder: Path, backup: Path) -> None:
    with closing(sqlite3.connect(database(folder), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM inquiries").fetchone()
        assert "is in use" in refused(UpkeepFailed, restore, folder, backup)
    assert restore(folder, backup).kept


def test_the_database_of_another_program_is_neither_backed_up_nor_replaced(tmp_path: Path, backup: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    changed(database(theirs), "CREATE TABLE inquiries (x)", "PRAGMA journal_mode = WAL")
    before = database(theirs).read_bytes()
    assert "belongs to another program" in refused(ConfigurationError, save, theirs, tmp_path / "copy")
    assert "belongs to another program" in refused(ConfigurationError, restore, theirs, backup)
    assert database(theirs).read_bytes() == before
    assert names(tmp_path) == {"theirs", "data", backup.name}


# A database that is damaged


def test_a_damaged_database_gives_no_backup_and_spares_the_one_before(folder: Path, backup: Path) -> None:
    before = backup.read_bytes()
    damaged(database(folder))
    assert f"{database(folder)} is damaged" in refused(InquiryServiceError, save, folder, backup)
    assert backup.read_bytes() == before
    assert names(folder.parent) == {"data", backup.name}


DISASTERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "cut short": lambda pages: pages[: len(pages) // 3],
    "no header": lambda pages: b"\xa5" * 100 + pages[100:],
    "no first page": lambda pages: pages[:100] + b"\xa5" * 3996 + pages[4096:],
    "zeros": lambda pages: bytes(len(pages)),
    "damaged inside": lambda pages: pages[:40960] + b"\xa5" * 40960 + pages[81920:],
}


@pytest.mark.parametrize("disaster", DISASTERS)
def test_a_damaged_database_is_kept_as_it_is_and_replaced(folder: Path, backup: Path, disaster: str) -> None:
    left = DISASTERS[disaster](database(folder).read_bytes())
    database(folder).write_bytes(left)
    restored = restore(folder, backup)
    assert restored.contents == verify(backup)
    assert restored.kept
    assert restored.kept.read_bytes()[100:] == left[100:]
    assert len(stored(folder)) == 300


def test_a_damaged_database_is_left_alone_while_a_service_has_it_open(folder: Path, backup: Path) -> None:
    with another_process_that_saved(folder, 1):
        database(folder).write_bytes(b"\xa5" * 100_000)
        assert "is in use" in refused(UpkeepFailed, restore, folder, backup)
        assert database(folder).read_bytes() == b"\xa5" * 100_000
    assert restore(folder, backup).kept
    assert len(stored(folder)) == 300


def test_what_a_deleted_database_left_beside_it_is_not_taken_for_a_part_of_the_restored_one(
    folder: Path, backup: Path
) -> None:
    with another_process_that_saved(folder, 50):
        database(folder).unlink()
        left = names(folder)
        assert left == {"inquiries.sqlite3-wal", "inquiries.sqlite3-shm"}
        assert "is in use" in refused(UpkeepFailed, restore, folder, backup)
        assert names(folder) == left
    (folder / "inquiries.sqlite3-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" * 1000)
    restored = restore(folder, backup)
    assert restored.contents == verify(backup)
    assert restored.kept is None
    beside = {name for name in names(folder) if ".before-" not in name}
    assert beside == {"inquiries.sqlite3"}
    assert len(stored(folder)) == 300


# A place that can't be written, or is full


def test_a_place_that_can_not_be_written_is_refused(folder: Path, backup: Path) -> None:
    for place in (Path("/proc/backup"), folder / "missing" / "backup", backup / "backup"):
        assert f"{place} can't be written: " in refused(ConfigurationError, save, folder, place)
    assert names(folder) == {"inquiries.sqlite3"}


def test_the_files_of_the_database_itself_are_no_place_for_a_backup(folder: Path, backup: Path) -> None:
    (folder.parent / "link").symlink_to(database(folder))
    for place in (database(folder), folder / "inquiries.sqlite3-wal", folder.parent / "link"):
        assert "belongs to the database itself" in refused(ConfigurationError, save, folder, place)
        assert "belongs to the database itself" in refused(ConfigurationError, restore, folder, place)
    assert names(folder) == {"inquiries.sqlite3"}


def test_a_database_that_does_not_exist_is_not_made_by_backing_it_up(tmp_path: Path) -> None:
    told = refused(ConfigurationError, save, tmp_path / "typo", tmp_path / "backup")
    assert "there is nothing to back up; name its folder with --data-dir" in told
    assert names(tmp_path) == set()


def test_a_full_disk_leaves_no_part_of_a_backup_and_spares_the_one_before(folder: Path, backup: Path) -> None:
    before = backup.read_bytes()
    with files_at_most(database(folder).stat().st_size // 2):
        assert "make room" in refused(UpkeepFailed, save, folder, backup)
    assert backup.read_bytes() == before
    assert names(folder.parent) == {"data", backup.name}
    save(folder, backup)


@pytest.mark.parametrize("share", [0.5, 1.1], ids=["too full to keep what was there", "too full to restore"])
def test_a_full_disk_leaves_what_was_there_before_a_restore(tmp_path: Path, share: float) -> None:
    few = stored(tmp_path / "few", *sample_outcomes(100))
    stored(tmp_path / "many", *sample_outcomes(1000))
    save(tmp_path / "many", tmp_path / "backup")
    with files_at_most(int(database(tmp_path / "few").stat().st_size * share)):
        assert "make room" in refused(UpkeepFailed, restore, tmp_path / "few", tmp_path / "backup")
    assert names(tmp_path / "few") == {"inquiries.sqlite3"}
    assert stored(tmp_path / "few") == few
    restore(tmp_path / "few", tmp_path / "backup")
    assert len(stored(tmp_path / "few")) == 1000


@pytest.mark.parametrize("what", ["damaged", "deleted"])
def test_a_full_disk_leaves_what_was_damaged_or_deleted_as_it_was_too(folder: Path, backup: Path, what: str) -> None:
    if what == "damaged":
        database(folder).write_bytes(b"\xa5" * 100_000)
    else:
        database(folder).unlink()
        (folder / "inquiries.sqlite3-wal").write_bytes(b"\xa5" * 10_000)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with files_at_most(backup.stat().st_size // 2):
        assert "make room" in refused(UpkeepFailed, restore, folder, backup)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    restore(folder, backup)
    assert len(stored(folder)) == 300


@contextmanager
def files_at_most(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow past this: the kernel refuses to write, as it does where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
