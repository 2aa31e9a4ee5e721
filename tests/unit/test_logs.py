"""Log lines: complete, JSON, never an inquiry's text, and never in the way of the event loop."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from inquiry_svc.errors import StoreUnavailable
from inquiry_svc.logs import REQUEST_ID, exception_fields, logging_to
from inquiry_svc.settings import LoggingSettings

logger = logging.getLogger("inquiry_svc.somewhere")
JSON = LoggingSettings(level="debug", format="json")


@contextmanager
def written(settings: LoggingSettings = JSON) -> Iterator[list[dict[str, Any]]]:
    """What was logged in the block, once it is over."""
    stream, lines = io.StringIO(), list[dict[str, Any]]()
    with logging_to(stream, settings):
        yield lines
    lines += [json.loads(line) for line in stream.getvalue().splitlines()]


def unbuffered(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(descriptor, "w"), write_through=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_says_when_where_and_what() -> None:
    with written() as lines:
        logger.warning("%d of %d", 2, 3, extra={"stage": "store"})
    (line,) = lines
    assert datetime.now(UTC) - datetime.fromisoformat(line.pop("timestamp")) < timedelta(minutes=1)
    assert line.pop("line") > 0
    assert line == {
        "level": "WARNING",
        "logger": "inquiry_svc.somewhere",
        "message": "2 of 3",
        "module": "test_logs",
        "function": "test_a_line_says_when_where_and_what",
        "request_id": None,
        "stage": "store",
    }


async def test_a_line_names_the_request_during_which_it_was_logged() -> None:
    async def serve(request_id: str) -> None:
        REQUEST_ID.set(request_id)
        await asyncio.sleep(0)
        logger.info("served %s", request_id)

    with written() as lines:
        await asyncio.gather(*(serve(f"r{number}") for number in range(5)))
        logger.info("served None")
    assert {line["message"] for line in lines} == {f"served {line['request_id']}" for line in lines}
    assert len(lines) == 6


def test_an_exception_is_told_by_type_and_place_with_its_causes() -> None:
    with written() as lines:
        try:
            try:
                raise ValueError("my card was charged twice")
            except ValueError as cause:
                raise StoreUnavailable("the store is gone") from cause
        except StoreUnavailable:
            logger.exception("not stored")
    outer, inner = lines[0]["exception"]
    assert (outer["type"], outer["message"]) == ("StoreUnavailable", "the store is gone")
    assert "test_an_exception_is_told" in outer["where"][-1]
    assert inner["type"] == "ValueError"
    assert "message" not in inner
    assert "charged twice" not in json.dumps(lines)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (FileNotFoundError(2, "No such file", "/models/x"), "No such file: /models/x"),
        (ConnectionError("could not send 'my card was charged twice'"), None),
        (LookupError("my card was charged twice"), None),
    ],
)
def test_only_what_the_operating_system_said_is_quoted(error: Exception, message: str | None) -> None:
    assert exception_fields(error)[0].get("message") == message


async def test_what_asyncio_says_of_a_lost_exception_quotes_nothing() -> None:
    async def fail() -> None:
        raise ValueError("my card was charged twice")

    with written() as lines:
        task = asyncio.create_task(fail(), name="some task")
        await asyncio.wait([task])
        del task
        await asyncio.sleep(0)
    assert [line["message"] for line in lines if line["level"] == "ERROR"] == ["Task exception was never retrieved"]
    assert "charged twice" not in json.dumps(lines)


@pytest.mark.parametrize("strange", ["\ud800", 2**70, float("nan"), {1: object()}, b"\xff", datetime.now(UTC)])
def test_a_value_that_json_has_not_is_written_somehow(strange: object) -> None:
    with written() as lines:
        logger.info("a %s", strange, extra={"strange": strange})
        logger.info("next")
    assert [line["level"] for line in lines] == ["INFO", "INFO"]


def test_a_line_that_cannot_be_made_stops_nobody() -> None:
    with written() as lines:
        logger.info("%d", "three")
        logger.info("next")
    assert [line["message"] for line in lines] == ["next"]


def test_the_level_is_kept_and_what_was_before_comes_back() -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    with written(LoggingSettings(level="warning", format="json")) as lines:
        logger.info("no")
        logger.warning("yes")
    assert [line["message"] for line in lines] == ["yes"]
    assert (logging.getLogger().handlers[:], logging.getLogger().level) == before


def test_a_terminal_gets_text_for_people() -> None:
    terminal = Terminal()
    with logging_to(terminal, LoggingSettings()):
        try:
            raise StoreUnavailable("the store is gone")
        except StoreUnavailable:
            logger.exception("not stored", extra={"rows": 3})
    first, second = terminal.getvalue().splitlines()
    assert first.endswith("ERROR    not stored  rows=3")
    assert "StoreUnavailable the store is gone at" in second


def test_a_pipe_that_nobody_reads_holds_up_neither_the_caller_nor_the_end() -> None:
    reading, writing = os.pipe()
    finished = threading.Event()

    def log_much() -> None:
        with unbuffered(writing) as stream, logging_to(stream, JSON):
            for number in range(12_000):  # more than the pipe and the queue hold
                logger.info("line %d", number)
        finished.set()

    caller = threading.Thread(target=log_much, daemon=True)
    caller.start()
    try:
        assert finished.wait(20), "logging waits for a reader"
    finally:
        os.close(reading)
        caller.join()


def test_the_next_line_says_how_many_were_dropped_before_it() -> None:
    class Stuck(io.StringIO):
        going_on = threading.Event()
        written = threading.Semaphore(0)

        begun = threading.Event()

        def write(self, text: str) -> int:
            self.begun.set()
            self.going_on.wait(20)
            self.written.release()
            return super().write(text)

    stream = Stuck()
    with logging_to(stream, JSON):
        logger.info("first")
        assert stream.begun.wait(20)
        for number in range(12_000):
            logger.info("line %d", number)
        stream.going_on.set()
        for _ in range(10_001):
            assert stream.written.acquire(timeout=20)
        logger.info("after")
        logger.info("and then")
    *before, after, then = map(json.loads, stream.getvalue().splitlines())
    assert after["dropped_before"] == 12_001 - len(before) > 0
    assert not [line for line in (*before, then) if "dropped_before" in line]


def test_a_pipe_whose_reader_is_gone_stops_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with unbuffered(writing) as stream, logging_to(stream, JSON):
        logger.info("nobody hears this")
        logger.info("nor this")
