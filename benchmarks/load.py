"""A closed-loop load generator: a fixed number of keep-alive connections, each sending its next request at once.

It speaks just enough HTTP/1.1 to be several times quicker than the servers that it measures.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Figures:
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    answered: int
    """The warm-up's and the last ones too, which are in no other figure."""


def request_bytes(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def closed_loop(
    url: str,
    requests: Sequence[bytes],
    *,
    connections: int,
    duration_s: float,
    warm_up_s: float,
    opened: Sequence[socket.socket] = (),
) -> Figures:
    """Send the requests in turn, again and again. Raises `RuntimeError` for any answer that is not 2xx.

    `opened` are connections to begin with, in the place of new ones.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    start = time.perf_counter() + warm_up_s
    stop = start + duration_s
    latencies_s: list[float] = []
    clients = [
        _Caller(requests, place * len(requests) // connections, start, stop, latencies_s, loop.create_future())
        for place in range(connections)
    ]
    for client, end in zip(clients, opened, strict=False):
        await take_over(client, end)
    for client in clients[len(opened) :]:
        await connect(client, parts.hostname or "", parts.port or 80)
    await asyncio.wait([client.done for client in clients])
    await asyncio.gather(*(client.done for client in clients))
    latencies_s.sort()
    return Figures(
        requests_per_s=len(latencies_s) / duration_s,
        p50_ms=latencies_s[len(latencies_s) // 2] * 1000,
        p99_ms=latencies_s[int(len(latencies_s) * 0.99)] * 1000,
        answered=sum(client.answers for client in clients),
    )


async def connect(client: asyncio.Protocol, host: str, port: int) -> None:
    await asyncio.get_running_loop().create_connection(lambda: client, host, port)


async def take_over(client: asyncio.Protocol, opened: socket.socket) -> None:
    await asyncio.get_running_loop().create_connection(lambda: client, sock=opened)


class Client(asyncio.Protocol):
    """One keep-alive connection with one request at a time. `done` is set when it is over."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done = done
        self._received = b""

    def answered(self) -> None:
        """Called when an answer is there, whole and 2xx."""
        raise NotImplementedError

    def refused(self, answer: bytes) -> None:
        """Called with any other answer, whole."""
        self.failed(f"the server answered {answer[:500]!r}")

    def failed(self, why: str) -> None:
        """Called when nothing more is to be expected."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._received[:head_end].lower()
        length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(self._received) < head_end + 4 + length:
            return
        if not head.startswith(b"http/1.1 2"):
            answer, self._received = self._received, b""
            self.refused(answer)
            return
        self._received = b""
        self.answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failed("the server closed the connection")


class _Caller(Client):
    """Sends its next request as soon as it has an answer."""

    def __init__(
        self,
        requests: Sequence[bytes],
        first: int,
        start: float,
        stop: float,
        latencies_s: list[float],
        done: asyncio.Future[None],
    ) -> None:
        super().__init__(done)
        self._requests = requests
        self._next = first
        self._start = start
        self._stop = stop
        self._latencies_s = latencies_s
        self._sent_at = 0.0
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._send()

    def answered(self) -> None:
        now = time.perf_counter()
        self.answers += 1
        if self._start <= now <= self._stop:
            self._latencies_s.append(now - self._sent_at)
        if now > self._stop:
            self._end(None)
        else:
            self._send()

    def failed(self, why: str) -> None:
        self._end(RuntimeError(why))

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self.transport.write(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)

    def _end(self, error: Exception | None) -> None:
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)
            self.transport.close()
