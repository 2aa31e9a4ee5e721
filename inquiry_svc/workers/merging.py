"""Makes one snapshot of several processes': counters and histograms are added, others combined as they declare.

Pure functions. What a scrape once showed of a counter or a histogram never goes down: `retired` keeps what a dead
process had counted, and `never_below` takes away what adding floats in another order may differ by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import Final, TypeAlias

from inquiry_svc.metrics import (
    MAX_OPEN_SERIES,
    OPEN,
    OVERFLOW,
    Across,
    Counter,
    Distribution,
    Exemplar,
    Family,
    Gauge,
    Histogram,
    Metric,
    Snapshot,
)

Value: TypeAlias = float | Distribution
Labels: TypeAlias = tuple[str, ...]
Exemplars: TypeAlias = tuple[Exemplar | None, ...]


def merged(snapshots: Iterable[Snapshot]) -> Snapshot:
    """The numbers of all. A series that only some have is kept.

    Two processes may declare one name differently while plugins are being exchanged: the first declaration holds, and
    families that can't be added to it are left out.
    """
    alike: dict[str, list[Family]] = {}
    for family in (family for snapshot in snapshots for family in snapshot):
        others = alike.setdefault(family.metric.name, [])
        if not others or _shape(others[0].metric) == _shape(family.metric):
            others.append(family)
    return [_combined(families) for families in alike.values()]


def retired(before: Snapshot, dead: Snapshot) -> Snapshot:
    """What is left of a process that is over, added to what was left of others: what it alone counted.

    Past `MAX_OPEN_SERIES`, what the dead one counted goes to the overflow: each life may bring other open labels.
    """
    known = {family.metric.name: family.values for family in before}
    own = (family for family in dead if not _is_gauge(family) and across_of(family.metric) == "sum")
    left = [_capped(family, known.get(family.metric.name, {})) for family in own]
    return merged([before, left])


def never_below(snapshot: Snapshot, earlier: Snapshot) -> Snapshot:
    """The snapshot, with each counter and histogram that was higher, or began, in the earlier one as it was there."""
    known = {family.metric.name: family for family in earlier if not _is_gauge(family)}
    return [
        Family(family.metric, _raised(family.values, before.values), min(family.since, before.since))
        if (before := known.get(family.metric.name)) and _shape(before.metric) == _shape(family.metric)
        else family
        for family in snapshot
    ]


def across_of(metric: Metric) -> Across:
    return metric.across if isinstance(metric, Counter | Gauge) else "sum"


def _combined(families: Sequence[Family]) -> Family:
    metric = families[0].metric
    combine = _COMBINE[across_of(metric)]
    found: dict[Labels, list[Value]] = {}
    for family in families:
        for labels, value in family.values.items():
            found.setdefault(labels, []).append(value)
    values = {labels: each[0] if len(each) == 1 else combine(each) for labels, each in found.items()}
    return Family(metric, values, min(family.since for family in families))


def _shape(metric: Metric) -> tuple[object, ...]:
    """Families of one shape can be added series by series."""
    return metric.kind, tuple(metric.labels), metric.buckets if isinstance(metric, Histogram) else ()


def _is_gauge(family: Family) -> bool:
    return isinstance(family.metric, Gauge)


def _added(a: Value, b: Value) -> Value:
    if isinstance(a, Distribution) and isinstance(b, Distribution):
        cumulative = tuple(x + y for x, y in zip(a.cumulative, b.cumulative, strict=True))
        return Distribution(cumulative, a.sum + b.sum, _latest(a.exemplars, b.exemplars))
    return _number(a) + _number(b)


def _smaller(a: Value, b: Value) -> Value:
    return min(_number(a), _number(b))


def _larger(a: Value, b: Value) -> Value:
    if isinstance(a, Distribution) and isinstance(b, Distribution):
        cumulative = tuple(max(x, y) for x, y in zip(a.cumulative, b.cumulative, strict=True))
        return Distribution(cumulative, max(a.sum, b.sum), _latest(a.exemplars, b.exemplars))
    return max(_number(a), _number(b))


def _latest(a: Exemplars, b: Exemplars) -> Exemplars:
    if not a or not b:
        return a or b
    return tuple(max(filter(None, pair), key=lambda each: each.at, default=None) for pair in zip(a, b, strict=True))


def _number(value: Value) -> float:
    if isinstance(value, Distribution):
        raise TypeError("a distribution where a number is expected: the shapes were not compared")
    return value


def _mean(values: Sequence[Value]) -> Value:
    return sum(map(_number, values)) / len(values)


_COMBINE: Final[Mapping[Across, Callable[[Sequence[Value]], Value]]] = {
    "sum": partial(reduce, _added),
    "min": partial(reduce, _smaller),
    "max": partial(reduce, _larger),
    "mean": _mean,
}


def _raised(values: Mapping[Labels, Value], before: Mapping[Labels, Value]) -> Mapping[Labels, Value]:
    return {labels: _larger(value, before[labels]) if labels in before else value for labels, value in values.items()}


def _capped(family: Family, known: Mapping[Labels, Value]) -> Family:
    """The family with what would be one series too many under the overflow label."""
    is_open = [values is OPEN for values in family.metric.labels.values()]
    free = MAX_OPEN_SERIES - len(known) if any(is_open) else len(family.values)
    values: dict[Labels, Value] = {}
    for labels, value in family.values.items():
        kept = labels
        if labels not in known:
            free -= 1
            if free < 0:
                kept = tuple(OVERFLOW if is_it else label for is_it, label in zip(is_open, labels, strict=True))
        values[kept] = _added(values[kept], value) if kept in values else value
    return Family(family.metric, values, family.since)
