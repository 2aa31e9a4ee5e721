"""Reads the SQL that lives beside a store: its named queries and its numbered migrations.

A `.sql` file of queries holds, for each, a line `-- name: <name>` and the statement below it; lines that are comments
alone are left out. Nothing here knows a database or fills anything into a statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n", re.MULTILINE)


def read_queries(package: str, file_name: str = "queries.sql") -> Mapping[str, str]:
    """Each statement of `file_name` in `package`, by its name."""
    _, *parts = _NAME.split(files(package).joinpath(file_name).read_text("utf-8"))
    return {name: _COMMENT.sub("", text).strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def read_migrations(package: str) -> Sequence[tuple[int, str]]:
    """Each script `migrations/<number>_<what>.sql` in `package`, with its number, in the order of the numbers."""
    scripts = (file for file in files(package).joinpath("migrations").iterdir() if file.name.endswith(".sql"))
    return sorted((int(file.name.partition("_")[0]), file.read_text("utf-8")) for file in scripts)
