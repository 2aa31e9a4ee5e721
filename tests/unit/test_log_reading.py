"""Log lines are read from wherever they lie, counted by kind, and what is none of ours is passed over."""

from __future__ import annotations

import gzip
import json
import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inquiry_svc.errors import ConfigurationError, StoreUnavailable
from inquiry_svc.log_reading import (
    LogLine,
    LogReader,
    grouped,
    growing_lines,
    kind_of_error,
    kind_of_request,
    raw_lines,
)
from inquiry_svc.logs import JsonLines, exception_fields


def raw(message: str = "gone", level: int = logging.ERROR, **extra: Any) -> bytes:
    """As the service writes it."""
    record = logging.makeLogRecord({"name": "inquiry_svc.x", "levelno": level, "msg": message, **extra})
    record.levelname = logging.getLevelName(level)
    return JsonLines().format(record).encode() + b"\n"


def read(*lines: bytes) -> list[LogLine]:
    return list(LogReader().read(lines))


def test_a_line_of_the_service_is_read_back() -> None:
    error = StoreUnavailable("the store is gone")
    error.__cause__ = OSError(28, "No space left on device")
    [line] = read(raw(exception=exception_fields(error), duration_s=2.5, request_id="r1"))
    assert (line.level, line.message, line.duration_s, line.fields["request_id"]) == ("ERROR", "gone", 2.5, "r1")
    assert abs((datetime.now(UTC) - line.at).total_seconds()) < 60
    assert [cause["type"] for cause in line.causes] == ["StoreUnavailable", "OSError"]


@pytest.mark.parametrize("before", [b"api-1  | ", b"\x1b[36mapi-1 |\x1b[0m ", b"2026-11-25T21:00:36 api/api/1 ", b""])
def test_what_stands_before_a_line_is_passed_over(before: bytes) -> None:
    assert [line.message for line in read(before + raw())] == ["gone"]


def test_what_is_no_log_line_is_counted() -> None:
    reader = LogReader()
    others = [b"Traceback (most recent call last):\n", b'{"a": 1}\n', b"{\n", b"[1]\n", b"\xff\xfe{}\n"]
    strange = [b'{"timestamp": "soon", "level": "ERROR"}\n', b'{"timestamp": 1, "level": "ERROR"}\n']
    assert len(list(reader.read([raw(), *others, *strange, b"\n", raw()]))) == 2
    assert reader.passed_over == len(others) + len(strange)


@given(st.binary())
def test_whatever_stands_there_stops_nobody(found: bytes) -> None:
    assert read(found, raw())[-1].message == "gone"


STRANGE = st.none() | st.integers() | st.lists(st.text() | st.dictionaries(st.text(), st.text()))


@given(st.dictionaries(st.sampled_from(["message", "exception", "duration_s", "logger", "level"]), STRANGE))
def test_a_line_of_strange_fields_can_be_shown_and_counted(fields: dict[str, Any]) -> None:
    [line] = read(json.dumps({"timestamp": "2026-11-25T21:00:36Z", "level": "ERROR", **fields}).encode())
    assert grouped([line], kind_of_error)[0].count == grouped([line], kind_of_request)[0].count == 1
    assert isinstance(line.message, str)
    assert line.is_at_least("DEBUG") in (True, False)


def test_levels_are_in_order() -> None:
    warning, *_ = read(raw(level=logging.WARNING))
    assert [warning.is_at_least(level) for level in ("INFO", "WARNING", "ERROR")] == [True, True, False]


def test_errors_that_differ_in_numbers_are_of_one_kind_and_others_are_not() -> None:
    unavailable = exception_fields(StoreUnavailable("the store is gone"))
    lines = read(
        raw("3 of a batch of 8 failed", exception=unavailable),
        raw("40 of a batch of 64 failed", exception=unavailable),
        raw("3 of a batch of 8 failed", exception=exception_fields(ValueError())),
        raw("3 of a batch of 8 failed"),
        raw("3 of a batch of 8 failed", level=logging.WARNING),
    )
    groups = grouped(lines, kind_of_error)
    assert [group.count for group in groups] == [2, 1, 1, 1]
    assert (groups[0].first.message, groups[0].last.message) == (lines[0].message, lines[1].message)


def test_requests_are_counted_by_route_with_the_longest() -> None:
    slow: dict[str, Any] = {"method": "POST", "endpoint": "/submit"}
    lines = read(raw(duration_s=3, **slow), raw(duration_s=2.5, **slow), raw(method="GET", endpoint="/x", duration_s=9))
    assert [(group.count, group.longest_s) for group in grouped(lines, kind_of_request)] == [(2, 3), (1, 9)]


def test_a_gzipped_file_is_read_and_a_damaged_one_says_so(tmp_path: Path) -> None:
    file = tmp_path / "app.log.1.gz"
    whole = gzip.compress(raw() * 1000)
    file.write_bytes(whole)
    assert len(read(*raw_lines(file))) == 1000
    for damaged in (whole[:-20], b"no gzip", whole[:30] + b"x" * 30 + whole[60:]):
        file.write_bytes(damaged)
        with pytest.raises(ConfigurationError, match="damaged, or not gzip"):
            list(raw_lines(file))


def test_a_file_that_grows_is_followed_over_its_rotations(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_bytes(b"one\ntw")

    def renamed() -> None:
        append(file, b"five\n")
        file.rename(tmp_path / "app.log.1")

    meanwhile: list[Callable[[], None]] = [
        lambda: append(file, b"o\n"),
        lambda: append(file, b"three\n"),
        lambda: os.truncate(file, 0),
        lambda: append(file, b"four\n"),
        renamed,
        lambda: append(file, b"six\n"),
    ]
    lines = growing_lines(file, wait=lambda _: meanwhile.pop(0)())
    assert [next(lines) for _ in range(6)] == [b"one\n", b"two\n", b"three\n", b"four\n", b"five\n", b"six\n"]


def append(file: Path, text: bytes) -> None:
    with file.open("ab") as lines:
        lines.write(text)


def test_following_waits_for_what_comes(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.touch()
    found: Queue[bytes] = Queue()

    def follow() -> None:
        for line in growing_lines(file):
            found.put(line)

    threading.Thread(target=follow, daemon=True).start()
    append(file, b"one\n")
    assert found.get(timeout=20) == b"one\n"
