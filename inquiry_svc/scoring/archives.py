"""Files of JSON lines read in chunks, so that an archive of any size takes little memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.intake.checking import MAX_BODY_BYTES

MAX_LINE_BYTES: Final = 4 * MAX_BODY_BYTES
"""An answer of the service holds an inquiry and what was made of it: up to twice of what it takes in."""
CHUNK_LINES: Final = 512
_CHUNK_BYTES: Final = 2**20
"""A chunk is complete when it has so many lines, or so many bytes of them."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines that follow each other in one file."""

    file: str
    first: int
    """The number of its first line; a file's begin at 1."""
    lines: tuple[bytes | None, ...]
    """Without their ends; None for one that is longer than `MAX_LINE_BYTES`."""
    read_bytes: int
    """How much of the file, compressed or not, was read for it."""

    def __str__(self) -> str:
        return f"{self.file}, lines {self.first} to {self.first + len(self.lines) - 1}"


def chunks(files: Iterable[Path]) -> Iterator[Chunk]:
    """Every line of the files, in order. Raises `ConfigurationError` naming a file that can't be read to its end."""
    for file in files:
        try:
            yield from _chunks_of(file)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"{file} can't be read: {reason}; name a whole file of JSON lines (.jsonl, .jsonl.gz)"
            ) from error


def _chunks_of(file: Path) -> Iterator[Chunk]:
    with file.open("rb") as raw:
        source = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
        first, lines, size_bytes, begin = 1, list[bytes | None](), 0, 0
        while piece := source.readline(MAX_LINE_BYTES + 1):
            line = piece.removesuffix(b"\n")
            is_whole = len(line) <= MAX_LINE_BYTES
            while not piece.endswith(b"\n") and (piece := source.readline(MAX_LINE_BYTES)):
                pass
            lines.append(line if is_whole else None)
            size_bytes += len(line)
            if len(lines) == CHUNK_LINES or size_bytes >= _CHUNK_BYTES:
                yield Chunk(str(file), first, tuple(lines), raw.tell() - begin)
                first, lines, size_bytes, begin = first + len(lines), [], 0, raw.tell()
        if lines:
            yield Chunk(str(file), first, tuple(lines), raw.tell() - begin)
