"""Log lines: JSON for machines, text for a terminal, written by a thread so that logging never blocks the event loop.

A line never holds an inquiry's body or a sender's address. So an exception is given by its type and where it was
raised; its message is there only where it can't quote an inquiry: the service's own errors (who raises one must not
quote) and what the operating system said.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any, Final, TextIO, TypeAlias

import orjson

from inquiry_svc.errors import InquiryServiceError
from inquiry_svc.log_files import LogFile
from inquiry_svc.settings import LoggingSettings
from inquiry_svc.tracing import CURRENT

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that is being served, for every line that is logged on its way."""

AUDIT: Final = "inquiry_svc.audit"
"""The logger of who changed what: its lines are written whatever `[logging] level` is."""


@contextmanager
def lines_of(request_id: str) -> Iterator[None]:
    """Have the lines that are logged while open be those of this request."""
    token = REQUEST_ID.set(request_id)
    try:
        yield
    finally:
        REQUEST_ID.reset(token)


_OWN: Final = ("request_id", "exception")
_MAX_WAITING: Final = 10_000
"""Lines past this are dropped: a full disk or a stopped terminal must not stop the service."""
_LAST_LINES_S: Final = 1.0
"""On leaving, lines that wait are written for so long: nobody may be reading."""
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", *_OWN}


@contextmanager
def logging_to(stream: TextIO, settings: LoggingSettings, *, worker: int | None = None) -> Iterator[None]:
    """Write all log lines to `stream`, and to a file if one is set, while open; on leaving, those still waiting.

    Where several processes write to one stream, each line says which `worker` it is from.
    The stream may be lost to a thread that is stuck in writing to it: give one that nothing else needs at exit.
    Raises `ConfigurationError` where the file can't be written.
    """
    file = None
    if settings.file:
        file = LogFile(Path(settings.file), max_bytes=settings.file_max_bytes, count=settings.file_count)
    as_text = settings.format == "text" or (settings.format == "auto" and stream.isatty())
    formatter = TextLines() if as_text else JsonLines()
    waiting: _Waiting = queue.Queue(_MAX_WAITING)
    written: list[_Written] = [(formatter, partial(_write_through, stream))]
    if file is not None:
        written.append((TextLines() if settings.format == "text" else JsonLines(), file.write))
    writer = threading.Thread(target=_write, args=(waiting, written), name="log writer", daemon=True)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = [_Enqueuing(waiting, worker)]
    root.setLevel(settings.level.upper())
    logging.getLogger(AUDIT).setLevel(logging.INFO)
    writer.start()
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.getLogger(AUDIT).setLevel(logging.NOTSET)
        with suppress(queue.Full):
            waiting.put(None, timeout=_LAST_LINES_S)
            writer.join(_LAST_LINES_S)
        if file is not None and not writer.is_alive():
            file.close()


_Waiting: TypeAlias = "queue.Queue[logging.LogRecord | None]"
_Written: TypeAlias = tuple[logging.Formatter, Callable[[str], object]]


def _write_through(stream: TextIO, line: str) -> None:
    stream.write(line)
    stream.flush()


def _write(waiting: _Waiting, written: Sequence[_Written]) -> None:
    """Until a None. A line that can't be written is dropped: there is no better place to say so."""
    while (record := waiting.get()) is not None:
        for formatter, write in written:
            with suppress(Exception):
                write(formatter.format(record) + "\n")


class _Enqueuing(QueueHandler):
    """Renders what belongs to the calling task, then leaves the rest to the writing thread."""

    def __init__(self, waiting: _Waiting, worker: int | None) -> None:
        super().__init__(waiting)
        self._worker = worker
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.message = record.getMessage()
        if record.name == "asyncio":  # further lines show the exception or the task, which may quote an inquiry
            record.message = record.message.partition("\n")[0]
        record.msg, record.args = record.message, None
        record.request_id = REQUEST_ID.get()
        span = CURRENT.get()
        if span is not None:
            record.trace_id, record.span_id = span.trace_id, span.span_id
        if self._worker is not None:
            record.worker = self._worker
        record.exception = exception_fields(record.exc_info[1]) if record.exc_info and record.exc_info[1] else None
        record.exc_info = record.exc_text = record.stack_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._dropped:
            record.dropped_before = self._dropped
        super().enqueue(record)
        self._dropped = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """A full queue drops the line, and the next one that finds a place says how many were."""
        self._dropped += 1


class JsonLines(logging.Formatter):
    """One JSON object a line: the guide's fields, the request's id, its span if it is traced, and what `extra` gave."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "timestamp": _moment(record).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "module": record.module,
            "function": record.funcName,
            "line": record.lineno,
            "request_id": getattr(record, "request_id", None),
            **_extra(record),
        }
        if exception := getattr(record, "exception", None):
            fields["exception"] = exception
        try:
            return orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # a lone surrogate, or an integer of more than 64 bits
            return json.dumps(fields, default=str)


class TextLines(logging.Formatter):
    """A short line for people."""

    def format(self, record: logging.LogRecord) -> str:
        extra = "".join(f"  {name}={value}" for name, value in _extra(record).items())
        line = f"{_moment(record):%H:%M:%S}  {record.levelname:<7}  {record.getMessage()}{extra}"
        for exception in getattr(record, "exception", None) or ():
            line += f"\n          {exception['type']} {exception.get('message', '')} at {exception['where'][-1:]}"
        return line


def exception_fields(error: BaseException) -> list[dict[str, Any]]:
    """The exception and its causes, outermost first: type, where it came from, and a message that quotes no inquiry."""
    fields: list[dict[str, Any]] = []
    current: BaseException | None = error
    while current is not None:
        places = [(frame.f_code, line) for frame, line in traceback.walk_tb(current.__traceback__)]
        found: dict[str, Any] = {
            "type": type(current).__qualname__,
            "where": [f"{code.co_filename.rsplit('/', 1)[-1]}:{line} {code.co_name}" for code, line in places],
        }
        if isinstance(current, InquiryServiceError):
            found["message"] = str(current)
        elif isinstance(current, OSError) and current.strerror:
            found["message"] = f"{current.strerror}: {current.filename}" if current.filename else current.strerror
        fields.append(found)
        current = current.__cause__
    return fields


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
