"""What happened between two snapshots, as plain numbers: for receivers that know counts and levels but no histograms.

A counter's number is what was added since; where nothing was, there is none. A gauge's is its level. A histogram comes
as counts of its buckets (`<name>_bucket` with a label `le`), `<name>_count` and `<name>_sum`, as in Prometheus.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import quote

from inquiry_svc.metrics import Distribution, Family, Histogram, Metric, Snapshot


@dataclass(frozen=True, slots=True)
class Change:
    metric: Metric
    name: str
    labels: Mapping[str, str]
    value: float
    is_level: bool
    """A gauge's level, rather than what was added to a count."""


class Before:
    """A snapshot to look up what a series was in it: 0 where it was not there."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._families = {family.metric.name: family for family in snapshot}

    def number(self, family: Family, labels: tuple[str, ...]) -> float:
        value = self._value(family, labels)
        return 0.0 if value is None or isinstance(value, Distribution) else value

    def distribution(self, family: Family, labels: tuple[str, ...], bounds: int) -> Distribution:
        """`bounds` is how many there are, infinity among them."""
        value = self._value(family, labels)
        if isinstance(value, Distribution) and len(value.cumulative) == bounds:
            return value
        return Distribution((0,) * bounds, 0.0)

    def _value(self, family: Family, labels: tuple[str, ...]) -> float | Distribution | None:
        known = self._families.get(family.metric.name)
        return known.values.get(labels) if known is not None and known.metric.kind == family.metric.kind else None


def changes(snapshot: Snapshot, sent: Snapshot) -> Iterator[Change]:
    """Only finite numbers: what is infinite, or not a number, has no place in these receivers."""
    before = Before(sent)
    for family in snapshot:
        for labels in family.values:
            for change in _of_series(family, labels, before):
                if math.isfinite(change.value) and (change.is_level or change.value):
                    yield change


def plain(text: str, *, at_most: int) -> str:
    """Printable ASCII without a space or a separator, another for each other text: the rest is percent-encoded.

    "" is %; of what is too long the end gives way to a digest.
    """
    written = quote(text, safe="/:{}=+()", errors="backslashreplace") or "%"
    if len(written) <= at_most:
        return written
    digest = blake2b(text.encode(errors="backslashreplace"), digest_size=8).hexdigest()
    return f"{written[: at_most - len(digest) - 1]}~{digest}"


def _of_series(family: Family, values: tuple[str, ...], before: Before) -> Iterator[Change]:
    metric, value = family.metric, family.values[values]
    labels = dict(zip(metric.labels, values, strict=True))
    if isinstance(value, Distribution):
        yield from _of_distribution(metric, labels, value, before.distribution(family, values, len(value.cumulative)))
    elif metric.kind == "gauge":
        yield Change(metric, metric.name, labels, value, is_level=True)
    else:
        yield Change(metric, metric.name, labels, value - before.number(family, values), is_level=False)


def _of_distribution(
    metric: Metric, labels: Mapping[str, str], now: Distribution, before: Distribution
) -> Iterator[Change]:
    assert isinstance(metric, Histogram)
    added = [count - counted for count, counted in zip(now.cumulative, before.cumulative, strict=True)]
    for bound, count in zip([*map(float, metric.buckets), math.inf], added, strict=True):
        le = repr(bound) if math.isfinite(bound) else "+Inf"
        yield Change(metric, f"{metric.name}_bucket", {**labels, "le": le}, count, is_level=False)
    yield Change(metric, f"{metric.name}_count", labels, added[-1], is_level=False)
    yield Change(metric, f"{metric.name}_sum", labels, now.sum - before.sum, is_level=False)
