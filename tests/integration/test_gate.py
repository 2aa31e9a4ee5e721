"""Who finds no place is told so before anything is checked, in the same words, on a connection that stays good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import pytest

from inquiry_svc.catalogue import HTTP_REQUESTS, HTTP_REQUESTS_ACTIVE, INQUIRIES_IN_FLIGHT, INQUIRIES_REFUSED
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.web import gate

PLACES: Final = 4
SUBMIT: Final = "/api/v1/inquiries/submit"
CLASSIFY: Final = "/api/v1/inquiries/classify"
BODY: Final = json.dumps({"body": "My card was charged twice.", "sender_email": "ana@example.org"}).encode()

PLAINLY: Final = "Accept: text/\u00e4"
"""A header that goes to the application for a letter, and means nothing."""

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with running_service({"batching.places": PLACES, "server.body_timeout_s": 30}) as running:
        yield running


class Connection:
    def __init__(self, running: Running) -> None:
        self._address = urlsplit(running.url)

    async def __aenter__(self) -> Connection:
        self._reader, self.writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def answer(self) -> Answer:
        async with asyncio.timeout(30):
            status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            return int(status.split()[1]), headers, await self._reader.readexactly(int(headers["Content-Length"]))

    async def ask(self, data: bytes) -> Answer:
        self.writer.write(data)
        return await self.answer()


def head(path: str = SUBMIT, *more: str, length: int | None = len(BODY), version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: x", "Content-Type: application/json", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


async def fill(running: Running) -> None:
    admission = running.service.admission
    while not admission.is_full:
        await admission.enter(patient=False)


def empty(running: Running) -> None:
    for _ in range(PLACES):
        running.service.admission.leave(patient=False)


async def test_a_request_is_refused_before_its_body_is_checked_and_the_next_is_served(running: Running) -> None:
    async with Connection(running) as connection:
        assert (await connection.ask(head() + BODY))[0] == 201
        await fill(running)
        status, headers, _ = await connection.ask(head(length=1) + b"?")
        assert (status, headers["Retry-After"]) == (503, "1")
        empty(running)
        assert (await connection.ask(head() + BODY))[0] == 201


@pytest.mark.parametrize("raw", [head(), head(SUBMIT, "Transfer-Encoding: chunked", length=None)])
async def test_a_request_is_refused_before_its_body_has_come(running: Running, raw: bytes) -> None:
    await fill(running)
    async with Connection(running) as connection:
        assert (await connection.ask(raw))[0] == 503


async def test_the_gate_says_what_the_application_says(running: Running) -> None:
    await fill(running)
    by_gate, by_application = [], []
    async with Connection(running) as connection:
        for path in (SUBMIT, CLASSIFY):
            for request_id in ("abc", 'a"b\\c'):
                given = f"X-Request-ID: {request_id}"
                by_gate.append(await connection.ask(head(path, given) + BODY))
                by_application.append(await connection.ask(head(path, given, PLAINLY) + BODY))
    for said, expected in zip(by_gate, by_application, strict=True):
        for _, headers, _ in (said, expected):
            del headers["Date"]
        assert said == expected
    assert json.loads(by_gate[1][2])["request_id"] == 'a"b\\c'
    assert by_gate[0][0] == 503


@pytest.mark.parametrize("given", ["", "two words", "x" * 129])
async def test_an_id_that_is_not_fit_is_replaced(running: Running, given: str) -> None:
    await fill(running)
    async with Connection(running) as connection:
        _, headers, body = await connection.ask(head(SUBMIT, f"X-Request-ID: {given}") + BODY)
        assert headers["X-Request-ID"] == json.loads(body)["request_id"] != given


async def test_what_is_refused_is_counted_as_any_answer_is(running: Running) -> None:
    await fill(running)
    metrics = running.service.metrics
    async with Connection(running) as connection:
        for _ in range(3):
            await connection.ask(head() + BODY)
        await connection.ask(head(CLASSIFY) + BODY)
    metrics.snapshot()
    assert metrics.series(INQUIRIES_REFUSED).value == 4
    for path, count in ((SUBMIT, 3), (CLASSIFY, 1)):
        assert metrics.series(HTTP_REQUESTS, method="POST", endpoint=path, status="503").value == count


async def test_requests_that_come_together_are_all_answered_and_in_their_order(running: Running) -> None:
    await fill(running)
    async with Connection(running) as connection:
        requests = [head(SUBMIT, f"X-Request-ID: {number}") + BODY for number in range(5)]
        connection.writer.write(requests[0])
        connection.writer.write(b"".join(requests[1:4]) + requests[4][:20])
        for number in range(4):
            status, headers, _ = await connection.answer()
            assert (status, headers["X-Request-ID"]) == (503, str(number))
        empty(running)
        status, headers, _ = await connection.ask(requests[4][20:])
        assert (status, headers["X-Request-ID"]) == (201, "4")


async def until_active(running: Running, count: int) -> None:
    active = running.service.metrics.series(HTTP_REQUESTS_ACTIVE)
    async with asyncio.timeout(30):
        while active.value != count:  # noqa: ASYNC110 (a gauge has no event)
            await asyncio.sleep(0.001)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PATIENCE_S", 60.0)


@asynccontextmanager
async def waiting(running: Running) -> AsyncIterator[Connection]:
    """One who has found no place."""
    await fill(running)
    async with Connection(running) as connection:
        connection.writer.write(head() + BODY)
        await until_active(running, 1)
        yield connection


@pytest.mark.usefixtures("patience")
async def test_who_finds_no_place_is_served_when_one_comes_free(running: Running) -> None:
    async with waiting(running) as connection:
        running.service.admission.leave(patient=False)
        assert (await connection.answer())[0] == 201
    assert running.service.metrics.series(INQUIRIES_REFUSED).value == 0


@pytest.mark.usefixtures("patience")
async def test_who_leaves_while_it_waits_for_a_place_takes_none_and_is_counted_as_gone(running: Running) -> None:
    async with waiting(running):
        pass
    await until_active(running, 0)
    metrics = running.service.metrics
    metrics.snapshot()
    assert metrics.series(HTTP_REQUESTS, method="POST", endpoint=SUBMIT, status="499").value == 1
    empty(running)
    async with Connection(running) as connection:
        assert (await connection.ask(head() + BODY))[0] == 201
    assert metrics.series(INQUIRIES_IN_FLIGHT).value == 0


@pytest.mark.usefixtures("patience")
async def test_who_waits_for_a_place_when_the_service_stops_is_refused_then() -> None:
    async with AsyncExitStack() as stack:
        async with running_service({"batching.places": PLACES}) as running:
            connection = await stack.enter_async_context(waiting(running))
        status, headers, _ = await connection.answer()
    assert (status, headers["Connection"]) == (503, "close")
    assert running.service.metrics.series(INQUIRIES_REFUSED).value == 1


async def test_who_sends_half_a_head_can_not_hide_a_request_in_the_rest(running: Running) -> None:
    await fill(running)
    async with Connection(running) as connection:
        connection.writer.write(b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\nX-Half: ")
        await asyncio.sleep(0.05)
        status, _, body = await connection.ask(b"POST %b HTTP/1.1\r\nContent-Length: 0\r\n\r\n" % SUBMIT.encode())
        assert (status, json.loads(body)) == (200, {"status": "live"}), "the rest was a header's value"


async def test_a_client_that_wants_to_hang_up_is_answered_and_closed(running: Running) -> None:
    await fill(running)
    for request in (head(SUBMIT, "Connection: close"), head(version="1.0")):
        async with Connection(running) as connection:
            assert (await connection.ask(request + BODY))[0] == 503
            async with asyncio.timeout(30):
                assert await connection._reader.read() == b""


async def test_those_who_never_send_their_bodies_hold_no_place(running: Running) -> None:
    crowd = [await Connection(running).__aenter__() for _ in range(3 * PLACES)]
    for connection in crowd:
        connection.writer.write(head() + BODY[:5])
    async with Connection(running) as connection:
        for _ in range(5):
            assert (await connection.ask(head() + BODY))[0] == 201
    assert running.service.metrics.series(INQUIRIES_IN_FLIGHT).value == 0
    for connection in crowd:
        connection.writer.close()


async def test_a_crowd_that_comes_in_one_moment_gets_the_places_that_there_are(running: Running) -> None:
    async with asyncio.TaskGroup() as tasks:
        connections = [await Connection(running).__aenter__() for _ in range(50)]
        for connection in connections:
            connection.writer.write(head() + BODY)
        answers = [tasks.create_task(connection.answer()) for connection in connections]
    statuses = [task.result()[0] for task in answers]
    assert set(statuses) <= {201, 503}
    assert statuses.count(201) >= PLACES
    async with Connection(running) as connection:
        assert (await connection.ask(head() + BODY))[0] == 201, "a place was lost"
    for connection in connections:
        connection.writer.close()


async def test_who_leaves_before_the_answer_leaves_the_gate_as_it_was(running: Running) -> None:
    for _ in range(3 * PLACES):
        async with Connection(running) as connection:
            connection.writer.write(head() + BODY)
    async with asyncio.timeout(30), Connection(running) as connection:
        while (await connection.ask(head() + BODY))[0] != 201:
            pass
