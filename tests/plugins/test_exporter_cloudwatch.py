"""The exporter `cloudwatch`: through the log, and through the API of an AWS that moto plays, within AWS's limits."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.server import ThreadedMotoServer

from inquiry_svc.contracts import Host, PushingExporter
from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc.logs import JsonLines
from inquiry_svc.metrics import OPEN, Counter, Gauge, Histogram, Metrics, Snapshot
from inquiry_svc.testing.exporters import HOSTILE_TEXTS, ExporterContract, OpenReceiver, Receiver, Sample, sample_key
from inquiry_svc_plugins.exporters.changes import plain
from inquiry_svc_plugins.exporters.cloudwatch import CloudwatchSettings, open_cloudwatch
from inquiry_svc_plugins.exporters.cloudwatch.data import calls, data, representatives
from inquiry_svc_plugins.exporters.cloudwatch.log import documents
from tests.servers import free_port

REGION: Final = "eu-central-1"
NOW: Final = datetime.now(UTC)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """Where it is asked."""
    credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"}
    before = {name: os.environ.get(name) for name in credentials}
    os.environ.update(credentials)
    server = ThreadedMotoServer("127.0.0.1", port=free_port(), verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    finally:
        server.stop()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def stored() -> list[Any]:
    """Each datum that moto keeps, a value as often as it was counted."""
    found: list[Any] = get_backend("cloudwatch")[DEFAULT_ACCOUNT_ID][REGION].metric_data
    return found


class ApiReceiver:
    adds_up = True
    knows_infinity = False

    def __init__(self, exporter: PushingExporter) -> None:
        self._exporter = exporter
        self._levels: set[str] = set()
        self._bounds: dict[str, list[tuple[float, float]]] = {}

    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        for family in snapshot:
            metric = family.metric
            if isinstance(metric, Gauge):
                self._levels.add(metric.name)
            elif isinstance(metric, Histogram):
                bounds = [*map(float, metric.buckets), math.inf]
                self._bounds[metric.name] = list(zip(representatives(metric), bounds, strict=True))
        await self._exporter.push(snapshot, sent)

    async def understood(self) -> Mapping[Sample, float]:
        known: dict[Sample, float] = {}
        for datum in stored():
            labels = {each.name: each.value for each in datum.dimensions}
            assert len(labels) <= 30
            assert all(1 <= len(value) <= 1024 and value.isascii() and value.isprintable() for value in labels.values())
            for name, more, value in self._as_counted(datum.name, datum.value):
                key = sample_key(name, {**labels, **more})
                known[key] = value if datum.name in self._levels else known.get(key, 0.0) + value
        return known

    def _as_counted(self, name: str, value: float) -> Iterator[tuple[str, Mapping[str, str], float]]:
        if name not in self._bounds:
            yield name, {}, value
            return
        yield f"{name}_count", {}, 1
        for representative, bound in self._bounds[name]:
            yield f"{name}_bucket", {"le": str(bound)}, float(value <= representative)

    def written(self, text: str) -> str:
        return plain(text, at_most=1024)


class TestCloudwatchThroughTheApi(ExporterContract):
    @pytest.fixture
    def open_receiver(self, aws: str, tmp_path: Path) -> OpenReceiver:
        @asynccontextmanager
        async def receiving() -> AsyncIterator[Receiver]:
            stored().clear()
            settings = CloudwatchSettings(through="api", region=REGION, endpoint_url=aws)
            async with open_cloudwatch(settings, Host(tmp_path, Metrics())) as exporter:
                yield ApiReceiver(exporter)

        return receiving


class LogReceiver(logging.Handler):
    """Reads log lines as CloudWatch Logs does."""

    adds_up = True
    knows_infinity = False

    def __init__(self, exporter: PushingExporter) -> None:
        super().__init__()
        self._exporter = exporter
        self._known: dict[Sample, float] = {}
        self._levels: set[str] = set()
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        document = json.loads(self.format(record))
        assert abs(document["_aws"]["Timestamp"] - NOW.timestamp() * 1000) < 86_400_000
        [directive] = document["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "InquirySvc"
        assert 1 <= len(directive["Metrics"]) <= 100
        [dimensions] = directive["Dimensions"]
        assert len(dimensions) <= 30
        labels = {name: document[name] for name in dimensions}
        assert all(1 <= len(value) <= 1024 and value.isascii() and value.isprintable() for value in labels.values())
        for metric in directive["Metrics"]:
            value, key = document[metric["Name"]], sample_key(metric["Name"], labels)
            assert isinstance(value, int | float)
            assert metric["Unit"] in ("Seconds", "Bytes", "Count", "None")
            self._known[key] = value if metric["Name"] in self._levels else self._known.get(key, 0.0) + value

    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        self._levels |= {family.metric.name for family in snapshot if isinstance(family.metric, Gauge)}
        await self._exporter.push(snapshot, sent)

    async def understood(self) -> Mapping[Sample, float]:
        return self._known

    def written(self, text: str) -> str:
        return plain(text, at_most=1024)


class TestCloudwatchThroughTheLog(ExporterContract):
    @pytest.fixture
    def open_receiver(self, tmp_path: Path) -> OpenReceiver:
        @asynccontextmanager
        async def receiving() -> AsyncIterator[Receiver]:
            async with open_cloudwatch(CloudwatchSettings(), Host(tmp_path, Metrics())) as exporter:
                receiver = LogReceiver(exporter)
                logging.getLogger().addHandler(receiver)
                try:
                    yield receiver
                finally:
                    logging.getLogger().removeHandler(receiver)

        return receiving


# AWS's limits, which moto does not hold anybody to

WIDE: Final = Counter("wide_total", "Has many labels.", {f"label{number}": OPEN for number in range(29)})
WIDER: Final = Counter("wider_total", "Has too many.", {f"label{number}": OPEN for number in range(30)})
FINE: Final = Histogram("fine_seconds", "Has many buckets.", {"a": OPEN}, buckets=tuple(range(1, 400)))
NAMED: Final = Counter("named_total", "Its labels are names that a log line has.", {"name": OPEN, "message": OPEN})


def filled() -> Metrics:
    metrics = Metrics([WIDE, WIDER, FINE, NAMED])
    for number, text in zip(range(450), itertools.cycle(HOSTILE_TEXTS), strict=False):
        labels = {f"label{each}": text for each in range(29)}
        metrics.series(WIDE, **{**labels, "label0": str(number)}).inc()
        metrics.series(WIDER, **labels, label29=str(number)).inc()
        for value in range(0, 410, 10) if number % 9 else range(410):
            metrics.series(FINE, a=str(number)).observe(value)
    metrics.series(NAMED, name="a", message="b").inc()
    return metrics


def test_a_call_keeps_within_the_limits_of_data_values_dimensions_and_bytes() -> None:
    snapshot = [family for family in filled().snapshot() if family.metric is not WIDER]
    found = list(calls(snapshot, [], NOW))
    put = [datum for each in found for datum in each]
    assert put == list(data(snapshot, [], NOW)), "all of it, in order"
    assert len(found) > 1
    for each in found:
        assert len(each) <= 1000
        assert len(json.dumps(each, default=str)) <= 1_000_000
    for datum in put:
        assert len(datum["Dimensions"]) <= 30
        assert len(datum.get("Values", ())) == len(datum.get("Counts", ())) <= 150
        assert len(datum["MetricName"]) <= 255
    long = [datum for datum in put if datum["Dimensions"] == [{"Name": "a", "Value": "0"}] and "Values" in datum]
    assert [len(datum["Values"]) for datum in long] == [150, 150, 100]
    assert sum(sum(datum["Counts"]) for datum in long) == 410


async def test_what_has_too_many_labels_is_left_out_and_what_was_not_asked_for_too(aws: str, tmp_path: Path) -> None:
    for only, names in (
        ((), {"wide_total", "fine_seconds", "fine_seconds_sum", "named_total"}),
        (("named_total",), {"named_total"}),
    ):
        stored().clear()
        settings = CloudwatchSettings(through="api", region=REGION, endpoint_url=aws, only=only)
        async with open_cloudwatch(settings, Host(tmp_path, Metrics())) as exporter:
            await exporter.push(filled().snapshot(), [])
        assert {datum.name for datum in stored()} == names


def test_a_dimension_that_a_log_line_has_already_or_a_metric_is_called_gives_way() -> None:
    level = Gauge("colour", "A level with a label of its own name.", {"colour": OPEN, "level": OPEN})
    metrics = Metrics([NAMED, level])
    metrics.series(NAMED, name="a", message="b").inc()
    metrics.series(level, colour="red", level="high").set(7)
    named, coloured = documents(metrics.snapshot(), [], "Here", 1)
    assert named == {
        "_aws": {
            "Timestamp": 1,
            "CloudWatchMetrics": [
                {
                    "Namespace": "Here",
                    "Dimensions": [["name_", "message_"]],
                    "Metrics": [{"Name": "named_total", "Unit": "Count"}],
                }
            ],
        },
        "name_": "a",
        "message_": "b",
        "named_total": 1,
    }
    assert {key: value for key, value in coloured.items() if key != "_aws"} == {
        "colour_": "red",
        "level_": "high",
        "colour": 7,
    }


async def test_an_aws_that_refuses_or_is_gone_is_told_of(
    aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, host = Metrics([Gauge("level", "Level.")]).snapshot(), Host(tmp_path, Metrics())
    gone = CloudwatchSettings(through="api", region=REGION, endpoint_url=f"http://127.0.0.1:{free_port()}")
    async with open_cloudwatch(gone, host) as exporter:
        with pytest.raises(Unavailable, match="can't be asked"):
            await exporter.push(snapshot, [])
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="set region"):
        async with open_cloudwatch(CloudwatchSettings(through="api"), host):
            pass
