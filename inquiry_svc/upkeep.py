"""How the commands look after a store and into it: migrations, backups, reading alone, offered on its `Provider`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inquiry_svc.contracts import Host, Store


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup or a database holds. Two that hold the same rows have the same digest."""

    rows: Mapping[str, int]
    """Of each table."""
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    contents: Contents
    """Read back from where it stands now."""
    path: Path
    kept: Path | None
    """What stood there before; None where nothing did."""


@dataclass(frozen=True, slots=True)
class Backups:
    """Backups in one file, each function called with the store's settings, the host and the file.

    Raises `ConfigurationError` where the wrong thing was named, `UpkeepFailed` where it can't be done now; then nothing
    has changed.
    """

    save: Callable[[Any, Host, Path], Contents]
    """Write all that is committed by now to the file, whole or not at all, while services may be writing.

    A file that is there already is replaced: whether it may be was asked before.
    """
    verify: Callable[[Any, Host, Path], Contents]
    """Read all of the file. Raises where it is damaged, or was not made by `save`."""
    restore: Callable[[Any, Host, Path], Restored]
    """Verify the file and put what it holds in the place of what the store holds. Refused while a service serves."""


@dataclass(frozen=True, slots=True)
class Schema:
    """How far a database is, in numbers of migrations."""

    applied: int
    """The newest that it has; 0 where nothing is there yet."""
    newest: int
    """The newest of this release."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How the commands look after a store. Each function is a plain one: it runs alone, with no service around it.

    `host.data_dir` may not exist yet.
    """

    migrate: Callable[[Any, Host], Sequence[int]] | None = None
    """Bring the schema to the one of this release; the numbers of the migrations applied. None: it has no schema."""
    backups: Backups | None = None
    backups_instead: str = "use what its own database offers"
    """What to do where `backups` is None, as the rest of a sentence."""
    schema: Callable[[Any, Host], Schema] | None = None
    """How far the schema is. Changes nothing; asked while services serve. Raises `ConfigurationError` where it is out
    of reach. None: it has no schema."""
    open_to_read: Callable[[Any, Host], AbstractAsyncContextManager[Store]] | None = None
    """Open what is stored so that the database itself refuses every write, a migration too, while services may be
    writing. Raises `ConfigurationError` where there is nothing to read or the schema is another. None: no other process
    can see what it holds.
    """
