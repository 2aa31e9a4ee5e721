"""An OpenTelemetry collector for a test: decodes what it gets, and answers as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from inquiry_svc.testing.exporters import Sample, sample_key


class Collector:
    """Answers as it is told to, and keeps the last request of metrics and every one of traces."""

    def __init__(self) -> None:
        self.request = ExportMetricsServiceRequest()
        self.headers: Mapping[str, str] = {}
        self.status = 200
        self.rejected = 0
        self.requests = 0
        self.traces: list[ExportTraceServiceRequest] = []
        self.open = asyncio.Event()
        """Cleared, it takes a request and does not answer."""
        self.open.set()

    async def take(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.headers = dict(request.headers)
        body = await request.read()  # aiohttp has undone the compression
        self.request = ExportMetricsServiceRequest.FromString(body)
        answer = ExportMetricsServiceResponse()
        answer.partial_success.rejected_data_points = self.rejected
        return web.Response(status=self.status, body=answer.SerializeToString())

    async def take_traces(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.headers = dict(request.headers)
        body = await request.read()
        await self.open.wait()
        if self.status == 200:
            self.traces.append(ExportTraceServiceRequest.FromString(body))
        return web.Response(status=self.status)

    def spans(self) -> list[Told]:
        """In the order in which they came."""
        return [
            Told(span, attributes_of(resource.resource.attributes))
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    async def until(self, holds: Callable[[list[Told]], bool]) -> list[Told]:
        """The spans, once they are so. Raises `TimeoutError`."""
        async with asyncio.timeout(20):
            while not holds(self.spans()):  # noqa: ASYNC110 (requests come as they come)
                await asyncio.sleep(0.01)
        return self.spans()

    def metrics(self) -> list[Metric]:
        return [
            metric
            for resource in self.request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    found = Collector()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/metrics", found.take)
    app.router.add_post("/v1/traces", found.take_traces)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield found, f"http://127.0.0.1:{runner.addresses[0][1]}/v1/metrics"
    finally:
        found.open.set()
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Told:
    """A span as the collector was told of it."""

    span: Span
    resource: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent_id(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def kind(self) -> str:
        name: str = Span.SpanKind.Name(self.span.kind)
        return name.removeprefix("SPAN_KIND_").lower()

    @property
    def failed(self) -> bool:
        return self.span.status.code == Status.STATUS_CODE_ERROR

    @property
    def attributes(self) -> Mapping[str, Any]:
        return attributes_of(self.span.attributes)

    @property
    def links(self) -> set[tuple[str, str]]:
        """Trace and span."""
        return {(link.trace_id.hex(), link.span_id.hex()) for link in self.span.links}

    @property
    def place(self) -> tuple[str, str]:
        """As a link to it has it."""
        return self.trace_id, self.span_id


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _plain(pair.value) for pair in pairs}


def _plain(value: AnyValue) -> Any:
    if value.HasField("array_value"):
        return [_plain(each) for each in value.array_value.values]
    return getattr(value, value.WhichOneof("value") or "")


def samples(metrics: Iterable[Metric]) -> dict[Sample, float]:
    found: dict[Sample, float] = {}

    def note(name: str, labels: Mapping[str, str], value: float) -> None:
        key = sample_key(name, labels)
        assert key not in found
        found[key] = value

    for metric in metrics:
        points: Iterable[Any] = getattr(metric, metric.WhichOneof("data") or "").data_points
        for point in points:
            labels = {each.key: each.value.string_value for each in point.attributes}
            if not metric.HasField("histogram"):
                note(metric.name, labels, point.as_double)
                continue
            assert point.count == sum(point.bucket_counts)
            so_far = 0
            for bound, count in zip([*point.explicit_bounds, float("inf")], point.bucket_counts, strict=True):
                so_far += count
                note(f"{metric.name}_bucket", {**labels, "le": str(bound)}, so_far)
            note(f"{metric.name}_count", labels, point.count)
            note(f"{metric.name}_sum", labels, point.sum)
    return found
