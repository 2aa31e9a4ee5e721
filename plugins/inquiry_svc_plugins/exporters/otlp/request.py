"""A snapshot as an OpenTelemetry export request: counters as monotonic sums, all of it cumulative."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from inquiry_svc import metrics
from inquiry_svc.release import VERSION

_CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_UNITS: Final[Mapping[str, str]] = {"seconds": "s", "bytes": "By", "": ""}


def encoded(snapshot: metrics.Snapshot, *, service_name: str, instance_id: str) -> bytes:
    now_ns = time.time_ns()
    resource = {"service.name": service_name, "service.version": VERSION, "service.instance.id": instance_id}
    scope = ScopeMetrics(
        scope=InstrumentationScope(name="inquiry_svc", version=VERSION),
        metrics=[_metric(family, now_ns) for family in snapshot],
    )
    of_service = ResourceMetrics(resource=Resource(attributes=_attributes(resource.items())), scope_metrics=[scope])
    request: bytes = ExportMetricsServiceRequest(resource_metrics=[of_service]).SerializeToString()
    return request


def _metric(family: metrics.Family, now_ns: int) -> Metric:
    declared = family.metric
    found = Metric(name=declared.name, description=_utf8(declared.help), unit=_UNITS[declared.unit])
    if isinstance(declared, metrics.Histogram):
        distributions = [_distribution(family, declared.buckets, labels, now_ns) for labels in family.values]
        found.histogram.CopyFrom(Histogram(data_points=distributions, aggregation_temporality=_CUMULATIVE))
        return found
    points = [_number(family, labels, value, now_ns) for labels, value in family.values.items()]
    if declared.kind == "counter":
        found.sum.CopyFrom(Sum(data_points=points, aggregation_temporality=_CUMULATIVE, is_monotonic=True))
    else:
        found.gauge.CopyFrom(Gauge(data_points=points))
    return found


def _number(
    family: metrics.Family, labels: tuple[str, ...], value: float | metrics.Distribution, now_ns: int
) -> NumberDataPoint:
    assert not isinstance(value, metrics.Distribution)
    return NumberDataPoint(
        attributes=_attributes(zip(family.metric.labels, labels, strict=True)),
        start_time_unix_nano=_start_ns(family) if family.metric.kind == "counter" else 0,
        time_unix_nano=now_ns,
        as_double=value,
    )


def _distribution(
    family: metrics.Family, bounds: tuple[float, ...], labels: tuple[str, ...], now_ns: int
) -> HistogramDataPoint:
    value = family.values[labels]
    assert isinstance(value, metrics.Distribution)
    below = (0, *value.cumulative)
    return HistogramDataPoint(
        attributes=_attributes(zip(family.metric.labels, labels, strict=True)),
        start_time_unix_nano=_start_ns(family),
        time_unix_nano=now_ns,
        count=value.cumulative[-1],
        sum=value.sum,
        bucket_counts=[count - lower for count, lower in zip(value.cumulative, below, strict=False)],
        explicit_bounds=bounds,
    )


def _start_ns(family: metrics.Family) -> int:
    return int(family.since * 1_000_000_000)


def _attributes(pairs: Iterable[tuple[str, str]]) -> list[KeyValue]:
    return [KeyValue(key=name, value=AnyValue(string_value=_utf8(value))) for name, value in pairs]


def _utf8(text: str) -> str:
    """A lone surrogate, which UTF-8 can't write, is written as Python would."""
    return text.encode(errors="backslashreplace").decode()
