"""Deadlines for receiving a request: its first byte and its complete header. aiohttp has none of its own.

A `_Receipt` stands between each socket and aiohttp's protocol and hands everything on but what the gate refuses; a
sweep closes the connections whose clients are too slow. The body's deadline is `incoming`'s, idle connections between
requests are aiohttp's.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

from inquiry_svc.catalogue import HTTP_CONNECTIONS_ACTIVE, HTTP_CONNECTIONS_EXPIRED
from inquiry_svc.metrics import Metrics
from inquiry_svc.repeating import repeated
from inquiry_svc.settings import ServerSettings
from inquiry_svc.web.framing import UNCLEAR, size_of

if TYPE_CHECKING:
    from inquiry_svc.web.gate import Gate

_SWEEP_S: Final = 0.5

Waiting = Literal["first_byte", "header"]


class Inner(Protocol):
    """aiohttp's protocol for one connection, as `HttpProtocol` has it."""

    @property
    def is_idle(self) -> bool: ...
    def put_off_closing(self) -> None: ...
    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Receipts:
    """Every open connection. `protocol` wraps a new one's; the edge tells when a request begins and ends on it."""

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        self._limits_s: dict[Waiting, float] = {
            "first_byte": settings.first_byte_timeout_s,
            "header": settings.header_timeout_s,
        }
        self._open: dict[object, _Receipt] = {}
        self._active = metrics.series(HTTP_CONNECTIONS_ACTIVE)
        self._expired = {
            waiting: metrics.series(HTTP_CONNECTIONS_EXPIRED, waiting_for=waiting) for waiting in self._limits_s
        }

    def protocol(self, inner: Inner, gate: Gate | None) -> asyncio.Protocol:
        """`inner` is aiohttp's protocol for the same connection; `gate` refuses what it need not see."""
        return _Receipt(inner, gate, self._open)

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """A header is complete: a request is being served."""
        receipt = self._open.get(protocol)
        if receipt is not None:
            receipt.waiting, receipt.busy = None, True

    def end(self, protocol: asyncio.BaseProtocol) -> None:
        receipt = self._open.get(protocol)
        if receipt is not None:
            receipt.leave()

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

    __slots__ = (
        *(
            "_gate",
            "_inner",
            "_is_clogged",
            "_is_inside",
            "_loop",
            "_open",
            "_owed",
            "_refusal",
            "_skips",
            "_transport",
        ),
        *("busy", "since", "waiting"),
    )

    def __init__(self, inner: Inner, gate: Gate | None, open_: dict[object, _Receipt]) -> None:
        self._inner = inner
        self._gate = gate
        self._open = open_
        self._owed = 0
        """Bytes until the next request begins; `UNCLEAR` from when that can't be told."""
        self._refusal: bytes | None = None
        """What the client is to be told."""
        self._skips = False
        """Those are of a request that was refused: nobody wants them."""
        self._is_inside = False
        """What the gate counts as inside."""
        self._is_clogged = False
        """The client does not read what it is answered."""
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
        if self._gate is not None and self._owed != UNCLEAR and self._is_refused(data, self._gate):
            return
        if not self.busy and self.waiting != "header":
            self.waiting, self.since = "header", self._loop.time()
        self._inner.data_received(data)

    def _is_refused(self, data: bytes, gate: Gate) -> bool:
        """Follow where requests end, and answer one that finds no place. Whether nothing is left to hand on."""
        if self._owed:
            return self._is_skipped(data)
        self.tell_refusal()
        size = size_of(data)
        self._owed = size - len(data) if size >= len(data) else UNCLEAR
        if self._owed == UNCLEAR or not data.startswith(gate.concerns):
            return False
        if gate.is_shut and self._inner.is_idle and not self._is_clogged and self._refuse(data, size, gate):
            return True
        if not (self._owed or self._is_inside):  # who owes a body takes no place yet
            self._is_inside = True
            gate.inside += 1
        return False

    def _refuse(self, data: bytes, size: int, gate: Gate) -> bool:
        self._refusal = gate.refusal(data, size)
        if self._refusal is None:
            return False
        gate.have_told(self.tell_refusal)
        self._inner.put_off_closing()
        self.waiting = None
        if self._owed:  # the rest of a body that nobody reads must come in the time that a header may take
            self._skips = True
            self.waiting, self.since = "header", self._loop.time()
        return True

    def tell_refusal(self) -> None:
        """Once: the gate does it in turn, we where the next request comes first."""
        refusal, self._refusal = self._refusal, None
        if refusal is not None and self._transport is not None:
            self._transport.write(refusal)

    def _is_skipped(self, data: bytes) -> bool:
        rest = self._owed - len(data)
        self._owed = max(rest, UNCLEAR)
        if not self._skips:
            return False
        if rest <= 0:
            self._owed, self._skips, self.waiting = 0, False, None
        if rest < 0:  # the next came along
            self.data_received(data[rest:])
        return True

    def leave(self) -> None:
        """The request is answered, or its client gone."""
        self.busy = False
        if self._gate is not None and self._is_inside:
            self._is_inside = False
            self._gate.inside -= 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.pop(self._inner, None)
        self._refusal = None
        self.leave()
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._is_clogged = True
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._is_clogged = False
        self._inner.resume_writing()
