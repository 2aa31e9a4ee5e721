"""What changed as the data of PutMetricData, cut into calls that keep within CloudWatch's limits.

A histogram's observations are put as one value for each bucket, its upper bound, and how often it was observed since:
percentiles read as the bound of their bucket, and what was above the last bound as just above it. The true sum of the
observations is a metric beside it, `<name>_sum`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from inquiry_svc.metrics import Distribution, Family, Histogram, Metric, Snapshot
from inquiry_svc_plugins.exporters.changes import Before
from inquiry_svc_plugins.exporters.cloudwatch.limits import (
    BYTES_PER_CALL,
    DATA_PER_CALL,
    VALUES_PER_DATUM,
    as_taken,
    dimensions,
    takes,
    unit_of,
)

Datum: TypeAlias = dict[str, Any]


def calls(snapshot: Snapshot, sent: Snapshot, now: datetime) -> Iterator[list[Datum]]:
    """The data of each call."""
    waiting: list[Datum] = []
    size_bytes = 0
    for datum in data(snapshot, sent, now):
        more_bytes = _size_bytes(datum)
        if waiting and (len(waiting) == DATA_PER_CALL or size_bytes + more_bytes > BYTES_PER_CALL):
            yield waiting
            waiting, size_bytes = [], 0
        waiting.append(datum)
        size_bytes += more_bytes
    if waiting:
        yield waiting


def data(snapshot: Snapshot, sent: Snapshot, now: datetime) -> Iterator[Datum]:
    before = Before(sent)
    for family in snapshot:
        for labels in family.values:
            yield from _of_series(family, labels, before, now)


def _of_series(family: Family, labels: tuple[str, ...], before: Before, now: datetime) -> Iterator[Datum]:
    metric, value = family.metric, family.values[labels]
    told = dimensions(zip(metric.labels, labels, strict=True))
    common = {"Dimensions": [{"Name": name, "Value": told[name]} for name in told], "Timestamp": now}
    if isinstance(value, Distribution):
        assert isinstance(metric, Histogram)
        earlier = before.distribution(family, labels, len(value.cumulative))
        yield from _of_distribution(metric, value, earlier, common)
    elif metric.kind == "gauge":
        yield from _single(metric, metric.name, value, common)
    elif added := value - before.number(family, labels):
        yield from _single(metric, metric.name, added, common)


def _of_distribution(
    metric: Histogram, now: Distribution, before: Distribution, common: Mapping[str, Any]
) -> Iterator[Datum]:
    """Nothing where nothing was observed."""
    counts = _each(now.cumulative, before.cumulative)
    found = [(value, count) for value, count in zip(representatives(metric), counts, strict=True) if count]
    for first in range(0, len(found), VALUES_PER_DATUM):
        values, occurrences = zip(*found[first : first + VALUES_PER_DATUM], strict=True)
        yield {
            "MetricName": metric.name,
            **common,
            "Unit": unit_of(metric, metric.name),
            "Values": list(map(as_taken, values)),
            "Counts": list(map(float, occurrences)),
        }
    if found:
        yield from _single(metric, f"{metric.name}_sum", now.sum - before.sum, common)


def representatives(metric: Histogram) -> list[float]:
    """The value that stands for each bucket's observations."""
    bounds = list(map(float, metric.buckets))
    return [*bounds, math.nextafter(bounds[-1], math.inf)]


def _each(now: tuple[int, ...], before: tuple[int, ...]) -> list[int]:
    """How many fell into each bucket since, from counts up to each bound."""
    added = [count - counted for count, counted in zip(now, before, strict=True)]
    return [count - lower for count, lower in zip(added, [0, *added], strict=False)]


def _single(metric: Metric, name: str, value: float, common: Mapping[str, Any]) -> Iterator[Datum]:
    if takes(value):
        yield {"MetricName": name, **common, "Unit": unit_of(metric, name), "Value": as_taken(value)}


def _size_bytes(datum: Datum) -> int:
    """At most, in the widest of the protocols that it may be sent in: each member with its path."""
    texts = sum(len(each["Name"]) + 3 * len(each["Value"]) + 120 for each in datum["Dimensions"])
    return 400 + texts + 160 * len(datum.get("Values", ()))
