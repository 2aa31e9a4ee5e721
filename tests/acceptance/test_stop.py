"""Told to stop under load: first not ready, then no new connections, every accepted request answered, exit code 0."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from inquiry_svc.config import load_settings
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.service import open_service
from inquiry_svc.testing.running import IN_MEMORY
from inquiry_svc.web.port import bound_socket
from inquiry_svc.web.server import listening
from tests.acceptance.serving import COMMAND, child_environ, serving
from tests.side_by_side import MORE_S

SUBMIT = "/api/v1/inquiries/submit"
INQUIRY = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
STOPPED_S = 10.0
RAW = b'{"body": "My card was charged twice.", "sender_email": "ana@example.org"}'
REQUEST = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    SUBMIT.encode(),
    len(RAW),
    RAW,
)


@dataclass(slots=True)
class Seen:
    """What clients met with: `statuses` of answers, `broken` for requests that were sent and never answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    answered_after_not_ready: int = 0
    not_ready_at: float | None = None


async def client(url: str, seen: Seen, *, keep_alive: bool) -> None:
    """Submit until connecting is refused."""
    connector = aiohttp.TCPConnector(limit=1, force_close=not keep_alive)
    async with aiohttp.ClientSession(url, connector=connector) as session:
        while True:
            try:
                async with session.post(SUBMIT, json=INQUIRY) as response:
                    await response.read()
            except aiohttp.ClientConnectorError:
                return  # refused: the port is closed
            except aiohttp.ClientError as error:
                seen.broken.append(repr(error))
                return
            seen.statuses[response.status] += 1
            seen.answered_after_not_ready += seen.not_ready_at is not None


async def watch_readiness(url: str, seen: Seen) -> None:
    async with aiohttp.ClientSession(url) as session:
        while seen.not_ready_at is None:
            async with session.get("/api/v1/health/ready") as response:
                if response.status == 503:
                    seen.not_ready_at = time.perf_counter()


@pytest.mark.alone
@pytest.mark.parametrize(
    ("number", "stops"),
    [
        (signal.SIGTERM, 1),
        (signal.SIGINT, 1),
        pytest.param(signal.SIGTERM, 100, marks=[pytest.mark.soak, pytest.mark.timeout(3000)]),
    ],
)
async def test_a_stop_under_load_answers_every_request_that_was_accepted(
    tmp_path: Path, number: signal.Signals, stops: int
) -> None:
    stopped_s = [await stop_under_load(tmp_path, number) for _ in range(stops)]
    print(f"{stops} stops: median {statistics.median(stopped_s):.2f} s, max {max(stopped_s):.2f} s")
    assert max(stopped_s) <= STOPPED_S


async def stop_under_load(data_dir: Path, number: signal.Signals) -> float:
    """Seconds from the signal to the end of the process."""
    seen = Seen()
    async with serving(data_dir) as service:
        clients = [asyncio.create_task(client(service.url, seen, keep_alive=each % 2 == 0)) for each in range(20)]
        readiness = asyncio.create_task(watch_readiness(service.url, seen))
        await asyncio.sleep(0.3)  # load
        told_at = time.perf_counter()
        service.signal(number)
        exit_code = await service.exit_code(within_s=20)
        stopped_s = time.perf_counter() - told_at
        await asyncio.gather(*clients, readiness)
    assert exit_code == 0, service.lines
    assert seen.broken == []
    assert set(seen.statuses) == {201}
    assert seen.not_ready_at is not None
    not_ready_s = seen.not_ready_at - told_at
    assert seen.answered_after_not_ready > 20, "it was not served any more once it was not ready"
    messages = [line["message"] for line in service.logged()]
    assert "stopping: not ready any more" in messages
    assert messages[-1] == "stopped"
    print(
        f"{seen.statuses[201]} answered, {seen.answered_after_not_ready} of them after readiness said 503 "
        f"{not_ready_s * 1000:.0f} ms after the signal; stopped in {stopped_s:.2f} s"
    )
    return stopped_s


async def test_a_client_connected_at_the_last_moment_is_answered(tmp_path: Path) -> None:
    """In each turn of the loop until the port is closed, one more connects: the service has not met the last."""
    manager = build_manager()
    offers = Offers(manager)
    options = {**IN_MEMORY, "server.data_dir": str(tmp_path)}
    settings, _ = load_settings(offers, options={tuple(key.split(".")): value for key, value in options.items()})
    clients: list[socket.socket] = []

    async def connect(address: tuple[str, int]) -> None:
        with suppress(ConnectionRefusedError):
            while True:
                clients.append(socket.create_connection(address))
                clients[-1].sendall(REQUEST)
                await asyncio.sleep(0)

    async with open_service(settings, manager, offers) as service:
        with bound_socket("127.0.0.1", 0) as bound:
            async with listening(service, bound):
                connecting = asyncio.create_task(connect(bound.getsockname()))
            await connecting
    assert len(clients) > 1
    for each in clients:
        with each:
            each.settimeout(5)
            assert each.recv(100).startswith(b"HTTP/1.1 201"), "it was not answered"


async def test_a_client_connected_at_the_last_moment_may_be_slow_to_send(tmp_path: Path) -> None:
    """One more connects every 20 ms until the port is closed, is told of no stop, and sends 0.4 s later."""

    async def answer(host: str, port: int) -> bytes | None:
        """None where it is refused."""
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except ConnectionRefusedError:
            return None
        await asyncio.sleep(0.4)
        writer.write(REQUEST)
        try:
            return await reader.read()
        finally:
            writer.close()

    async with serving(tmp_path) as service:
        host, port = service.url.removeprefix("http://").split(":")
        service.signal(signal.SIGTERM)
        answers: list[asyncio.Task[bytes | None]] = []
        while not any(each.done() and each.result() is None for each in answers):
            answers.append(asyncio.create_task(answer(host, int(port))))
            await asyncio.sleep(0.02)
        answered = [each for each in await asyncio.gather(*answers) if each is not None]
        assert await service.exit_code(within_s=20) == 0
    assert len(answered) > 1
    assert [each for each in answered if not each.startswith(b"HTTP/1.1 201")] == []


async def test_clients_who_hold_their_connection_do_not_hold_up_the_exit(tmp_path: Path) -> None:
    """Idle, half a header, half a body, an upload that never ends: with 2 s to finish, all is over in 4."""
    environ = {"INQUIRY_SERVER__STOP_TIMEOUT_S": "2"}
    async with serving(tmp_path, environ=environ) as service, aiohttp.ClientSession(service.url) as session:
        host, port = service.url.removeprefix("http://").split(":")
        header = f"POST {SUBMIT} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n".encode()
        sockets = []
        for begun in (b"", header, header + b"Content-Length: 500\r\n\r\n" + RAW):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(begun)
            await writer.drain()
            sockets.append(writer)
        async with session.post(SUBMIT, json=INQUIRY) as response:  # its connection stays open and idle
            assert response.status == 201
        never = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield RAW + b"\n"
            await never.wait()

        upload = await session.post(
            "/api/v1/inquiries/bulk", data=endless(), headers={"Content-Type": "application/x-ndjson"}
        )
        assert b'"inquiry_id"' in await upload.content.readline()
        told_at = time.perf_counter()
        service.signal(signal.SIGTERM)
        assert await service.exit_code(within_s=20) == 0
        stopped_s = time.perf_counter() - told_at
        upload.close()
        for writer in sockets:
            writer.close()
    print(f"stopped in {stopped_s:.2f} s")
    assert stopped_s < 4.5 + MORE_S


async def test_a_service_that_is_told_twice_ends_well(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        service.signal(signal.SIGTERM)
        service.signal(signal.SIGINT)
        assert await service.exit_code(within_s=20) == 0


def test_a_stop_while_it_starts_is_heeded_by_itself(tmp_path: Path) -> None:
    """By a handler of its own: the system passes over what the first process of a container has no handler for."""
    configuration = tmp_path / "service.toml"
    os.mkfifo(configuration)
    process = subprocess.Popen([COMMAND, "serve", "--config", str(configuration)], env=child_environ())
    try:
        writing = _opened_once_read(configuration)
        process.send_signal(signal.SIGTERM)
        os.close(writing)  # Python heeds it between two steps, and reading is one where the signal came just before it
        assert process.wait(20) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def _opened_once_read(pipe: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError):  # nobody reads it yet
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    raise AssertionError("it reads no configuration")


def test_a_log_that_nobody_reads_holds_up_neither_the_service_nor_its_exit(tmp_path: Path) -> None:
    """Its standard error is a pipe that is full from the start: nothing but the port tells that it serves."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    process = subprocess.Popen(
        [COMMAND, "serve", "--port", "0", "--data-dir", str(tmp_path)],
        env=child_environ({"INQUIRY_LOGGING__LEVEL": "debug", "INQUIRY_LOGGING__REQUESTS": "all"}),
        stderr=writing,
    )
    os.close(writing)
    try:
        url = f"http://127.0.0.1:{_listening_port(process.pid)}"
        asyncio.run(_submit_many(url, 1000))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)


def _listening_port(process_id: int) -> int:
    import psutil

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for connection in psutil.Process(process_id).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return int(connection.laddr.port)
        time.sleep(0.02)
    raise AssertionError("it does not listen")


async def _submit_many(url: str, count: int) -> None:
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=20)) as session:

        async def submit() -> int:
            async with session.post(SUBMIT, json=INQUIRY) as response:
                json.loads(await response.read())
                return response.status

        assert set(await asyncio.gather(*(submit() for _ in range(count)))) == {201}
