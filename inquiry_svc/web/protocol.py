"""aiohttp's protocol for one connection, and the switch before it: what the lane takes never reaches aiohttp.

Also answers of our form where no request could be read or handled at all.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, LineTooLong
from msgspec import Struct

from inquiry_svc.intake.strict_json import Fault
from inquiry_svc.web.edge import Edge, mark, request_id_of
from inquiry_svc.web.heads import Head, Heads
from inquiry_svc.web.incoming import Refusal, other_coding
from inquiry_svc.web.lane import Answering, Lane, Plain, plain_of
from inquiry_svc.web.problems import problem_response
from inquiry_svc.web.receipt import Receipt, Receipts

logger = logging.getLogger(__name__)

_NOTHING_YET: Final = ("request", "first_byte")
_REST_WITHIN_S: Final = 0.5
"""Many clients send a head and its body one after the other. A body that is not whole by then goes the plain way, where
it has a deadline."""


class _Coming(Struct, eq=False):
    """A request for the lane whose body is not here yet, not all of it."""

    lane: Lane
    plain: Plain
    head: Head[Plain | None]
    data: bytearray
    giving_up: asyncio.TimerHandle


class HttpProtocol(web.RequestHandler):
    """What happens to a request is the application's, or the lane's; what is no request ends here.

    The lane is asked only between requests, and aiohttp must have seen whole requests only: so the bytes of what goes
    the plain way are counted, and a connection on which that is not certain stays on it.
    """

    __slots__ = (
        "_answered",
        "_answering",
        "_coming",
        "_edge",
        "_heads",
        "_lane",
        "_later",
        "_left",
        "_receipt",
        "_receipts",
        "_writing_paused",
    )

    def __init__(self, server: web.Server, edge: Edge, receipts: Receipts, lane: Lane | None, **given: Any) -> None:
        super().__init__(server, **given)
        self._edge = edge
        self._receipts = receipts
        self._receipt: Receipt
        self._lane = lane
        """None where all goes the plain way, from now on."""
        self._heads = Heads(plain_of)
        self._coming: _Coming | None = None
        self._answering: Answering | None = None
        self._answered: asyncio.Event | None = None
        """Set then; there only where somebody waits for it."""
        self._later = b""
        """Came before the lane had answered what was sent before it."""
        self._left: int | None = None
        """Of the request that goes the plain way: so many bytes are not here yet. None: there is none."""
        self._writing_paused = False

    # The switch

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._receipt = self._receipts.opened(self, transport)

    def data_received(self, data: bytes) -> None:
        lane, receipt = self._lane, self._receipt
        if data and receipt.waiting_for in _NOTHING_YET:
            receipt.waiting_for, receipt.since = "header", self._loop.time()
        if self._coming is not None and data:
            self._have_more_come(self._coming, data)
        elif lane is None or not data:  # with nothing aiohttp calls itself, to go on with what it has
            super().data_received(data)
        elif self._answering is not None:
            self._later += data
            self._pause_reading(True)
        elif self._left is not None:
            self._go_on_plainly(self._left - len(data), data)
        elif (head := self._heads.read(data)) is None:
            self._go_on_plainly(-1, data)
        elif head.end < len(data) or self._writing_paused or not (plain := lane.takes(head)):
            self._go_on_plainly(head.end - len(data), data)
        elif head.end > len(data):
            receipt.waiting_for = "answer"
            giving_up = self._loop.call_later(_REST_WITHIN_S, self._give_up_on_rest)
            self._coming = _Coming(lane, plain, head, bytearray(data), giving_up)
        else:
            self._answer(lane, plain, data[head.body_at :])

    def _have_more_come(self, coming: _Coming, data: bytes) -> None:
        coming.data += data
        left = coming.head.end - len(coming.data)
        if left > 0:
            return
        came = self._take_what_came(coming)
        if left == 0:
            self._answer(coming.lane, coming.plain, came[coming.head.body_at :])
        else:
            self._go_on_plainly(left, came)

    def _take_what_came(self, coming: _Coming) -> bytes:
        coming.giving_up.cancel()
        self._coming = None
        return bytes(coming.data)

    def _give_up_on_rest(self) -> None:
        coming = self._coming
        if coming is not None:
            came = self._take_what_came(coming)
            self._go_on_plainly(coming.head.end - len(came), came)
            self._tell_answered()

    def _go_on_plainly(self, left: int, data: bytes) -> None:
        self._left = left
        if left < 0:
            self._lane = None
        super().data_received(data)

    async def finish_response(self, *given: Any) -> tuple[web.StreamResponse, bool]:
        """Called by aiohttp with each answer, to write it."""
        finished = await super().finish_response(*given)
        if self._left:
            self._lane = None
        self._left = None
        self._receipt.waiting_for = "request"
        return finished

    # The lane

    def _answer(self, lane: Lane, plain: Plain, body: bytes) -> None:
        self._receipt.waiting_for = "answer"
        self._answering = lane.answering(plain, body, self._end_with, self.peername)
        self._answering.enter()

    def _end_with(self, answer: bytes, closes: bool) -> None:
        self._answering = None
        self._tell_answered()
        self._receipt.waiting_for = "request"
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        transport.write(answer)
        # aiohttp closes a connection on which nothing went its way for so long.
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if closes:
            transport.close()
        elif self._later:
            data, self._later = self._later, b""
            self._pause_reading(False)
            self.data_received(data)

    @property
    def _has_one(self) -> bool:
        """A request of which aiohttp knows nothing."""
        return self._answering is not None or self._coming is not None

    def _tell_answered(self) -> None:
        if self._answered is not None:
            self._answered.set()

    def _pause_reading(self, wanted: bool) -> None:
        transport = self.transport
        if transport is not None:
            transport.pause_reading() if wanted else transport.resume_reading()

    # What else aiohttp and the loop call

    def _process_keepalive(self) -> None:
        """Close what is idle. aiohttp knows of nothing that the lane has taken."""
        if self._has_one:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._receipts.closed(self)
        self._lane = None
        if self._coming is not None:
            self._take_what_came(self._coming)
            self._tell_answered()
        if self._answering is not None:
            self._answering.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._receipt.unread_since = self._loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._receipt.unread_since = None
        super().resume_writing()

    def close(self) -> None:
        """Nothing more is taken."""
        self._lane = None
        super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Answer what was taken, as aiohttp does: it may take so long, and once more when it is broken off."""
        if self._answering is not None:
            self._answering.refuse()
        for _ in range(2):
            if self._has_one:
                self._answered = asyncio.Event()
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        await self._answered.wait()
            if self._answering is not None:
                self._answering.cancel()
        await super().shutdown(timeout)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer and close. Called by aiohttp for bytes that are not HTTP, and for what got past the application."""
        request_id = request_id_of(None)
        unreadable = "what was sent can't be read as an HTTP request"
        if isinstance(exc, LineTooLong):
            unreadable += f": its first line or a header has more than {exc.args[1]} bytes"
        refusal = Refusal(status, unreadable, [Fault("", unreadable)])
        if isinstance(exc, ContentEncodingError) and "install" in exc.message:  # else the application refuses it
            refusal = other_coding()
            status = refusal.status
        if status < 500:  # what got past the application was counted on its way
            self._edge.count_unread(status)
        level = logging.ERROR if status >= 500 else logging.INFO
        logger.log(level, "a request could not be read", exc_info=exc, extra={"status": status})
        if request.writer.output_size > 0:
            raise ConnectionError("a part of an answer was sent already")
        response = problem_response(refusal if status < 500 else exc or RuntimeError(), request_id)
        mark(response.headers, request_id)
        response.force_close()
        return response
