"""Deadlines for receiving a request: its first byte and its complete header. aiohttp has none of its own.

Each connection has a `Receipt`, which its protocol keeps; a sweep closes those whose clients are too slow. The body's
deadline is `incoming`'s, idle connections between requests are aiohttp's.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import Final, Literal, cast

from inquiry_svc.catalogue import HTTP_CONNECTIONS_ACTIVE, HTTP_CONNECTIONS_EXPIRED
from inquiry_svc.metrics import Metrics
from inquiry_svc.repeating import repeated
from inquiry_svc.settings import ServerSettings

_SWEEP_S: Final = 0.5

Wait = Literal["first_byte", "header", "answer", "request"]


class Receipt:
    """One connection: what is waited for, and since when on the loop's clock. Its protocol keeps it up to date."""

    __slots__ = ("_transport", "since", "waiting_for")

    def __init__(self, transport: asyncio.WriteTransport, now: float) -> None:
        self._transport = transport
        self.waiting_for: Wait = "first_byte"
        """Its first request; the rest of a head; our answer; the next request."""
        self.since = now

    def close(self) -> None:
        self.waiting_for = "answer"
        self._transport.abort()


class Receipts:
    """Every open connection. Its protocol tells of what comes on it, the edge when a request begins and ends there."""

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self._limits_s: dict[Wait, float] = {
            "first_byte": settings.first_byte_timeout_s,
            "header": settings.header_timeout_s,
        }
        self._open: dict[asyncio.BaseProtocol, Receipt] = {}
        self._active = metrics.series(HTTP_CONNECTIONS_ACTIVE)
        self._expired = {wait: metrics.series(HTTP_CONNECTIONS_EXPIRED, waiting_for=wait) for wait in self._limits_s}

    def opened(self, protocol: asyncio.BaseProtocol, transport: asyncio.BaseTransport) -> Receipt:
        # uvloop's transports are no subclasses of asyncio's.
        writing = cast("asyncio.WriteTransport", transport)
        receipt = self._open[protocol] = Receipt(writing, asyncio.get_running_loop().time())
        return receipt

    def closed(self, protocol: asyncio.BaseProtocol) -> None:
        self._open.pop(protocol, None)

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """A header is complete: a request is being served."""
        receipt = self._open.get(protocol)
        if receipt is not None:
            receipt.waiting_for = "answer"

    def end(self, protocol: asyncio.BaseProtocol) -> None:
        receipt = self._open.get(protocol)
        if receipt is not None:
            receipt.waiting_for = "request"

    def sweeping(self) -> AbstractAsyncContextManager[None]:
        """Close what is overdue while open."""
        return repeated(
            self._sweep,
            period_s=_SWEEP_S,
            first_after_s=_SWEEP_S,
            name="receipt sweeper",
            failing="clients that are too slow can't be closed",
        )

    async def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        self._active.set(len(self._open))
        for receipt in list(self._open.values()):
            wait = receipt.waiting_for
            if now - receipt.since >= self._limits_s.get(wait, inf):
                self._expired[wait].inc()
                receipt.close()
