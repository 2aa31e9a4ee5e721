"""The aiohttp applications: the route table, the plugins' routes and middlewares, and the edge around all of them.

There is one, or two where `admin_port` is set: what needs the scopes metrics and admin is then in the second alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import HttpVersion11, web

from inquiry_svc.api_keys import KeysInUse, Scope, scope_needed
from inquiry_svc.catalogue import METHODS
from inquiry_svc.intake.checking import MAX_BODY_BYTES
from inquiry_svc.plugins import asked
from inquiry_svc.rate_limits import RateLimits
from inquiry_svc.service import Service
from inquiry_svc.settings import Settings
from inquiry_svc.web import documentation
from inquiry_svc.web.access import Access
from inquiry_svc.web.app_keys import SERVER, SERVICE
from inquiry_svc.web.cross_origin import CrossOrigin
from inquiry_svc.web.edge import Edge
from inquiry_svc.web.lane import Lane
from inquiry_svc.web.receipt import Receipts
from inquiry_svc.web.routes import ENDPOINTS
from inquiry_svc.web.senders import SENDERS, Senders
from inquiry_svc.web.traced import TracedRequests

_APART: Final[tuple[Scope, ...]] = ("metrics", "admin")
"""What is served on `admin_port` where that is set."""


@dataclass(frozen=True, slots=True)
class _Served:
    """A route, and what a caller needs for it."""

    route: web.AbstractRouteDef
    scope: Scope | None
    apart: bool | None
    """Whether it is served on `admin_port`; None: here as there."""


class Apps:
    """The applications of one service, which must stay open as long, on connections that `receipts` watches."""

    def __init__(self, service: Service, receipts: Receipts, keys: KeysInUse | None) -> None:
        """Raises `ConfigurationError` for origins that are none."""
        self._service = service
        self._keys = keys
        self._settings = service.settings
        self.edge = Edge(service, receipts, self._settings.logging)
        self._limits = RateLimits(self._settings.limits, service.windows) if self._settings.limits.requests else None
        is_limited = self._settings.limits.per_sender > 0
        self._senders = Senders(self._settings.limits, service.windows, service.metrics) if is_limited else None
        origins = self._settings.server.allowed_origins
        self._cross_origin = CrossOrigin(origins) if origins else None
        self._plugins_middlewares = [
            each for _, found in asked(service.manager, "register_middlewares", service=service) for each in found
        ]
        routes = [*_own_routes(self._settings), *_plugins_routes(service)]
        is_apart = self._settings.server.admin_port is not None
        self._scopes: dict[web.AbstractRoute, Scope | None] = {}
        self._access = Access(self._scopes, keys, self._limits, service.metrics) if keys or self._limits else None
        is_straight = not (service.tracer or self._cross_origin or self._plugins_middlewares)
        self.lane = Lane(service, self.edge, self._access, self._senders) if is_straight else None
        """For the port of the main application, where nothing that it doesn't know stands before the handlers."""
        self.main = self._app(each for each in routes if not (is_apart and each.apart))
        self.admin = self._app(each for each in routes if each.apart is not False) if is_apart else None

    def _app(self, served: Iterable[_Served]) -> web.Application:
        # Some versions of aiohttp count the limit itself as too large; the interface allows it.
        app = web.Application(client_max_size=MAX_BODY_BYTES + 1)
        app[SERVICE] = self._service
        app[SERVER] = self._settings.server
        app[SENDERS] = self._senders
        app[documentation.DOCUMENT] = documentation.openapi_document(ENDPOINTS)
        self._scopes.update(
            (route, each.scope)
            for each in served
            for added in app.router.add_routes([each.route])
            for route in added.resource or ()  # HEAD comes with GET, and is not named
            if route.handler == added.handler
        )
        self._surround(app)
        self._begin_watching(app)
        return app

    def _surround(self, app: web.Application) -> None:
        """Outermost first."""
        service = self._service
        around: list[TracedRequests | Edge | CrossOrigin | Access] = [self.edge]
        if service.tracer is not None:
            around.insert(0, TracedRequests(service.tracer))
        if self._cross_origin is not None:
            around.append(self._cross_origin)
        if self._access is not None:
            around.append(self._access)
        for each in around:
            app.middlewares.append(each.middleware)
            app.on_response_prepare.append(each.mark)
        app.middlewares.extend(self._plugins_middlewares)

    def _begin_watching(self, app: web.Application) -> None:
        """Every answer that a route declares, and 500 for each: that is 5 to 10 series of one counter a route."""
        refusals = (*((401, 403) if self._keys else ()), *((429,) if self._limits or self._senders else ()))
        declared = {(each.method, each.path): each for each in ENDPOINTS}
        for route in app.router.routes():
            if route.resource is not None and route.method in METHODS and route.method != "HEAD":
                path = route.resource.canonical
                found = declared.get((route.method, path))
                answers = (200,) if found is None else (*found.answers, *found.problems)
                more = refusals if found is not None and found.scope is not None else ()
                self.edge.begin_with(route.method, path, {*answers, *more, 500})
                if found is not None and found.audited:
                    self.edge.audited[route] = found.handler.__name__


def _own_routes(settings: Settings) -> Iterable[_Served]:
    for each in ENDPOINTS:
        route = web.route(each.method, each.path, each.handler, expect_handler=_expect)
        is_open = each.scope == "metrics" and settings.auth.open_metrics
        apart = None if "/health" in each.path else each.scope in _APART
        yield _Served(route, None if is_open else each.scope, apart)
    yield _Served(web.get("/docs", documentation.page), None, apart=False)
    yield _Served(web.get("/docs/{name}", documentation.asset), None, apart=False)


def _plugins_routes(service: Service) -> Iterable[_Served]:
    for _, routes in asked(service.manager, "register_routes", service=service):
        for route in routes:
            scope = scope_needed(getattr(route, "handler", None))
            yield _Served(route, scope, scope in _APART)


async def _expect(request: web.Request) -> None:
    """aiohttp's own refuses other expectations before the edge is reached; HTTP allows to pass over them."""
    if request.headers["Expect"].lower() == "100-continue" and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
