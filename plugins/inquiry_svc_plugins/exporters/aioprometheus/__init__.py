"""Offers the exporter `aioprometheus`, the default: the Prometheus text page.

Rendering happens in a thread, because thousands of series would hold up the event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from inquiry_svc.contracts import Exporter, Host, NoSettings, Provider, ScrapedExporter
from inquiry_svc.hookspecs import hookimpl


@asynccontextmanager
async def open_aioprometheus(settings: NoSettings, host: Host) -> AsyncIterator[ScrapedExporter]:
    from inquiry_svc_plugins.exporters.aioprometheus.page import AioprometheusExporter

    yield AioprometheusExporter()


@hookimpl
def register_exporters() -> Iterable[Provider[Exporter]]:
    return [Provider("aioprometheus", open_aioprometheus)]
