"""Opens the store's SQLite file: durable, migrated, and refused in one line when it can't serve.

Knows settings of SQLite and versions of the schema; what is kept in the tables is for `store.py`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.upkeep import Schema
from inquiry_svc_plugins.stores.named_sql import read_migrations

_CURES: Final[Mapping[str, str]] = {
    "SQLITE_BUSY": "is locked by another program: stop that one first",
    "SQLITE_CANTOPEN": "can't be opened: give the service a folder in which it may write",
    "SQLITE_CORRUPT": "is damaged: restore it from a backup with inquiry-svc restore",
    "SQLITE_FULL": "can't grow: the disk is full, make room",
    "SQLITE_NOTADB": "is no SQLite database: move it away or name another file",
    "SQLITE_READONLY": "is read-only: give the service the right to write it",
}

_WAL_RETRY_S: Final = 0.01
_LOCK_RETRY_S: Final = 0.001


def open_database(path: Path, busy_timeout_s: float, readers: int) -> tuple[sqlite3.Connection, ...]:
    """The one connection that writes, then those that read, all usable from any one thread at a time.

    Who writes waits for other processes by `transaction(within_s=)`: SQLite's own waiting is for those who read.

    Makes the file and its folder. Raises `ConfigurationError` when the file can't be opened, written, or understood.
    """
    make_folder(path)
    try:
        with ExitStack() as opened:

            def connected(mode: str) -> sqlite3.Connection:
                return _configured(opened.enter_context(closing(connect(path, mode, busy_timeout_s))))

            writer = connected("rwc")
            migrate(writer, path, read_migrations(__package__))  # first: it refuses a file that is not ours to change
            _make_durable(writer, path, busy_timeout_s)
            writer.execute("PRAGMA busy_timeout = 0")
            connections = (writer, *(connected("ro") for _ in range(readers)))
            opened.pop_all()
            return connections
    except sqlite3.DatabaseError as error:
        raise refusal(path, error) from error


def open_read_only(path: Path, busy_timeout_s: float, readers: int) -> tuple[sqlite3.Connection, ...]:
    """As many connections as the above, none of which can write. Raises as the above, and where there is no file."""
    if not path.exists():
        raise refused(path, "does not exist: name the folder of the service with --data-dir")
    newest = max(number for number, _ in read_migrations(__package__))
    try:
        with ExitStack() as opened:
            connections = tuple(
                _configured(opened.enter_context(closing(connect(path, "ro", busy_timeout_s))))
                for _ in range(1 + readers)
            )
            (version,) = connections[0].execute("PRAGMA user_version").fetchone()
            if version != newest:
                raise refused(path, f"has schema {version}, this release reads {newest}: run inquiry-svc migrate")
            opened.pop_all()
            return connections
    except sqlite3.DatabaseError as error:
        raise refusal(path, error) from error


def migrate_database(path: Path, busy_timeout_s: float) -> Sequence[int]:
    """The numbers of the migrations that were applied; a file that does not exist gets all. Raises as the above."""
    make_folder(path)
    try:
        with closing(connect(path, "rwc", busy_timeout_s)) as connection:
            return migrate(connection, path, read_migrations(__package__))
    except sqlite3.DatabaseError as error:
        raise refusal(path, error) from error


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[tuple[int, str]]) -> Sequence[int]:
    """Bring the file to the newest of `migrations`, each of which sets `user_version` to its number; all or none.

    The numbers of those that were applied.
    """
    newest = max(number for number, _ in migrations)
    with transaction(connection):  # of several processes that start at once, one migrates and the others find it done
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > newest:
            raise refused(path, f"has schema {version}, this release knows up to {newest}: install a newer release")
        if version == 0 and connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            raise refused(path, "belongs to another program: name another file")
        due = [(number, script) for number, script in migrations if number > version]
        for _, script in due:
            for statement in _statements(script):
                connection.execute(statement)
    return [number for number, _ in due]


def schema_of(path: Path, busy_timeout_s: float) -> Schema:
    """How far the file is; one that does not exist is not made. Raises as the above."""
    newest = max(number for number, _ in read_migrations(__package__))
    if not path.exists():
        return Schema(0, newest)
    try:
        with closing(connect(path, "ro", busy_timeout_s)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            return Schema(version, newest)
    except sqlite3.DatabaseError as error:
        raise refusal(path, error) from error


@contextmanager
def transaction(
    connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE", *, within_s: float = 0.0
) -> Iterator[None]:
    """Commit when the block ends, roll back when it raises. `IMMEDIATE` takes the lock for writing at once.

    If another process has the lock, it is asked for again each millisecond, for so long. SQLite by itself asks less and
    less often, at last every 100 ms: of two workers one then wrote and the other slept beside a lock that was free.
    """
    give_up_at = time.monotonic() + within_s
    while True:
        try:
            connection.execute(begin)
            break
        except sqlite3.OperationalError as error:
            if not is_one_of(error, "SQLITE_BUSY") or time.monotonic() >= give_up_at:
                raise
        time.sleep(_LOCK_RETRY_S)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself after a full disk
            connection.execute("ROLLBACK")
        raise


def make_folder(path: Path) -> None:
    """The folder for the file, where it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(path, f"can't be made: {error.strerror}; name another folder with --data-dir") from error


def connect(path: Path, mode: str, busy_timeout_s: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA temp_store = MEMORY")  # in a container often nothing can be written but the data folder
    return connection


def _configured(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Foreign keys are left unchecked, as SQLite does unless told.

    What refers to an inquiry is written in the transaction that wrote or found it. Checking takes 4 % of a save, and
    has SQLite copy pages (migration 0005). Who erases turns it on.
    """
    connection.execute("PRAGMA cache_size = -16384")  # 16 MiB
    return connection


def _make_durable(connection: sqlite3.Connection, path: Path, busy_timeout_s: float) -> None:
    mode = _into_wal_mode(connection, busy_timeout_s)
    if mode != "wal":
        raise refused(path, "lies on a file system without shared memory: put it on a local disk")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: its fsync alone does not reach the disk
    connection.execute("PRAGMA secure_delete = ON")  # also of what is only moved: it may be erased later
    connection.execute("PRAGMA wal_autocheckpoint = 4000")  # 16 MiB: fewer checkpoints, a restart still takes no time


def _into_wal_mode(connection: sqlite3.Connection, busy_timeout_s: float) -> str:
    """The mode that the file is in then. This change does not wait for other processes by itself, as a write does."""
    give_up_at = time.monotonic() + busy_timeout_s
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(_WAL_RETRY_S)
        else:
            return str(mode)


def _statements(script: str) -> Iterator[str]:
    """Split at the semicolons that end a statement (not at those in a trigger or a comment).

    `executescript` would do it too, but commits first.
    """
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def is_one_of(error: sqlite3.Error, *names: str) -> bool:
    """Whether it is one of these errors of SQLite, or of their finer kinds."""
    return getattr(error, "sqlite_errorname", "").startswith(names)


def refusal(path: Path, error: sqlite3.DatabaseError) -> ConfigurationError:
    name = getattr(error, "sqlite_errorname", "") or "SQLITE_ERROR"
    cure = next(
        (cure for code, cure in _CURES.items() if name.startswith(code)),
        f"can't be used ({error}): name another",
    )
    return refused(path, cure)


def refused(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f'store "sqlite": {path} {what} ([store.sqlite] path)')
