"""Deadlines for receiving a request: its first byte and its complete header. aiohttp has none of its own.

A `_Receipt` stands between each socket and aiohttp's protocol and hands everything on; a sweep closes the connections
whose clients are too slow. The body's deadline is `incoming`'s, idle connections between requests are aiohttp's.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, cast

from inquiry_svc.catalogue import HTTP_CONNECTIONS_ACTIVE, HTTP_CONNECTIONS_EXPIRED
from inquiry_svc.metrics import Metrics
from inquiry_svc.repeating import repeated
from inquiry_svc.settings import ServerSettings

_SWEEP_S: Final = 0.5

Waiting = Literal["first_byte", "header"]


class Receipts:
    """Every open connection. `protocol` wraps a new one's; the edge tells when a request begins and ends on it."""

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self._limits_s: dict[Waiting, float] = {
            "first_byte": settings.first_byte_timeout_s,
            "header": settings.header_timeout_s,
        }
        self._open: dict[asyncio.BaseProtocol, _Receipt] = {}
        self._active = metrics.series(HTTP_CONNECTIONS_ACTIVE)
        self._expired = {
            waiting: metrics.series(HTTP_CONNECTIONS_EXPIRED, waiting_for=waiting) for waiting in self._limits_s
        }

    def protocol(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """`inner` is aiohttp's protocol for the same connection."""
        return _Receipt(inner, self._open)

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """A header is complete: a request is being served."""
        receipt = self._open.get(protocol)
        if receipt is not None:
            receipt.waiting, receipt.busy = None, True

    def end(self, protocol: asyncio.BaseProtocol) -> None:
        receipt = self._open.get(protocol)
        if receipt is not None:
            receipt.busy = False

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
            if receipt.waiting and now - receipt.since >= self._limits_s[receipt.waiting]:
                self._expired[receipt.waiting].inc()
                receipt.waiting = None
                receipt.close()


class _Receipt(asyncio.Protocol):
    """One connection: what is waited for, and since when on the loop's clock."""

    __slots__ = ("_inner", "_loop", "_open", "_transport", "busy", "since", "waiting")

    def __init__(self, inner: asyncio.Protocol, open_: dict[asyncio.BaseProtocol, _Receipt]) -> None:
        self._inner = inner
        self._open = open_
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self.busy = False
        self.waiting: Waiting | None = None
        self.since = 0.0

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)
        self.waiting, self.since = "first_byte", self._loop.time()
        self._open[self._inner] = self
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self.busy and self.waiting != "header":
            self.waiting, self.since = "header", self._loop.time()
        self._inner.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.pop(self._inner, None)
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
