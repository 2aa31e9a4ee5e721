"""An OpenTelemetry collector for a test: decodes what it gets, and answers as it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from inquiry_svc.testing.exporters import Sample, sample_key


class Collector:
    """Answers as it is told to, and keeps the last request."""

    def __init__(self) -> None:
        self.request = ExportMetricsServiceRequest()
        self.headers: Mapping[str, str] = {}
        self.status = 200
        self.rejected = 0
        self.requests = 0

    async def take(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.headers = dict(request.headers)
        body = await request.read()  # aiohttp has undone the compression
        self.request = ExportMetricsServiceRequest.FromString(body)
        answer = ExportMetricsServiceResponse()
        answer.partial_success.rejected_data_points = self.rejected
        return web.Response(status=self.status, body=answer.SerializeToString())

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
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield found, f"http://127.0.0.1:{runner.addresses[0][1]}/v1/metrics"
    finally:
        await runner.cleanup()


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
