"""Backups of the SQLite file: taken while services write, and put back while none does.

A backup is a copy of all pages as of one moment, and a file by itself. It is put back into the database file through
SQLite, in one transaction under SQLite's own lock, not by renaming another file over it: whoever had the old file open,
or was just opening it, would go on writing into a file that nobody finds again, and the write-ahead log of the one
would be taken for that of the other. Only where no database is, or none that SQLite can read, a new file is put.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from inquiry_svc.errors import ConfigurationError, UpkeepFailed
from inquiry_svc.upkeep import Contents, Restored
from inquiry_svc_plugins.stores.sqlite.contents import (
    contents_of,
    is_ours,
    opened_backup,
    require_known_schema,
    require_whole,
)
from inquiry_svc_plugins.stores.sqlite.database import connect, is_one_of, make_folder, refusal, refused

_BESIDE: Final = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside a database file."""


def save_backup(database: Path, file: Path, busy_timeout_s: float) -> Contents:
    """See `contracts.Backups.save`.

    The copy is made in one step, which sees one moment and never starts anew because somebody wrote. VACUUM INTO takes
    as long (7 to 10 s for 1.5 GB beside a service that writes, either way) and a quarter more of the processor.
    """
    _refuse_its_own_files(database, file)
    if not database.exists():
        raise refused(database, "does not exist: there is nothing to back up; name its folder with --data-dir")
    try:
        with closing(connect(database, "rw", busy_timeout_s)) as source, _written_whole(file) as part:
            if not is_ours(source):
                raise refused(database, "belongs to another program: name another file")
            require_known_schema(source, str(database))
            _copy(source, part)
            with closing(connect(part, "ro", 0)) as copied:
                return require_whole(copied, str(database))
    except sqlite3.DatabaseError as error:
        raise refusal(database, error) from error


def verify_backup(file: Path) -> Contents:
    """See `contracts.Backups.verify`."""
    with opened_backup(file) as backup:
        return require_whole(backup, f"backup {file}")


def restore_backup(database: Path, file: Path) -> Restored:
    """See `contracts.Backups.restore`."""
    _refuse_its_own_files(database, file)
    contents = verify_backup(file)
    make_folder(database)
    kept = database.with_name(f"{database.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    with opened_backup(file) as backup, _claimed(database) as target:
        found = _put_in_place(backup, database, kept) if target is None else _overwrite(backup, target, database, kept)
    _sync(database.parent)
    if found != contents:
        raise UpkeepFailed(f"{database} does not hold what {file} holds: look for a failing disk, and restore again")
    return Restored(found, database, kept if kept.exists() else None)


def _overwrite(backup: sqlite3.Connection, target: sqlite3.Connection, database: Path, kept: Path) -> Contents:
    """In one transaction, once there is a copy of what was there."""
    (pages,) = target.execute("PRAGMA page_count").fetchone()
    if pages:
        with _written_whole(kept) as part:
            _copy(target, part)
    try:
        backup.backup(target)
    except sqlite3.Error as error:
        kept.unlink(missing_ok=True)
        raise UpkeepFailed(f"{database} can't be written ({error}): make room, then restore again") from error
    return contents_of(target)


def _put_in_place(backup: sqlite3.Connection, database: Path, kept: Path) -> Contents:
    """Where no database is, or none that can be read: that is renamed first. Never replaces one that came meanwhile."""
    with _part_of(database) as part:
        _copy(backup, part)
        with closing(connect(part, "ro", 0)) as copied:
            found = contents_of(copied)
        _rename_away(database, kept)
        os.link(part, database)
    return found


def _refuse_its_own_files(database: Path, file: Path) -> None:
    own = [database, *(_beside(database, suffix) for suffix in _BESIDE)]
    if file.resolve() in [each.resolve() for each in own]:
        raise ConfigurationError(f"{file} belongs to the database itself: name another file")


@contextmanager
def _written_whole(file: Path) -> Iterator[Path]:
    """A file to be written, which is on disk and in the place of `file` when the block ends, or is gone."""
    with _part_of(file) as part:
        yield part
        part.replace(file)
        _sync(file.parent)


@contextmanager
def _part_of(file: Path) -> Iterator[Path]:
    """A file beside `file` to be written, gone when the block ends. `_copy` leaves it on disk."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".part", dir=file.parent)
    except OSError as error:
        raise ConfigurationError(
            f"{file} can't be written: {error.strerror}; name a place where files can be made"
        ) from error
    os.close(descriptor)
    part = Path(name)
    try:
        yield part
    except OSError as error:
        raise UpkeepFailed(f"{file} can't be written: {error.strerror}; make room, or name another place") from error
    finally:
        part.unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, part: Path) -> None:
    """All pages as of one moment, on disk. Rows are not looked at, so that a damaged database can be kept too."""
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as target:
            target.execute("PRAGMA journal_mode = OFF")  # a half is thrown away
            target.execute("PRAGMA synchronous = OFF")  # once, below
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # no write-ahead log, so no second file
    except sqlite3.Error as error:
        raise UpkeepFailed(f"a copy can't be written to {part.parent} ({error}): make room there") from error
    _sync(part)


@contextmanager
def _claimed(database: Path) -> Iterator[sqlite3.Connection | None]:
    """The only connection to the file, all others kept out; None where no file is, or none that SQLite can read."""
    try:
        connection = _claim(database) if database.exists() else None
        if connection is None:
            yield None
            return
        try:
            with closing(connection):
                yield connection
        except UpkeepFailed:
            with closing(connect(database, "rw", 0)) as again:
                again.execute("PRAGMA page_count")  # where a journal is left, this rolls back now what a start would
            raise
    except sqlite3.DatabaseError as error:
        raise refusal(database, error) from error


def _claim(database: Path) -> sqlite3.Connection | None:
    with ExitStack() as opened:
        connection = opened.enter_context(closing(connect(database, "rw", 0)))
        try:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            if pages and not is_ours(connection):
                raise refused(database, "belongs to another program: name another file")
            # Only who is alone may leave the write-ahead log: a service holds a lock on it from its start to its end.
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if is_one_of(error, "SQLITE_BUSY"):
                raise _in_use(database) from error
            if is_one_of(error, "SQLITE_CORRUPT", "SQLITE_NOTADB"):
                return None
            raise
        connection.execute("PRAGMA synchronous = EXTRA")  # once a commit returns, the end of its journal is on disk too
        connection.execute("PRAGMA fullfsync = ON")
        opened.pop_all()
        return connection


def _rename_away(database: Path, kept: Path) -> None:
    """Also what a deleted database left beside it. Looks by itself for the locks of who has either open."""
    with ExitStack() as locked:
        for file in (database, _beside(database, "-shm")):
            if file.exists():
                opened = locked.enter_context(file.open("rb+"))
                try:
                    fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise _in_use(database) from error
        for suffix in (*_BESIDE, ""):
            with suppress(FileNotFoundError):
                _beside(database, suffix).rename(_beside(kept, suffix))


def _in_use(database: Path) -> UpkeepFailed:
    return UpkeepFailed(f"{database} is in use: stop the service, and whatever else reads the file, then restore again")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _sync(path: Path) -> None:
    """What was written to this file, or what was renamed in this folder, is on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
