"""aiohttp's protocol for one connection, with answers of our form where no request could be read or handled at all."""

from __future__ import annotations

import logging

from aiohttp import web

from inquiry_svc.intake.strict_json import Fault
from inquiry_svc.web.edge import mark, new_request_id
from inquiry_svc.web.incoming import Refusal
from inquiry_svc.web.problems import problem_response

logger = logging.getLogger(__name__)


class HttpProtocol(web.RequestHandler):
    """What happens to a request is the application's; what is no request ends here."""

    __slots__ = ()

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, and has answered all before."""
        waits = self._waiter is not None and not self._waiter.done()
        return waits and not (self._messages or self._upgraded or self._close or self._force_close)

    def put_off_closing(self) -> None:
        """Begin anew to count for how long the connection is idle."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer and close. Called by aiohttp for bytes that are not HTTP, and for what got past the application."""
        request_id = new_request_id()
        level = logging.ERROR if status >= 500 else logging.INFO
        logger.log(level, "a request could not be read", exc_info=exc, extra={"status": status})
        if request.writer.output_size > 0:
            raise ConnectionError("a part of an answer was sent already")
        unreadable = "what was sent can't be read as an HTTP request"
        refusal = Refusal(status, unreadable, [Fault("", unreadable)])
        response = problem_response(refusal if status < 500 else exc or RuntimeError(), request_id)
        mark(response.headers, request_id)
        response.force_close()
        return response
