"""The aiohttp application: the route table, the plugins' routes and middlewares, and the edge around all of them."""

from __future__ import annotations

from aiohttp import HttpVersion11, web

from inquiry_svc.catalogue import METHODS
from inquiry_svc.intake.checking import MAX_BODY_BYTES
from inquiry_svc.plugins import asked
from inquiry_svc.service import Service
from inquiry_svc.web import documentation
from inquiry_svc.web.edge import Edge
from inquiry_svc.web.keys import LIMITS, SERVICE
from inquiry_svc.web.receipt import Receipts
from inquiry_svc.web.routes import ENDPOINTS
from inquiry_svc.web.traced import TracedRequests


def build_app(service: Service, receipts: Receipts) -> web.Application:
    """An application that serves `service`, which must stay open as long, on connections that `receipts` watches."""
    settings = service.settings
    edge = Edge(service, receipts, settings.logging)
    inner = [each for _, found in asked(service.manager, "register_middlewares", service=service) for each in found]
    # Some versions of aiohttp count the limit itself as too large; the interface allows it.
    app = web.Application(middlewares=[edge.middleware, *inner], client_max_size=MAX_BODY_BYTES + 1)
    app.on_response_prepare.append(edge.mark)
    if service.tracer is not None:
        traced = TracedRequests(service.tracer)
        app.middlewares.insert(0, traced.middleware)
        app.on_response_prepare.append(traced.mark)
    app[SERVICE] = service
    app[LIMITS] = settings.server
    app[documentation.DOCUMENT] = documentation.openapi_document(ENDPOINTS)
    app.router.add_routes(
        [web.route(each.method, each.path, each.handler, expect_handler=_expect) for each in ENDPOINTS]
    )
    app.router.add_get("/docs", documentation.page)
    app.router.add_get("/docs/{name}", documentation.asset)
    for _, routes in asked(service.manager, "register_routes", service=service):
        app.router.add_routes(list(routes))
    _begin_counting(app, edge)
    return app


def _begin_counting(app: web.Application, edge: Edge) -> None:
    """Every answer that a route declares, and 500 for each: that is 5 to 10 series of one counter a route."""
    declared = {(each.method, each.path): (*each.answers, *each.problems) for each in ENDPOINTS}
    for route in app.router.routes():
        if route.resource is not None and route.method in METHODS and route.method != "HEAD":
            endpoint = route.resource.canonical
            edge.begin_with(route.method, endpoint, (*declared.get((route.method, endpoint), (200,)), 500))


async def _expect(request: web.Request) -> None:
    """aiohttp's own refuses other expectations before the edge is reached; HTTP allows to pass over them."""
    if request.headers["Expect"].lower() == "100-continue" and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
