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
