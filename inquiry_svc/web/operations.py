"""Handlers for those who run the service: totals, health, metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from aiohttp import web

from inquiry_svc.contracts import ScrapedExporter
from inquiry_svc.web import schemas
from inquiry_svc.web.app_keys import SERVICE
from inquiry_svc.web.incoming import read_query
from inquiry_svc.web.outgoing import health_out, json_response


async def stats(request: web.Request) -> web.Response:
    query = read_query(request, schemas.StatsQuery)
    now = datetime.now(UTC)
    found = await request.app[SERVICE].store.stats(since=now - timedelta(days=query.days), now=now)
    return json_response(schemas.StatsOut(days=query.days, **dataclasses.asdict(found)))


async def health(request: web.Request) -> web.Response:
    report = await request.app[SERVICE].health.ask()
    return json_response(health_out(report), status=503 if report.status == "unhealthy" else 200)


async def live(request: web.Request) -> web.Response:
    """The event loop turns: that is all an orchestrator should restart for."""
    return json_response(schemas.ProbeOut(status="live"))


async def ready(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    if service.stopping and not service.handing_over:
        return json_response(schemas.ProbeOut(status="stopping"), status=503)
    report = await service.health.ask()
    if report.status == "unhealthy":
        return json_response(schemas.ProbeOut(status="unhealthy"), status=503)
    return json_response(schemas.ProbeOut(status="ready"))


async def metrics(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    if not service.exporters:
        raise web.HTTPNotFound
    exporter = _asked_for(request.headers.get("Accept", ""), list(service.exporters.values()))
    page = await exporter.render(await service.snapshot())
    return web.Response(body=page, headers={"Content-Type": exporter.content_type, "Vary": "Accept"})


def _asked_for(accept: str, exporters: Sequence[ScrapedExporter]) -> ScrapedExporter:
    """Of the first media type named that there is (scrapers name first what they like best); else the first chosen."""
    for wanted in map(_media_type, accept.split(",")):
        for exporter in exporters:
            if _media_type(exporter.content_type) == wanted:
                return exporter
    return exporters[0]


def _media_type(text: str) -> str:
    """Without its parameters."""
    return text.partition(";")[0].strip().lower()
