"""Requests as spans: the caller's trace is gone on with, and the answer says which one it was.

Only there when a tracer was chosen. What is said of a request follows OpenTelemetry's semantic conventions, but for its
path and query: a template can't quote anybody. Scrapes and health checks are no requests of anybody and left out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from inquiry_svc.catalogue import METHODS
from inquiry_svc.tracing import Attribute, Span, Tracer, begin_trace, traceresponse

_LEFT_OUT: Final = ("/metrics", "/api/v1/metrics", "/api/v1/health")
_SPAN: Final = web.RequestKey("span", Span)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TracedRequests:
    """A middleware for around the edge, so that its log lines and measurements are of the span too."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = None if resource is None else resource.canonical
        if route is not None and route.startswith(_LEFT_OUT):
            return await handler(request)
        method = request.method if request.method in METHODS else "_OTHER"
        name = f"{'HTTP' if method == '_OTHER' else method} {route or ''}".rstrip()
        with begin_trace(self._tracer, name, "server", _asked(request, method, route), caller=_caller(request)) as span:
            request[_SPAN] = span
            try:
                response = await handler(request)
            except web.HTTPException as elsewhere:  # the edge has answered all others
                response = elsewhere
            span.set("http.response.status_code", response.status)
            if response.status >= 500:
                span.fail(str(response.status))
        if isinstance(response, web.HTTPException):
            raise response
        return response

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Called by aiohttp for each answer, just before its headers are sent."""
        span = request.get(_SPAN)
        if span is not None:
            response.headers["traceresponse"] = traceresponse(span)


def _caller(request: web.Request) -> Mapping[str, str]:
    """A list that is split over several headers is one, by HTTP."""
    names = ("traceparent", "tracestate")
    return {name: ",".join(request.headers.getall(name)) for name in names if name in request.headers}


def _asked(request: web.Request, method: str, route: str | None) -> Mapping[str, Attribute]:
    version = f"{request.version.major}.{request.version.minor}"
    asked = {"http.request.method": method, "network.protocol.version": version, "url.scheme": "http"}
    return asked if route is None else {**asked, "http.route": route}
