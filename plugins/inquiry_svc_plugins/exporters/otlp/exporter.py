"""Sends each request to the collector, and takes it at its word: a part that it rejects is a push that failed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from inquiry_svc.errors import Unavailable
from inquiry_svc.metrics import Snapshot
from inquiry_svc_plugins.exporters.otlp import OtlpSettings
from inquiry_svc_plugins.exporters.otlp.request import encoded
from inquiry_svc_plugins.otlp_collector import Collector, open_collector


class OtlpExporter:
    def __init__(self, settings: OtlpSettings, collector: Collector) -> None:
        self.period_s = settings.period_s
        self._service_name = settings.service_name
        self._instance_id = settings.instance_id or socket.gethostname()
        self._collector = collector

    async def push(self, snapshot: Snapshot, sent: Snapshot) -> None:
        names = {"service_name": self._service_name, "instance_id": self._instance_id}
        answer = await self._collector.take(await asyncio.to_thread(encoded, snapshot, **names))
        try:
            told = ExportMetricsServiceResponse.FromString(answer)
        except DecodeError as error:
            raise Unavailable("the collector's answer can't be read") from error
        if rejected := told.partial_success.rejected_data_points:
            raise Unavailable(f"the collector rejected {rejected} data points")


@asynccontextmanager
async def opened(settings: OtlpSettings) -> AsyncIterator[OtlpExporter]:
    """Raises `ConfigurationError` for headers that are none."""
    async with open_collector(
        settings.url, settings.headers, timeout_s=settings.timeout_s, section="exporters.otlp"
    ) as collector:
        yield OtlpExporter(settings, collector)
