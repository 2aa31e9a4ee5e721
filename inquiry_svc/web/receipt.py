"""Who may keep a connection: deadlines for a request's first byte, for its complete header and for reading the answer,
and how many one address has. aiohttp has none of these.

Each connection has a `Receipt`, which its protocol keeps; a sweep closes those whose clients are too slow. The body's
deadline is `incoming`'s, idle connections between requests are aiohttp's.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from contextlib import AbstractAsyncContextManager
from math import inf
from typing import Final, Literal, cast

from inquiry_svc.catalogue import HTTP_CONNECTIONS_ACTIVE, HTTP_CONNECTIONS_EXPIRED, HTTP_CONNECTIONS_REFUSED
from inquiry_svc.metrics import Metrics
from inquiry_svc.repeating import repeated
from inquiry_svc.settings import ServerSettings
from inquiry_svc.web.access import place_of

_SWEEP_S: Final = 0.5
_LOOK_S: Final = 0.02
_READING: Final = "reading"
_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""For `SO_LINGER`: the system forgets what is not read, too, which it would keep for minutes."""

Wait = Literal["first_byte", "header", "answer", "request"]


class Receipt:
    """One connection: what is waited for, and since when on the loop's clock. Its protocol keeps it up to date."""

    __slots__ = ("_transport", "_unread_bytes", "place", "since", "unread_since", "waiting_for")

    def __init__(self, transport: asyncio.WriteTransport, now: float) -> None:
        self._transport = transport
        self.waiting_for: Wait = "first_byte"
        """Its first request; the rest of a head; our answer; the next request."""
        self.since = now
        self.unread_since: float | None = None
        """Of what was answered, more is not read than the system keeps for the client, and none of it was since then.
        Its protocol knows where it is much; for the rest it is looked at."""
        self._unread_bytes = 0
        self.place: str | None = None
        """Its address, where those are counted."""

    def look(self, now: float) -> None:
        """Is there an answer that waits to be read, and nobody reads it? While one is being written that is no news."""
        unread_bytes = self._transport.get_write_buffer_size()
        if not unread_bytes:
            self.unread_since = None
        elif unread_bytes < self._unread_bytes or (self.unread_since is None and self.waiting_for != "answer"):
            self.unread_since = now
        self._unread_bytes = unread_bytes

    def close(self) -> None:
        if self.unread_since is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.unread_since = None
        self.waiting_for = "answer"
        self._transport.abort()


class Receipts:
    """Every open connection. Its protocol tells of what comes and goes on it, the edge when a request begins there."""

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self._limits_s: dict[str, float] = {
            "first_byte": settings.first_byte_timeout_s,
            "header": settings.header_timeout_s,
        }
        self._unread_s = settings.unread_timeout_s
        self._most_of_a_place = settings.connections_per_address
        self._of_place: Counter[str] = Counter()
        """Of each that has any; empty where there is no limit."""
        self._open: dict[asyncio.BaseProtocol, Receipt] = {}
        self._active = metrics.series(HTTP_CONNECTIONS_ACTIVE)
        self._expired = {
            each: metrics.series(HTTP_CONNECTIONS_EXPIRED, waiting_for=each) for each in (*self._limits_s, _READING)
        }
        self._refused = metrics.series(HTTP_CONNECTIONS_REFUSED)

    def opened(self, protocol: asyncio.BaseProtocol, transport: asyncio.BaseTransport) -> Receipt:
        """One more, closed at once where its address has as many as it may."""
        # uvloop's transports are no subclasses of asyncio's.
        writing = cast("asyncio.WriteTransport", transport)
        receipt = self._open[protocol] = Receipt(writing, asyncio.get_running_loop().time())
        if self._most_of_a_place:
            peer = transport.get_extra_info("peername")
            place = receipt.place = place_of(peer[0] if isinstance(peer, tuple) else None)
            self._of_place[place] += 1
            if self._of_place[place] > self._most_of_a_place:
                self._refused.inc()
                receipt.close()
        return receipt

    def closed(self, protocol: asyncio.BaseProtocol) -> None:
        receipt = self._open.pop(protocol, None)
        if receipt is not None and receipt.place is not None:
            self._of_place[receipt.place] -= 1
            if not self._of_place[receipt.place]:
                del self._of_place[receipt.place]

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """A header is complete: a request is being served."""
        receipt = self._open.get(protocol)
        if receipt is not None:
            receipt.waiting_for = "answer"

    async def newcomers_heard(self, *, within_s: float) -> None:
        """Wait until none is open whose client connected less than that ago and has sent nothing yet."""
        now = asyncio.get_running_loop().time
        for _ in range(round(within_s / _LOOK_S)):
            if not any(
                each.waiting_for == "first_byte" and now() - each.since < within_s for each in self._open.values()
            ):
                return
            await asyncio.sleep(_LOOK_S)

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
            receipt.look(now)
            wait: str = receipt.waiting_for
            if receipt.unread_since is not None and now - receipt.unread_since >= self._unread_s:
                wait = _READING
            elif now - receipt.since < self._limits_s.get(wait, inf):
                continue
            self._expired[wait].inc()
            receipt.close()
