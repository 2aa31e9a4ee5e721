"""The registry counts right, keeps the number of series bounded and refuses what would spoil a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.errors import PluginError
from inquiry_svc.metrics import (
    MAX_OPEN_SERIES,
    OPEN,
    OVERFLOW,
    Counter,
    Distribution,
    Gauge,
    Histogram,
    Metric,
    Metrics,
)
from inquiry_svc.putting_down import PutDown

COUNTER = Counter("things_total", "Things.", {"colour": ("red", "blue"), "size": ("s", "l")})
OPEN_COUNTER = Counter("named_total", "Named.", {"name": OPEN, "colour": ("red", "blue")})
GAUGE = Gauge("level", "Level.")
HISTOGRAM = Histogram("wait_seconds", "Wait.", buckets=(0.1, 1, 10))


def _values(metrics: Metrics, metric: Metric) -> dict[tuple[str, ...], float | Distribution]:
    return next(dict(family.values) for family in metrics.snapshot() if family.metric is metric)


def test_every_combination_of_closed_labels_is_there_from_the_start() -> None:
    metrics = Metrics([COUNTER, GAUGE, OPEN_COUNTER])
    assert _values(metrics, COUNTER) == {("red", "s"): 0, ("red", "l"): 0, ("blue", "s"): 0, ("blue", "l"): 0}
    assert _values(metrics, GAUGE) == {(): 0}
    assert _values(metrics, OPEN_COUNTER) == {}


def test_a_gauge_on_a_scale_without_0_is_there_when_it_was_set() -> None:
    scale = Gauge("score", "From 1 to 5.", {"colour": ("red", "blue")}, starts_at_0=False)
    metrics = Metrics([scale])
    assert _values(metrics, scale) == {}
    metrics.series(scale, colour="red").set(4)
    assert _values(metrics, scale) == {("red",): 4}
    with pytest.raises(ValueError, match="colour"):
        metrics.series(scale, colour="green")


def test_a_series_is_one_whatever_the_order_of_its_labels() -> None:
    metrics = Metrics([COUNTER])
    kept = metrics.series(COUNTER, size="s", colour="red")
    kept.inc()
    metrics.series(COUNTER, colour="red", size="s").inc(2.5)
    assert _values(metrics, COUNTER)["red", "s"] == 3.5


@pytest.mark.parametrize(
    "labels", [{}, {"colour": "red"}, {"colour": "red", "size": "s", "more": "x"}, {"a": "", "b": ""}]
)
def test_labels_that_are_missing_or_unknown_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="things_total"):
        Metrics([COUNTER]).series(COUNTER, **labels)


@pytest.mark.parametrize("colour", ["green", "", "Red", "red ", True, 1, None])
def test_a_value_outside_a_closed_set_or_no_string_is_refused(colour: str) -> None:
    metrics = Metrics([COUNTER, OPEN_COUNTER])
    with pytest.raises(ValueError, match="colour"):
        metrics.series(COUNTER, colour=colour, size="s")
    with pytest.raises(ValueError, match="colour"):
        metrics.series(OPEN_COUNTER, colour=colour, name="x")
    assert _values(metrics, OPEN_COUNTER) == {}


@pytest.mark.parametrize("name", [True, 1, 1.0, None, b"x"])
def test_an_open_label_takes_only_strings(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Metrics([OPEN_COUNTER]).series(OPEN_COUNTER, name=name, colour="red")


def test_past_the_cap_open_labels_read_overflow_and_nothing_is_lost() -> None:
    metrics = Metrics([OPEN_COUNTER])
    for number in range(MAX_OPEN_SERIES + 1_000):
        metrics.series(OPEN_COUNTER, name=str(number), colour=("red", "blue")[number % 2]).inc()
    values = _values(metrics, OPEN_COUNTER)
    assert len(values) == MAX_OPEN_SERIES + 2
    assert values[OVERFLOW, "red"] == values[OVERFLOW, "blue"] == 500
    assert values["0", "red"] == 1
    metrics.series(OPEN_COUNTER, name="0", colour="red").inc()
    assert _values(metrics, OPEN_COUNTER)["0", "red"] == 2, "a series that was there goes on"


def test_a_series_whose_time_is_over_can_be_forgotten() -> None:
    metrics = Metrics([OPEN_COUNTER])
    metrics.series(OPEN_COUNTER, name="old", colour="red").inc()
    metrics.remove(OPEN_COUNTER, name="old", colour="red")
    metrics.remove(OPEN_COUNTER, name="never", colour="red")
    assert _values(metrics, OPEN_COUNTER) == {}
    assert metrics.series(OPEN_COUNTER, name="old", colour="red").value == 0


@pytest.mark.parametrize("amount", [-1, -0.001, math.nan, math.inf, np.float32("nan")])
def test_a_counter_only_goes_up_by_a_number(amount: float) -> None:
    series = Metrics([COUNTER]).series(COUNTER, colour="red", size="s")
    with pytest.raises(ValueError, match="can't go up"):
        series.inc(amount)
    assert series.value == 0


def test_many_observations_count_as_each_of_them_would() -> None:
    values = [0.0625, 0.5, np.float64(0.5), 1, 3, 100]
    together, alone = Metrics([HISTOGRAM]), Metrics([HISTOGRAM])
    together.series(HISTOGRAM).observe_all(values)
    for value in values:
        alone.series(HISTOGRAM).observe(value)
    assert _values(together, HISTOGRAM) == _values(alone, HISTOGRAM)
    assert type(together.series(HISTOGRAM).sum) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_of_many_observations_none_counts_where_one_is_no_number(value: float) -> None:
    series = Metrics([HISTOGRAM]).series(HISTOGRAM)
    with pytest.raises(ValueError, match="can't observe"):
        series.observe_all([0.5, value])
    assert series.cumulative()[-1] == series.sum == 0


def test_what_is_put_down_is_counted_in_its_order_when_there_is_enough_or_somebody_looks() -> None:
    metrics, counted = Metrics([GAUGE]), list[list[int]]()

    def count(happened: Sequence[int]) -> None:
        counted.append(list(happened))
        metrics.series(GAUGE).set(happened[-1])

    put_down = PutDown(count, metrics, together=3)
    for number in range(1, 6):
        put_down.put(number)
    assert counted == [[1, 2, 3]]
    assert _values(metrics, GAUGE)[()] == 5, "a snapshot shows what happened before it"
    assert counted == [[1, 2, 3], [4, 5]]
    metrics.snapshot()
    assert len(counted) == 2, "nothing new, nothing counted"


def test_numbers_of_other_libraries_become_plain_ones() -> None:
    metrics = Metrics([COUNTER, GAUGE, HISTOGRAM])
    metrics.series(COUNTER, colour="red", size="s").inc(np.int64(2))  # type: ignore[arg-type]
    metrics.series(GAUGE).set(np.float32(0.5))  # type: ignore[arg-type]
    metrics.series(HISTOGRAM).observe(np.float64(0.5))
    assert type(_values(metrics, COUNTER)["red", "s"]) is float
    assert type(_values(metrics, GAUGE)[()]) is float
    found = _values(metrics, HISTOGRAM)[()]
    assert isinstance(found, Distribution)
    assert type(found.sum) is float


def test_a_gauge_takes_any_number_but_nan() -> None:
    series = Metrics([GAUGE]).series(GAUGE)
    for value in (-2.5, math.inf, 0, True):
        series.set(value)
        assert series.value == value
    with pytest.raises(ValueError, match="NaN"):
        series.set(math.nan)
    assert series.value == 1


def test_a_gauge_that_follows_is_read_when_somebody_asks() -> None:
    metrics, things = Metrics([GAUGE]), list[int]()
    series = metrics.series(GAUGE)
    series.follow(lambda: len(things))
    assert series.value == 0
    things += [1, 2, 3]
    assert (series.value, _values(metrics, GAUGE)) == (3, {(): 3.0})
    assert type(series.value) is float


def test_labels_in_any_order_and_a_declaration_of_another_place_find_the_same_series() -> None:
    metrics = Metrics([COUNTER])
    same = Counter("things_total", "Things.", {"colour": ("red", "blue"), "size": ("s", "l")})
    kept = metrics.series(COUNTER, colour="red", size="s")
    assert metrics.series(COUNTER, size="s", colour="red") is kept
    assert metrics.series(same, colour="red", size="s") is kept
    with pytest.raises(KeyError):
        metrics.series(Counter("things_total", "Other things.", {"colour": OPEN}), colour="red")


def test_a_histogram_counts_up_to_and_with_each_bound() -> None:
    metrics = Metrics([HISTOGRAM])
    for value in (-1, 0.1, 0.1000001, 1, 10, 11, 1e300):
        metrics.series(HISTOGRAM).observe(value)
    assert _values(metrics, HISTOGRAM)[()] == Distribution((2, 4, 5, 7), 1e300)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_histogram_observes_only_finite_numbers(value: float) -> None:
    series = Metrics([HISTOGRAM]).series(HISTOGRAM)
    with pytest.raises(ValueError, match="can't observe"):
        series.observe(value)
    assert series.cumulative() == (0, 0, 0, 0)
    assert series.sum == 0


def test_a_snapshot_does_not_move_on() -> None:
    metrics = Metrics([OPEN_COUNTER, HISTOGRAM])
    metrics.series(OPEN_COUNTER, name="a", colour="red").inc()
    before = metrics.snapshot()
    metrics.series(OPEN_COUNTER, name="a", colour="red").inc()
    metrics.series(OPEN_COUNTER, name="b", colour="red").inc()
    metrics.series(HISTOGRAM).observe(1)
    assert dict(before[0].values) == {("a", "red"): 1}
    assert dict(before[1].values) == {(): Distribution((0, 0, 0, 0), 0)}


def test_a_name_is_declared_once_in_a_registry_and_counts_apart_in_two() -> None:
    first, second = Metrics([GAUGE]), Metrics([GAUGE])
    with pytest.raises(PluginError, match="'level' is declared twice"):
        first.declare(Histogram("level", "Another.", buckets=(1,)))
    first.series(GAUGE).set(1)
    assert second.series(GAUGE).value == 0


def test_a_counter_is_counted_on_by_its_name_or_by_its_labels_alone() -> None:
    metrics = Metrics([COUNTER, OPEN_COUNTER, GAUGE])
    metrics.record_custom_metric("things_total", colour="red", size="s")
    metrics.record_custom_metric(size="s", colour="red")
    assert _values(metrics, COUNTER)["red", "s"] == 2
    assert _values(metrics, OPEN_COUNTER) == {}


def test_counting_by_name_refuses_what_it_could_mean_nothing_or_two_things_by() -> None:
    metrics = Metrics([COUNTER, Counter("others_total", "Others.", {"size": OPEN, "colour": OPEN}), GAUGE])
    with pytest.raises(ValueError, match="2 counters, things_total, others_total, with the labels"):
        metrics.record_custom_metric(colour="red", size="s")
    with pytest.raises(ValueError, match="no counter called 'level'"):
        metrics.record_custom_metric("level")
    with pytest.raises(ValueError, match="no counter called 'things_total' with the labels \\['size'\\]"):
        metrics.record_custom_metric("things_total", size="s")
    assert set(_values(metrics, COUNTER).values()) == {0}


def test_a_metric_that_was_not_declared_has_no_series() -> None:
    with pytest.raises(KeyError):
        Metrics([GAUGE]).series(HISTOGRAM)


@pytest.mark.parametrize("name", ["", "Upper", "with space", "9lives", "a-b", "a\nb", "a{b", "über", "level\n"])
def test_a_name_that_would_break_a_page_is_refused(name: str) -> None:
    with pytest.raises(PluginError, match="metric"):
        Gauge(name, "Help.")
    with pytest.raises(PluginError, match="label"):
        Gauge("level", "Help.", {name: OPEN})


@pytest.mark.parametrize("label", ["le", "quantile"])
def test_labels_that_prometheus_keeps_for_itself_are_refused(label: str) -> None:
    with pytest.raises(PluginError, match=label):
        Histogram("wait_seconds", "Wait.", {label: OPEN}, buckets=(1,))


@pytest.mark.parametrize("buckets", [(), (1, 1), (2, 1), (1, 3, 2)])
def test_buckets_are_given_each_once_and_ascending(buckets: tuple[float, ...]) -> None:
    with pytest.raises(PluginError, match="buckets"):
        Histogram("wait_seconds", "Wait.", buckets=buckets)


@pytest.mark.parametrize("bound", [math.inf, -math.inf, math.nan])
def test_a_bucket_is_a_finite_number(bound: float) -> None:
    with pytest.raises(PluginError, match="buckets"):
        Histogram("wait_seconds", "Wait.", buckets=(bound,))


def test_a_counter_is_named_for_a_total() -> None:
    with pytest.raises(PluginError, match="_total"):
        Counter("things", "Things.")


def test_the_services_own_metrics_declare_themselves_well() -> None:
    metrics = Metrics(OWN_METRICS)
    assert len({metric.name for metric in OWN_METRICS}) == len(OWN_METRICS) == len(metrics.snapshot())
    for metric in OWN_METRICS:
        assert metric.help.endswith("."), metric.name
