"""Posts each request to the collector, and takes it at its word: a part that it rejects is a push that failed."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc.metrics import Snapshot
from inquiry_svc_plugins.exporters.otlp import OtlpSettings
from inquiry_svc_plugins.exporters.otlp.request import encoded


class OtlpExporter:
    def __init__(self, settings: OtlpSettings, client: aiohttp.ClientSession) -> None:
        self.period_s = settings.period_s
        self._settings = settings
        self._client = client
        self._instance_id = settings.instance_id or socket.gethostname()

    async def push(self, snapshot: Snapshot, sent: Snapshot) -> None:
        body = await asyncio.to_thread(self._body, snapshot)
        try:
            async with self._client.post(self._settings.url, data=body, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise Unavailable(f"the collector answered {answer.status}")
                told = ExportMetricsServiceResponse.FromString(await answer.read())
        except (aiohttp.ClientError, TimeoutError, DecodeError) as error:
            raise Unavailable("the collector can't be reached") from error
        if rejected := told.partial_success.rejected_data_points:
            raise Unavailable(f"the collector rejected {rejected} data points")

    def _body(self, snapshot: Snapshot) -> bytes:
        request = encoded(snapshot, service_name=self._settings.service_name, instance_id=self._instance_id)
        return gzip.compress(request, compresslevel=1)


@asynccontextmanager
async def opened(settings: OtlpSettings) -> AsyncIterator[OtlpExporter]:
    """Raises `ConfigurationError` for headers that are none."""
    headers = {
        **_headers(settings.headers),
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "gzip",
    }
    timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as client:
        yield OtlpExporter(settings, client)


def _headers(text: str) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isascii() or not part.isprintable():
            raise ConfigurationError('[exporters.otlp] headers can\'t be ***: write "name=value,other=value"')
        headers[name.strip()] = value.strip()
    return headers
