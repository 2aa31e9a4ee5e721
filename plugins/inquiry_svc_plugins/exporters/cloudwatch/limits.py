"""What CloudWatch takes, from its documentation of PutMetricData and of the embedded metric format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from inquiry_svc.metrics import Metric, Snapshot
from inquiry_svc_plugins.exporters.changes import plain

DATA_PER_CALL: Final = 1_000
BYTES_PER_CALL: Final = 900_000
"""1 MB is allowed; what is between is for what can't be foreseen of the encoding."""
VALUES_PER_DATUM: Final = 150
METRICS_PER_DOCUMENT: Final = 100
_DIMENSIONS: Final = 30
_CHARACTERS: Final = 1_024
_LARGEST: Final = 2.0**360
_SMALLEST: Final = 2.0**-360

_UNITS: Final[Mapping[str, str]] = {"seconds": "Seconds", "bytes": "Bytes"}


def fits(metric: Metric) -> bool:
    """A histogram's buckets need a dimension of their own."""
    return len(metric.labels) < _DIMENSIONS


def chosen(snapshot: Snapshot, only: Sequence[str]) -> Snapshot:
    """Those that were asked for and that CloudWatch can take."""
    return [family for family in snapshot if (not only or family.metric.name in only) and fits(family.metric)]


def takes(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= _LARGEST


def as_taken(value: float) -> float:
    """Numbers nearer to 0 than CloudWatch knows are 0."""
    return value if abs(value) >= _SMALLEST else 0.0


def dimensions(labels: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Values are printable ASCII and never empty there."""
    return {name: plain(value, at_most=_CHARACTERS) for name, value in labels}


def unit_of(metric: Metric, name: str) -> str:
    """`name` is the metric's own, or of a part of a histogram."""
    if metric.kind == "histogram" and name.endswith(("_bucket", "_count")):
        return "Count"
    return _UNITS.get(metric.unit, "Count" if metric.kind == "counter" else "None")
