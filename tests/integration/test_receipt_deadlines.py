"""Slow clients are shown the door in time, and those who are merely quiet are not. Others do not notice."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Final
from urllib.parse import urlsplit

import pytest

from inquiry_svc.catalogue import HTTP_CONNECTIONS_ACTIVE, HTTP_CONNECTIONS_EXPIRED, HTTP_CONNECTIONS_REFUSED
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.web.protocol import HttpProtocol
from tests.side_by_side import MORE_S

LIMIT_S: Final = 0.6
LATE_S: Final = 1.5 + MORE_S
"""A sweep comes twice a second."""
SETTINGS: Final = {
    "server.first_byte_timeout_s": LIMIT_S,
    "server.header_timeout_s": LIMIT_S,
    "server.body_timeout_s": LIMIT_S,
    "server.unread_timeout_s": LIMIT_S,
}
REQUEST: Final = b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD: Final = (
    b"POST /api/v1/inquiries/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/%s\r\nContent-Length: 1000\r\n\r\n"
)

LONG_ANSWER: Final = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
"""Some 60 KB of one."""
READ_BYTES: Final = 4096

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act = Callable[[asyncio.StreamWriter], Coroutine[None, None, None]]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with running_service(SETTINGS) as running:
        yield running


async def _connect(running: Running) -> Connection:
    address = urlsplit(running.url)
    return await asyncio.open_connection(address.hostname, address.port)


def _expired(running: Running, waiting_for: str) -> float:
    return running.service.metrics.series(HTTP_CONNECTIONS_EXPIRED, waiting_for=waiting_for).value


async def _who_reads_little(running: Running) -> Connection:
    """Connected, with hardly any room for what nobody reads."""
    address = urlsplit(running.url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (address.hostname, address.port))
    return await asyncio.open_connection(sock=sock)


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
    assert _expired(running, waiting_for) == 1


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
    assert _expired(running, "header") == 1


async def test_a_quiet_connection_is_closed_at_its_own_limit() -> None:
    async with running_service({**SETTINGS, "server.keepalive_timeout_s": 0.3}) as running:
        reader, writer = await _connect(running)
        writer.write(REQUEST + REQUEST[:30])  # half of a next header came along
        async with asyncio.timeout(30):
            await reader.readuntil(b'"live"}')
        assert await _closed_after((reader, writer), _silence) <= 0.3 + LATE_S


async def test_who_does_not_read_is_closed_in_time_and_not_before(running: Running) -> None:
    reader, writer = await _who_reads_little(running)
    started = time.monotonic()
    writer.write(LONG_ANSWER * 200)
    await _until_closed(running)
    assert LIMIT_S - 0.05 <= time.monotonic() - started <= LIMIT_S + LATE_S
    await _find_nothing_more(reader)
    writer.close()


async def test_the_end_of_an_answer_that_nobody_reads_keeps_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is too little for the loop to tell of, and the request is over."""
    met: list[asyncio.WriteTransport] = []
    as_shipped = HttpProtocol.connection_made

    def noted(self: HttpProtocol, transport: asyncio.WriteTransport) -> None:
        met.append(transport)
        as_shipped(self, transport)

    monkeypatch.setattr(HttpProtocol, "connection_made", noted)
    async with running_service({**SETTINGS, "server.keepalive_timeout_s": 0.1}) as running:
        reader, writer = await _who_reads_little(running)
        while not met or not met[0].get_write_buffer_size():
            writer.write(LONG_ANSWER)
            await asyncio.sleep(0.01)
        await _until_closed(running)
        await _find_nothing_more(reader)
        writer.close()


async def _until_closed(running: Running) -> None:
    async with asyncio.timeout(30):
        while not _expired(running, "reading"):  # noqa: ASYNC110 (a number is waited for)
            await asyncio.sleep(0.01)


async def _find_nothing_more(reader: asyncio.StreamReader) -> None:
    """The system has forgotten what was not read."""
    with pytest.raises(ConnectionError):
        await reader.read()


async def _length_of_next(reader: asyncio.StreamReader) -> int:
    """How long the body of the next answer is, whose head is read."""
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])


async def test_who_reads_slowly_but_on_and_on_is_served_to_the_end() -> None:
    limit_s, answers = 1.5, 100
    async with running_service({"server.unread_timeout_s": limit_s}) as running:
        reader, writer = await _who_reads_little(running)
        writer.write(LONG_ANSWER * answers)
        async with asyncio.timeout(60):
            for _ in range(answers):
                length = await _length_of_next(reader)
                await reader.readexactly(length)
                await asyncio.sleep(2 * limit_s / answers)
        assert _expired(running, "reading") == 0
        writer.close()


async def test_who_asks_again_while_an_answer_is_still_being_read_is_not_taken_for_slow() -> None:
    """The clock of the next head begins when the answer before it is written."""
    answers = 60
    async with running_service({**SETTINGS, "server.unread_timeout_s": 30.0}) as running:
        reader, writer = await _who_reads_little(running)
        writer.write(LONG_ANSWER * answers)
        async with asyncio.timeout(60):
            for number in range(answers + 1):
                length = await _length_of_next(reader)
                if not number:
                    await asyncio.sleep(0.1)  # the server is held up writing
                    writer.write(REQUEST)
                    await asyncio.sleep(LIMIT_S + 0.6)  # longer than the limit and a sweep
                await reader.readexactly(length)
        assert _expired(running, "header") == 0
        writer.close()


async def test_an_address_has_so_many_connections_and_another_when_one_is_closed() -> None:
    async with running_service({"server.connections_per_address": 3}) as running:
        refused = running.service.metrics.series(HTTP_CONNECTIONS_REFUSED)
        let_in = [await _connect(running) for _ in range(3)]
        for reader, writer in let_in:
            writer.write(REQUEST)
            async with asyncio.timeout(30):
                await reader.readuntil(b'"live"}')
        for number in range(1, 4):
            await _closed_after(await _connect(running), _silence)
            assert refused.value == number
        let_in[0][1].close()
        async with asyncio.timeout(30):
            while not await _is_served(running):
                pass
        for _, writer in let_in:
            writer.close()


async def _is_served(running: Running) -> bool:
    reader, writer = await _connect(running)
    writer.write(REQUEST)
    try:
        return bool(await reader.readuntil(b'"live"}'))
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    finally:
        writer.close()


async def _answered_after(connection: Connection) -> float:
    """How long the server waits for the rest of a body."""
    reader, writer = connection
    started = time.monotonic()
    writer.write(HEAD % (b"submit", b"json") + b'{"body": "')
    async with asyncio.timeout(30):
        await reader.readuntil(b" 408 Request Timeout")
    writer.close()
    return time.monotonic() - started


async def test_a_crowd_of_slow_clients_is_closed_while_others_are_served(running: Running) -> None:
    acts = (_silence, _half_a_header, _drip)
    closing = [asyncio.create_task(_closed_after(await _connect(running), acts[number % 3])) for number in range(150)]
    closing += [asyncio.create_task(_answered_after(await _connect(running))) for _ in range(50)]
    unread = [await _who_reads_little(running) for _ in range(20)]
    for _, writer in unread:
        writer.write(LONG_ANSWER * 200)
    served = 0
    while not all(task.done() for task in closing) or _expired(running, "reading") < len(unread):
        started = time.monotonic()
        async with running.client.post("/api/v1/inquiries/classify", json={"body": "Charged twice."}) as answer:
            assert answer.status == 200
        assert time.monotonic() - started < 2 + MORE_S
        served += 1
    assert served > 10
    for took_s in await asyncio.gather(*closing):
        assert LIMIT_S - 0.05 <= took_s <= LIMIT_S + LATE_S
    assert _expired(running, "first_byte") + _expired(running, "header") == 150
    assert _expired(running, "reading") == 20
    for _, writer in unread:
        writer.close()
    async with asyncio.timeout(30):
        while running.service.metrics.series(HTTP_CONNECTIONS_ACTIVE).value > 1:
            async with running.client.get("/api/v1/health/live"):
                pass
