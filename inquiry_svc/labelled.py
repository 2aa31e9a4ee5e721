"""Inquiries whose right answers are known, read from JSON lines: what `train` and `evaluate` work on.

One object a line: `subject` and `body`; `category`, `sentiment` and `urgency`, each a label, or null where it is not
known; optionally `source` (whose hand wrote it) and `group` (rows that must not be split between training and judging).
Other keys are ignored. A file that ends in `.gz` is decompressed.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.inquiries import AXES, Text


@dataclass(frozen=True, slots=True)
class LabelledText:
    text: Text
    category: str | None
    sentiment: str | None
    urgency: str | None
    source: str = ""
    """Who wrote it; empty when the row does not say."""
    group: str | None = None

    def label(self, axis: str) -> str | None:
        """The known label on an axis of `AXES`."""
        label: str | None = getattr(self, axis)
        return label


def read_labelled(paths: Iterable[Path]) -> list[LabelledText]:
    """Every row of the files, in order. Raises `ConfigurationError` naming the file, the line and what is wrong."""
    return [row for path in paths for row in _read_file(path)]


def write_labelled(path: Path, rows: Iterable[LabelledText]) -> None:
    """Rows as `read_labelled` reads them."""
    lines = (
        {"subject": row.text.subject, "body": row.text.body}
        | {axis: row.label(axis) for axis in AXES}
        | {"source": row.source, "group": row.group}
        for row in rows
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _read_file(path: Path) -> Iterator[LabelledText]:
    count = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _read_row(f"{path}, line {number}", line)
                    count += 1
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{path} cannot be read: {reason}; name a file of JSON lines (.jsonl, .jsonl.gz)"
        ) from error
    if not count:
        raise ConfigurationError(f"{path} holds no row; name a file of JSON lines with a labelled inquiry on each")


def _read_row(place: str, line: bytes) -> LabelledText:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{place}: not JSON ({error}); write one JSON object a line") from error
    if not isinstance(row, dict):
        raise ConfigurationError(f"{place}: a JSON {type(row).__name__}; write one JSON object a line")
    if "body" not in row:
        raise ConfigurationError(f"{place}: no 'body'; give each row a subject (may be empty) and a body")
    labels = {axis: _read_label(place, row, axis) for axis in AXES}
    text = Text(_read_string(place, row, "subject") or "", _read_string(place, row, "body") or "")
    source = _read_string(place, row, "source") or ""
    return LabelledText(text, **labels, source=source, group=_read_string(place, row, "group"))


def _read_string(place: str, row: dict[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is None or isinstance(value, str):
        return value
    raise ConfigurationError(f"{place}: {key!r} is {value!r}; make it a string")


def _read_label(place: str, row: dict[str, Any], axis: str) -> str | None:
    label = _read_string(place, row, axis)
    if label is None or label in AXES[axis]:
        return label
    raise ConfigurationError(f"{place}: {axis} is {label!r}; use one of {', '.join(AXES[axis])}, or null")
