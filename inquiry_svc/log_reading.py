"""The service's JSON log lines, read again: from files, gzipped or growing or neither, and from a pipe.

What stands before a line's object is passed over, so that `docker compose logs`, `kubectl logs --prefix` and
`aws logs tail` can be piped in as they are. What is no log line of the service is passed over too, and counted.
"""

from __future__ import annotations

import gzip
import os
import re
import time
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from inquiry_svc.errors import ConfigurationError

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class LogLine:
    at: datetime
    level: str
    fields: Mapping[str, Any]
    """All of it, `timestamp` and `level` too."""

    @property
    def message(self) -> str:
        return str(self.fields.get("message", ""))

    @property
    def duration_s(self) -> float | None:
        found = self.fields.get("duration_s")
        return found if isinstance(found, float | int) else None

    @property
    def causes(self) -> list[Mapping[str, Any]]:
        """The exception and what it came from, outermost first."""
        found = self.fields.get("exception")
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def is_at_least(self, level: str) -> bool:
        return self.level in LEVELS and LEVELS.index(self.level) >= LEVELS.index(level)


class LogReader:
    """Reads lines, and counts in `passed_over` those that are none of the service's."""

    def __init__(self) -> None:
        self.passed_over = 0

    def read(self, raw: Iterable[bytes]) -> Iterator[LogLine]:
        for each in raw:
            line = _parsed(each)
            if line is not None:
                yield line
            elif each.strip():
                self.passed_over += 1


def _parsed(raw: bytes) -> LogLine | None:
    try:
        fields = orjson.loads(raw[raw.index(b"{") :])
        at = datetime.fromisoformat(fields["timestamp"])
        return LogLine(at if at.tzinfo else at.replace(tzinfo=UTC), str(fields["level"]), fields)
    except (ValueError, KeyError, TypeError):
        return None


def raw_lines(file: Path) -> Iterator[bytes]:
    """Raises `OSError`, and `ConfigurationError` for a .gz that is none or ends too early."""
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        try:
            yield from lines
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ConfigurationError(f"{file} is damaged, or not gzip: {error}") from error


def growing_lines(file: Path, *, wait: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
    """The lines of a file and those that are still written, for ever; also when it is emptied or replaced meanwhile."""
    while True:
        with file.open("rb") as lines:
            begun = b""
            while True:
                begun += lines.readline()
                if begun.endswith(b"\n"):
                    yield begun
                    begun = b""
                elif _is_over(file, lines):
                    yield from lines  # what was written just before
                    break
                else:
                    wait(_LOOK_EVERY_S)


def _is_over(file: Path, lines: BinaryIO) -> bool:
    """Another file has its name, or it was emptied."""
    try:
        now = file.stat()
    except FileNotFoundError:  # in the middle of being replaced
        return False
    return now.st_ino != os.fstat(lines.fileno()).st_ino or now.st_size < lines.tell()


@dataclass(slots=True)
class Group:
    """Lines of one kind."""

    first: LogLine
    last: LogLine
    count: int = 0
    longest_s: float = 0.0

    def add(self, line: LogLine) -> None:
        if line.at >= self.last.at:
            self.last = line
        self.count += 1
        self.longest_s = max(self.longest_s, line.duration_s or 0.0)


def grouped(lines: Iterable[LogLine], kind: Callable[[LogLine], Hashable]) -> list[Group]:
    """The largest first."""
    groups: dict[Hashable, Group] = {}
    for line in lines:
        groups.setdefault(kind(line), Group(line, line)).add(line)
    return sorted(groups.values(), key=lambda group: -group.count)


def kind_of_error(line: LogLine) -> tuple[str, ...]:
    """Where it was logged, what was said but for its numbers, and the exceptions behind it."""
    said = re.sub(r"\d+(\.\d+)?", "N", line.message)
    return (line.level, str(line.fields.get("logger")), said, *(str(each.get("type")) for each in line.causes))


def kind_of_request(line: LogLine) -> tuple[str, ...]:
    return (str(line.fields.get("method")), str(line.fields.get("endpoint")))
