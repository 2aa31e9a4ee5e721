"""The registry that counts, and the kinds of metric that it knows. `catalogue.py` lists the service's own metrics.

A `Metric` says name, help, labels and buckets; `Metrics` holds the numbers of one process of a service (there is no
global registry) and gives a `Snapshot`; `workers` makes one of those of several processes. All calls are made on the
event loop's thread, so nothing is locked.

The number of series is bounded by construction: a label either lists its values, or is `OPEN`. A metric whose labels
are all closed has every combination at 0 from the start, so that a rate over it never meets a missing series. A metric
with an open label is capped at `MAX_OPEN_SERIES`; past it, open labels read `OVERFLOW`.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, product
from math import inf, isfinite, isnan
from typing import ClassVar, Final, Literal, TypeAlias, overload

from inquiry_svc.errors import PluginError

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Across: TypeAlias = Literal["sum", "min", "max", "mean"]

OPEN: Final = None
"""Instead of a label's values: they can't be listed beforehand."""
OVERFLOW: Final = "__overflow__"
MAX_OPEN_SERIES: Final = 500


@dataclass(frozen=True)
class Metric:
    """What is counted. `labels` maps each label to its values, or to `OPEN`."""

    name: str
    help: str
    labels: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    kind: ClassVar[Kind]

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def unit(self) -> str:
        """As the name says it at its end: `seconds`, `bytes`, or "" for a number of things."""
        last = self.name.removesuffix("_total").rpartition("_")[2]
        return last if last in ("seconds", "bytes") else ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise PluginError(f"metric {self.name!r}: a name is lower case letters, digits and underscores")
        for label in self.labels:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", label) or label in ("le", "quantile"):
                raise PluginError(f"metric {self.name!r}: {label!r} can't name a label")


@dataclass(frozen=True)
class Counter(Metric):
    """Only goes up; its name ends in `_total`. `across` is "max" where each process reads the machine's own count."""

    across: Literal["sum", "max"] = "sum"
    kind = "counter"
    __hash__ = Metric.__hash__

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.endswith("_total"):
            raise PluginError(f"metric {self.name!r}: the name of a counter ends in _total")


@dataclass(frozen=True)
class Gauge(Metric):
    """Goes up and down. `across` says what the whole service shows where each worker process has its own value."""

    across: Across = "sum"
    starts_at_0: bool = True
    """If false, a series is there from its first `set` on: on a scale from 1 to 5, 0 would be a lie."""
    kind = "gauge"
    __hash__ = Metric.__hash__


@dataclass(frozen=True)
class Histogram(Metric):
    """Counts observations up to each bound in `buckets` (ascending, without infinity)."""

    buckets: tuple[float, ...] = ()
    kind = "histogram"
    __hash__ = Metric.__hash__

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending = list(self.buckets) == sorted(set(self.buckets))
        if not self.buckets or not ascending or not all(map(isfinite, self.buckets)):
            raise PluginError(f"metric {self.name!r}: buckets must be given, finite, each once, ascending")


class CounterSeries:
    """One line of a counter, for a caller to keep and count on."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Raises `ValueError` unless `amount` is a finite number from 0 up."""
        amount = float(amount)
        if not 0 <= amount < inf:
            raise ValueError(f"a counter can't go up by {amount}")
        self.value += amount


class GaugeSeries:
    """One line of a gauge."""

    __slots__ = ("_read", "_value")

    def __init__(self) -> None:
        self._value = 0.0
        self._read: Callable[[], float] | None = None

    @property
    def value(self) -> float:
        return self._value if self._read is None else float(self._read())

    def set(self, value: float) -> None:
        """Raises `ValueError` for NaN."""
        value = float(value)
        if isnan(value):
            raise ValueError("a gauge can't be NaN")
        self._value = value

    def follow(self, read: Callable[[], float]) -> None:
        """Be what `read` gives whenever somebody asks: what changes with every request need not be set each time."""
        self._read = read


class HistogramSeries:
    """One set of buckets of a histogram."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Raises `ValueError` unless `value` is finite."""
        value = float(value)
        if not isfinite(value):
            raise ValueError(f"a histogram can't observe {value}")
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def observe_all(self, values: Sequence[float]) -> None:
        """As `observe` for each, and quicker. Raises `ValueError` unless all are finite; then none was observed."""
        if not all(map(isfinite, values)):
            raise ValueError(f"a histogram can't observe all of {values}")
        for value in values:
            self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += float(sum(values))

    def cumulative(self) -> tuple[int, ...]:
        """How many observations were at most each bound; the last is all of them (bound infinity)."""
        return tuple(accumulate(self._counts))

    def distribution(self) -> Distribution:
        return Distribution(self.cumulative(), self.sum)


AnySeries: TypeAlias = CounterSeries | GaugeSeries | HistogramSeries


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One observation and the span in which it was made."""

    trace_id: str
    span_id: str
    value: float
    at: float
    """In seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram's value: a cumulative count for each bound and for infinity, and the sum of all observations."""

    cumulative: tuple[int, ...]
    sum: float
    exemplars: tuple[Exemplar | None, ...] = ()
    """The latest that fell between each bound and the one before; empty where nothing is traced."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with the value of each of its series, keyed by label values in the order of `metric.labels`."""

    metric: Metric
    values: Mapping[tuple[str, ...], float | Distribution]
    since: float = 0.0
    """When the first of those who count here began, from 0, in seconds since the epoch."""


Snapshot: TypeAlias = Sequence[Family]
"""All numbers at one moment, safe to hand to another thread."""


@dataclass(frozen=True, slots=True)
class _Known:
    metric: Metric
    names: tuple[str, ...]
    series: dict[tuple[str, ...], AnySeries]


class Metrics:
    """The numbers of one service."""

    def __init__(
        self,
        metrics: Iterable[Metric] = (),
        *,
        histogram: Callable[[tuple[float, ...]], HistogramSeries] = HistogramSeries,
    ) -> None:
        """`histogram` makes the series of histograms."""
        self._histogram = histogram
        self._known: dict[str, _Known] = {}
        self._late: list[Callable[[], None]] = []
        self._since = time.time()
        for metric in metrics:
            self.declare(metric)

    def declare(self, metric: Metric) -> None:
        """Take a metric in. Raises `PluginError` if its name is taken."""
        if metric.name in self._known:
            raise PluginError(f"metric {metric.name!r} is declared twice; give one of them another name")
        closed = [values for values in metric.labels.values() if values is not OPEN]
        complete = len(closed) == len(metric.labels) and not (isinstance(metric, Gauge) and not metric.starts_at_0)
        series = {labels: self._new_series(metric) for labels in product(*closed)} if complete else {}
        self._known[metric.name] = _Known(metric, tuple(metric.labels), series)

    @overload
    def series(self, metric: Counter, **labels: str) -> CounterSeries: ...
    @overload
    def series(self, metric: Gauge, **labels: str) -> GaugeSeries: ...
    @overload
    def series(self, metric: Histogram, **labels: str) -> HistogramSeries: ...
    def series(self, metric: Metric, **labels: str) -> AnySeries:
        """The one series with these labels: look it up once and keep it where it is used often.

        Raises `ValueError` when labels are missing, unknown, not strings or outside their closed set, `KeyError` when
        the metric was not declared.
        """
        known = self._known[metric.name]
        if tuple(labels) == known.names and known.metric is metric:  # this way nearly all go, at every batch
            values = tuple(labels.values())
            found = known.series.get(values)
            if found is not None:
                return found
        return self._rarely(known, metric, labels)

    def _rarely(self, known: _Known, metric: Metric, labels: Mapping[str, str]) -> AnySeries:
        """In another order of the labels, new, or wrong."""
        if known.metric != metric:
            raise KeyError(metric.name)
        if labels.keys() != metric.labels.keys():
            raise ValueError(f"metric {metric.name!r} has the labels {list(metric.labels)}, not {list(labels)}")
        values = tuple(labels[name] for name in metric.labels)
        found = known.series.get(values)
        if found is not None:
            return found
        for name, value in zip(metric.labels, values, strict=True):
            allowed = metric.labels[name]
            if not isinstance(value, str) or (allowed is not OPEN and value not in allowed):
                raise ValueError(f"metric {metric.name!r}: label {name} can't be {value!r}")
        if len(known.series) >= MAX_OPEN_SERIES:
            values = tuple(OVERFLOW if metric.labels[name] is OPEN else labels[name] for name in metric.labels)
        return known.series.setdefault(values, self._new_series(metric))

    def _new_series(self, metric: Metric) -> AnySeries:
        if isinstance(metric, Histogram):
            return self._histogram(metric.buckets)
        return CounterSeries() if isinstance(metric, Counter) else GaugeSeries()

    def record_custom_metric(self, name: str | None = None, **labels: str) -> None:
        """Count one on a counter by its name or, without a name, on the one counter that has just these labels.

        The guide's call, for whoever has no hold of the metric itself; `series` is quicker. Raises `ValueError` unless
        there is exactly one such counter.
        """
        declared = (known.metric for known in self._known.values())
        found = [
            metric
            for metric in declared
            if isinstance(metric, Counter) and name in (None, metric.name) and labels.keys() == metric.labels.keys()
        ]
        if len(found) != 1:
            which = "no counter" if not found else f"{len(found)} counters, {', '.join(m.name for m in found)},"
            called = "" if name is None else f" called {name!r}"
            raise ValueError(f"{which}{called} with the labels {list(labels)}; declare one, or name the one you mean")
        self.series(found[0], **labels).inc()

    def remove(self, metric: Metric, **labels: str) -> None:
        """Forget a series whose time is over, such as the version of a model that was replaced."""
        self._known[metric.name].series.pop(tuple(labels[name] for name in metric.labels), None)

    def before_snapshots(self, count: Callable[[], None]) -> None:
        """Have this called first, by whoever puts down what happened and counts it later (`putting_down.py`)."""
        self._late.append(count)

    def snapshot(self) -> Snapshot:
        for count in self._late:
            count()
        return [
            Family(known.metric, {labels: _value_of(series) for labels, series in known.series.items()}, self._since)
            for known in self._known.values()
        ]


def _value_of(series: AnySeries) -> float | Distribution:
    return series.distribution() if isinstance(series, HistogramSeries) else series.value
