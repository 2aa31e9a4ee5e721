"""What pages of other origins may do from a browser (CORS): nothing, but for those that `allowed_origins` names.

A browser keeps an answer from a page unless the answer allows it, so silence denies. What a page may send all the same,
without asking first, is refused for its content type, or for its origin where nothing need be sent (`incoming`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

from inquiry_svc.errors import ConfigurationError

_SENT: Final = "Authorization, X-API-Key, Content-Type, Idempotency-Key, X-Request-ID"
_SHOWN: Final = "X-Request-ID, Location, Idempotency-Replayed, Retry-After, RateLimit, RateLimit-Policy"
_MAX_AGE_S: Final = 600
_ORIGIN: Final = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CrossOrigin:
    """There only where origins are allowed. Cookies never count, so answers need not say that they may be sent."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        """Raises `ConfigurationError` for what no browser calls an origin."""
        for each in allowed:
            if not _ORIGIN.fullmatch(each):
                raise ConfigurationError(
                    f"server.allowed_origins {each!r}: write scheme and host, https://desk.example.org"
                )
        self._allowed = frozenset(allowed)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answers what a browser asks beforehand, which comes without a key."""
        asks_beforehand = request.method == "OPTIONS" and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if not asks_beforehand or not self._is_allowed(request):
            return await handler(request)
        methods = getattr(request.match_info.http_exception, "allowed_methods", ())
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _SENT,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_MAX_AGE_S),
        }
        return web.Response(status=204, headers=headers)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Called by aiohttp for each answer, just before its headers are sent."""
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if self._is_allowed(request):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _SHOWN

    def _is_allowed(self, request: web.Request) -> bool:
        return request.headers.get(hdrs.ORIGIN) in self._allowed
