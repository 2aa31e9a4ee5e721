"""Offers the exporter `otlp`: sends OpenTelemetry metrics over HTTP to a collector.

Everything is cumulative since the service began, so a push that fails loses nothing: the next one tells it again. All
workers of a service are one instance to the collector.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from inquiry_svc.contracts import Exporter, Host, Provider, PushingExporter
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.settings import Seconds, Secret


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    url: str = "http://127.0.0.1:4318/v1/metrics"
    headers: Secret = ""
    """`name=value`, several with commas between them; for a collector that wants a key."""
    period_s: Seconds = 15.0
    timeout_s: Seconds = 5.0
    service_name: str = "inquiry-svc"
    instance_id: str = ""
    """Tells this service from others of the name; the machine's name unless set."""


@asynccontextmanager
async def open_otlp(settings: OtlpSettings, host: Host) -> AsyncIterator[PushingExporter]:
    """Connects with the first push, so that a collector that is away keeps nobody from starting."""
    from inquiry_svc_plugins.exporters.otlp.exporter import opened

    async with opened(settings) as exporter:
        yield exporter


@hookimpl
def register_exporters() -> Iterable[Provider[Exporter]]:
    return [Provider("otlp", open_otlp, OtlpSettings, extra="otlp")]
