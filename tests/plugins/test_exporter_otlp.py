"""The exporter `otlp` against a collector that decodes what it gets, and against one that is ill."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from inquiry_svc.contracts import Host, PushingExporter
from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc.metrics import Counter, Gauge, Histogram, Metrics, Snapshot
from inquiry_svc.testing.exporters import ExporterContract, OpenReceiver, Receiver, Sample, samples_of
from inquiry_svc.testing.running import running_service
from inquiry_svc_plugins.exporters.otlp import OtlpSettings, open_otlp
from tests.servers import free_port
from tests.servers.otlp import Collector, collector, samples


class OtlpReceiver:
    adds_up = False
    knows_infinity = True

    def __init__(self, exporter: PushingExporter, collector: Collector) -> None:
        self._exporter = exporter
        self._collector = collector

    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        await self._exporter.push(snapshot, sent)

    async def understood(self) -> Mapping[Sample, float]:
        return samples(self._collector.metrics())

    def written(self, text: str) -> str:
        return text


class TestOtlpExporter(ExporterContract):
    @pytest.fixture
    def open_receiver(self, tmp_path: Path) -> OpenReceiver:
        @asynccontextmanager
        async def receiving() -> AsyncIterator[Receiver]:
            async with (
                collector() as (found, url),
                open_otlp(OtlpSettings(url), Host(tmp_path, Metrics())) as exporter,
            ):
                yield OtlpReceiver(exporter, found)

        return receiving


async def test_kinds_units_and_beginnings_are_told_and_all_is_cumulative(tmp_path: Path) -> None:
    before_ns = time.time_ns()
    metrics = Metrics(
        [
            Counter("sent_bytes_total", "Sent."),
            Gauge("level", "Level."),
            Histogram("wait_seconds", "Waited.", buckets=(0.5, 2)),
        ]
    )
    async with collector() as (found, url):
        settings = OtlpSettings(url, instance_id="one", headers="x-key=a=b, X-Other=c")
        async with open_otlp(settings, Host(tmp_path, Metrics())) as exporter:
            await exporter.push(metrics.snapshot(), [])
    sent, level, wait = found.metrics()
    assert (sent.name, sent.description, sent.unit, sent.sum.is_monotonic) == ("sent_bytes_total", "Sent.", "By", True)
    assert (level.unit, wait.unit) == ("", "s")
    cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert sent.sum.aggregation_temporality == wait.histogram.aggregation_temporality == cumulative
    assert list(wait.histogram.data_points[0].explicit_bounds) == [0.5, 2]
    for point in (sent.sum.data_points[0], wait.histogram.data_points[0]):
        assert before_ns - 10**6 <= point.start_time_unix_nano <= point.time_unix_nano <= time.time_ns()
    resource = {each.key: each.value.string_value for each in found.request.resource_metrics[0].resource.attributes}
    assert (resource["service.name"], resource["service.instance.id"]) == ("inquiry-svc", "one")
    assert (found.headers["x-key"], found.headers["X-Other"]) == ("a=b", "c")
    assert found.headers["Content-Type"] == "application/x-protobuf"
    assert found.headers["Content-Encoding"] == "gzip"


async def test_a_collector_that_is_ill_or_rejects_a_part_or_is_gone_is_told_of(tmp_path: Path) -> None:
    host, snapshot = Host(tmp_path, Metrics()), Metrics([Gauge("level", "Level.")]).snapshot()
    async with collector() as (found, url), open_otlp(OtlpSettings(url), host) as exporter:
        await exporter.push(snapshot, [])
        found.status = 503
        with pytest.raises(Unavailable, match="answered 503"):
            await exporter.push(snapshot, [])
        found.status, found.rejected = 200, 7
        with pytest.raises(Unavailable, match="rejected 7 data points"):
            await exporter.push(snapshot, [])
    gone = OtlpSettings(f"http://127.0.0.1:{free_port()}/v1/metrics")
    async with open_otlp(gone, host) as exporter:
        with pytest.raises(Unavailable, match="can't be reached"):
            await exporter.push(snapshot, [])


@pytest.mark.parametrize("headers", ["key", "key=value,other", "k\n=v", "schlüssel=1"])
async def test_headers_that_are_none_stop_the_start_and_are_not_shown(headers: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="headers can't be \\*\\*\\*"):
        async with open_otlp(OtlpSettings(headers=headers), Host(tmp_path, Metrics())):
            pass


async def test_a_collector_that_is_away_costs_the_service_nothing_and_is_counted() -> None:
    settings = {
        "exporters.providers": ("aioprometheus", "otlp"),
        "exporters.otlp.url": f"http://127.0.0.1:{free_port()}/v1/metrics",
        "exporters.otlp.period_s": 0.02,
    }
    failed = ("exporter_pushes_total", (("exporter", "otlp"), ("result", "failed")))
    async with running_service(settings) as running:
        value = 0.0
        while not value:
            async with running.client.get("/metrics") as answer:
                value = samples_of(await answer.read())[failed]
