"""What a database file of this store holds: whether it is one at all and whole, and the figures to compare two by.

Reads, and writes nothing.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from inquiry_svc.errors import ConfigurationError, UpkeepFailed
from inquiry_svc.upkeep import Contents
from inquiry_svc_plugins.stores.named_sql import read_migrations, read_queries
from inquiry_svc_plugins.stores.sqlite.database import is_one_of

_APPLICATION_ID: Final = 1229869395
"""What the first migration marks a file with."""
_HEADER_BYTES: Final = 100
_WRITE_VERSION: Final = 18
"""The place in the header of how the file is written; 2 is with a write-ahead log beside it."""


@contextmanager
def opened_backup(file: Path) -> Iterator[sqlite3.Connection]:
    """A backup to read, found to be one. Nothing is made beside it, so it may lie where nobody may write.

    Raises `ConfigurationError` where it is no backup of this store that this release can read, and `UpkeepFailed`
    where what is read of it is damaged.
    """
    try:
        with file.open("rb") as opened:
            header = opened.read(_HEADER_BYTES)
    except OSError as error:
        raise ConfigurationError(f"backup {file} can't be read: {error.strerror}; name another file") from error
    if header[_WRITE_VERSION : _WRITE_VERSION + 1] == b"\x02":
        raise ConfigurationError(
            f"{file} is a database in use or a bare copy of one, which may lack what was written last; "
            "make a backup of it with inquiry-svc backup, and name that"
        )
    try:
        uri = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
            if not is_ours(connection):
                raise _no_backup(file)
            require_known_schema(connection, f"backup {file}")
            yield connection
    except sqlite3.DatabaseError as error:
        if is_one_of(error, "SQLITE_NOTADB"):
            raise _no_backup(file) from error
        raise UpkeepFailed(f"backup {file} is damaged ({error}): use an earlier one") from error


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether this store made the file, whatever its schema."""
    return bool(connection.execute("PRAGMA application_id").fetchone() == (_APPLICATION_ID,))


def require_known_schema(connection: sqlite3.Connection, name: str) -> None:
    """Raises `ConfigurationError` where a newer release made it."""
    newest = max(number for number, _ in read_migrations(__package__))
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > newest:
        raise ConfigurationError(
            f"{name} has schema {version}, this release knows up to {newest}: install a newer release"
        )


def require_whole(connection: sqlite3.Connection, name: str) -> Contents:
    """What the file holds, all of it read. Raises `UpkeepFailed` where a page, an index or half an inquiry is wrong."""
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise UpkeepFailed(f"{name} is damaged ({' '.join(found.split())}): use an earlier backup")
    contents = contents_of(connection)
    triaged = {contents.rows[table] for table in ("inquiries", "predictions", "routing_decisions")}
    if len(triaged) > 1 or connection.execute("PRAGMA foreign_key_check").fetchone():
        raise UpkeepFailed(f"{name} holds half of an inquiry: use an earlier backup")
    return contents


def contents_of(connection: sqlite3.Connection) -> Contents:
    """The rows of each table, and a BLAKE2 digest of all of them in the order of their keys."""
    pack = msgspec.msgpack.Encoder().encode
    digest = hashlib.blake2b(digest_size=16)
    rows: dict[str, int] = {}
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for table, query in read_queries(__package__, "contents.sql").items():
        if table not in tables:
            continue  # a backup by a release that did not have it
        digest.update(pack(table))
        rows[table] = 0
        for row in connection.execute(query):
            digest.update(pack(row))
            rows[table] += 1
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return Contents(rows, pages * page_bytes, digest.hexdigest())


def _no_backup(file: Path) -> ConfigurationError:
    return ConfigurationError(f"{file} is no backup of this store: name a file that inquiry-svc backup made")
