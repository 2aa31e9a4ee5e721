"""An open-loop load generator: requests come at random moments, so many a second, whether those before are answered or
not. So a server that stalls is seen to stall by all who come meanwhile.

It speaks HTTP/1.1 as `load` does.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from benchmarks.load import Client, connect

CONNECTIONS: Final = 64
BURST_S: Final = 0.001
"""What comes due in so long is sent together: to wait for each by itself would take all of the generator's core."""
_DRAINED_S: Final = 300.0
"""What the machine is too slow for at the moment may take many times as long as it was meant to."""


async def open_loop(
    url: str, requests: Sequence[bytes], *, rate_per_s: float, duration_s: float, dice: random.Random
) -> list[float]:
    """The seconds from the moment that each request was due to its answer.

    A request that finds each of the connections taken waits, which counts. Raises `RuntimeError` for any answer that is
    not 2xx, and for a connection that is closed.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    due: deque[tuple[float, bytes]] = deque()
    latencies_s: list[float] = []
    clients = [_Sender(due, latencies_s, loop.create_future()) for _ in range(CONNECTIONS)]
    for client in clients:
        await connect(client, parts.hostname or "", parts.port or 80)
    next_due = time.perf_counter()
    stop = next_due + duration_s
    while next_due < stop:
        await asyncio.sleep(max(BURST_S, next_due - time.perf_counter()))
        while next_due <= time.perf_counter():
            due.append((next_due, dice.choice(requests)))
            next_due += dice.expovariate(rate_per_s)
        for client in clients:
            client.send_next()
    async with asyncio.timeout(_DRAINED_S):
        while due or not all(client.is_free for client in clients):
            for failed in (client.done for client in clients if client.done.done()):
                await failed
            await asyncio.sleep(0.001)
    for client in clients:
        client.close()
    await asyncio.gather(*(client.done for client in clients))
    return latencies_s


class _Sender(Client):
    """Sends what is due when it is free. `done` is set when it is closed, with an error unless we closed it."""

    def __init__(self, due: deque[tuple[float, bytes]], latencies_s: list[float], done: asyncio.Future[None]) -> None:
        super().__init__(done)
        self.is_free = False
        self._due = due
        self._latencies_s = latencies_s
        self._due_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.is_free = True

    def send_next(self) -> None:
        if self.is_free and self._due:
            self._due_at, request = self._due.popleft()
            self.is_free = False
            self.transport.write(request)

    def answered(self) -> None:
        self._latencies_s.append(time.perf_counter() - self._due_at)
        self.is_free = True
        self.send_next()

    def close(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self.transport.close()

    def failed(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))
