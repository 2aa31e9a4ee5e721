"""A file of log lines that is rotated by whoever writes: app.log, app.log.1, and so on, the oldest forgotten.

Several processes may write to one: each line is appended by one call of the system, one process at a time rotates, and
the others notice that the file is another one. Called by the thread that writes log lines, never by the event loop.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from inquiry_svc.errors import ConfigurationError

_AGAIN_AFTER_S: Final = 60.0
"""Where it can't be rotated: no folder to write in, say."""


class LogFile:
    def __init__(self, path: Path, *, max_bytes: int, count: int) -> None:
        """`count` files of some `max_bytes` each are kept. Raises `ConfigurationError` where it can't be written."""
        self._path = path
        self._max_bytes = max_bytes
        self._count = count
        self._rotates_from = 0.0
        try:
            self._file = _appending(path)
        except OSError as error:
            raise ConfigurationError(
                f"log file {str(path)!r} can't be written: {error.strerror}; set logging.file to another, or to none"
            ) from error

    def write(self, line: str) -> None:
        """Raises `OSError`: the line is lost then, or a part of it. One that can't be rotated grows on."""
        with suppress(OSError):
            if not self._is_current():
                self._open_anew()
            elif os.fstat(self._file).st_size >= self._max_bytes and time.monotonic() >= self._rotates_from:
                self._rotates_from = time.monotonic() + _AGAIN_AFTER_S
                self._rotate()
                self._rotates_from = 0.0
        os.write(self._file, line.encode(errors="backslashreplace"))

    def close(self) -> None:
        os.close(self._file)

    def _is_current(self) -> bool:
        """Whether it is this file that has the name, as it is not when others have rotated it."""
        with suppress(FileNotFoundError):
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        return False

    def _open_anew(self) -> None:
        old, self._file = self._file, _appending(self._path)
        os.close(old)

    def _rotate(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another does it now
        try:
            if self._is_current():  # whoever had the lock before has not done it
                self._rename()
            self._open_anew()
        except OSError:
            fcntl.flock(self._file, fcntl.LOCK_UN)  # else it is given back with the file
            raise

    def _rename(self) -> None:
        names = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, self._count))]
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            with suppress(FileNotFoundError):
                newer.rename(older)
        if len(names) == 1:
            self._path.unlink()


def _appending(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
