"""Slow clients are shown the door in time, and those who are merely quiet are not. Others do not notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Final
from urllib.parse import urlsplit

import pytest

from inquiry_svc.catalogue import HTTP_CONNECTIONS_ACTIVE, HTTP_CONNECTIONS_EXPIRED
from inquiry_svc.testing.running import Running, running_service
from tests.side_by_side import MORE_S

LIMIT_S: Final = 0.6
LATE_S: Final = 1.5 + MORE_S
"""A sweep comes twice a second."""
SETTINGS: Final = {
    "server.first_byte_timeout_s": LIMIT_S,
    "server.header_timeout_s": LIMIT_S,
    "server.body_timeout_s": LIMIT_S,
}
REQUEST: Final = b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD: Final = (
    b"POST /api/v1/inquiries/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/%s\r\nContent-Length: 1000\r\n\r\n"
)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act = Callable[[asyncio.StreamWriter], Coroutine[None, None, None]]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with running_service(SETTINGS) as running:
        yield running


async def _connect(running: Running) -> Connection:
    address = urlsplit(running.url)
    return await asyncio.open_connection(address.hostname, address.port)


async def _closed_after(connection: Connection, act: Act) -> float:
    """How long the server bears it."""
    reader, writer = connection
    started = time.monotonic()
    acting = asyncio.create_task(act(writer))
    try:
        async with asyncio.timeout(30):
            await reader.read()
    except ConnectionError:
        pass
    finally:
        took_s = time.monotonic() - started
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        writer.close()
    return took_s


async def _silence(writer: asyncio.StreamWriter) -> None:
    return


async def _half_a_header(writer: asyncio.StreamWriter) -> None:
    writer.write(REQUEST[:30])


async def _drip(writer: asyncio.StreamWriter) -> None:
    for byte in b"GET / HTTP/1.1\r\n" + b"X-Slow: " + b"x" * 10_000:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("act", "waiting_for"), [(_silence, "first_byte"), (_half_a_header, "header"), (_drip, "header")]
)
async def test_who_does_not_finish_a_header_is_closed_in_time_and_not_before(
    running: Running, act: Act, waiting_for: str
) -> None:
    took_s = await _closed_after(await _connect(running), act)
    assert LIMIT_S - 0.05 <= took_s <= LIMIT_S + LATE_S
    assert running.service.metrics.series(HTTP_CONNECTIONS_EXPIRED, waiting_for=waiting_for).value == 1


@pytest.mark.parametrize("path", [b"submit", b"classify", b"bulk"])
@pytest.mark.parametrize("drips", [False, True])
async def test_who_does_not_finish_a_body_is_answered_and_closed(running: Running, path: bytes, drips: bool) -> None:
    reader, writer = await _connect(running)
    started = time.monotonic()
    writer.write(HEAD % (path, b"x-ndjson" if path == b"bulk" else b"json") + b'{"body": "')
    dripping = asyncio.create_task(_drip(writer) if drips else _silence(writer))
    async with asyncio.timeout(30):
        answer = await reader.readuntil(b'"Request Timeout"')
    assert LIMIT_S - 0.05 <= time.monotonic() - started <= LIMIT_S + LATE_S
    assert b" 408 Request Timeout" in answer or path == b"bulk"
    assert b"application/problem+json" in answer or path == b"bulk"
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    writer.close()


async def test_a_request_that_comes_in_time_by_small_pieces_is_served(running: Running) -> None:
    reader, writer = await _connect(running)
    for byte in REQUEST:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_connection_may_be_quiet_between_requests(running: Running) -> None:
    reader, writer = await _connect(running)
    for _ in range(2):
        writer.write(REQUEST)
        async with asyncio.timeout(30):
            assert (await reader.readuntil(b'"live"}')).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(LIMIT_S + 0.6)  # longer than the limit and a sweep
    writer.write(REQUEST)
    async with asyncio.timeout(30):
        assert (await reader.readuntil(b'"live"}')).startswith(b"HTTP/1.1 200")
    writer.write(REQUEST[:30])
    assert await _closed_after((reader, writer), _silence) <= LIMIT_S + LATE_S
    assert running.service.metrics.series(HTTP_CONNECTIONS_EXPIRED, waiting_for="header").value == 1


async def test_a_quiet_connection_is_closed_at_its_own_limit() -> None:
    async with running_service({**SETTINGS, "server.keepalive_timeout_s": 0.3}) as running:
        reader, writer = await _connect(running)
        writer.write(REQUEST + REQUEST[:30])  # half of a next header came along
        async with asyncio.timeout(30):
            await reader.readuntil(b'"live"}')
        assert await _closed_after((reader, writer), _silence) <= 0.3 + LATE_S


async def test_a_crowd_of_slow_clients_is_closed_while_others_are_served(running: Running) -> None:
    acts = (_silence, _half_a_header, _drip)
    closing = [asyncio.create_task(_closed_after(await _connect(running), acts[number % 3])) for number in range(200)]
    served = 0
    while not all(task.done() for task in closing):
        started = time.monotonic()
        async with running.client.post("/api/v1/inquiries/classify", json={"body": "Charged twice."}) as answer:
            assert answer.status == 200
        assert time.monotonic() - started < 2 + MORE_S
        served += 1
    assert served > 10
    for took_s in await asyncio.gather(*closing):
        assert LIMIT_S - 0.05 <= took_s <= LIMIT_S + LATE_S
    expired = [
        running.service.metrics.series(HTTP_CONNECTIONS_EXPIRED, waiting_for=waiting).value
        for waiting in ("first_byte", "header")
    ]
    assert sum(expired) == 200
    async with asyncio.timeout(30):
        while running.service.metrics.series(HTTP_CONNECTIONS_ACTIVE).value > 1:
            async with running.client.get("/api/v1/health/live"):
                pass
