"""Several processes' numbers become the whole service's: nothing is lost, nothing counted twice, nothing goes down."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inquiry_svc.catalogue import HEALTH, MODEL_INFO, OWN_METRICS, WORKER_RESTARTS, WORKERS_RUNNING
from inquiry_svc.metrics import (
    MAX_OPEN_SERIES,
    OPEN,
    OVERFLOW,
    Counter,
    Distribution,
    Exemplar,
    Family,
    Gauge,
    Histogram,
    Metric,
    Metrics,
    Snapshot,
)
from inquiry_svc.workers.link import Mine, to_numbers, to_snapshot
from inquiry_svc.workers.merging import merged, never_below, retired
from inquiry_svc.workers.totals import Totals

COUNTER = Counter("things_total", "Things.", {"name": OPEN})
HISTOGRAM = Histogram("wait_seconds", "Wait.", {"name": OPEN}, buckets=(0.1, 1, 10))
SUM = Gauge("level", "Level.")
LOWEST = Gauge("health", "Health.", across="min")
HIGHEST = Gauge("info", "Info.", {"name": OPEN}, across="max")
MEAN = Gauge("score", "Score.", {"name": OPEN}, across="mean")
MACHINE = Counter("machine_bytes_total", "Bytes.", across="max")
METRICS = [COUNTER, HISTOGRAM, SUM, LOWEST, HIGHEST, MEAN, MACHINE]

names = st.sampled_from("abc")
amounts = st.floats(0, 1e6)
counted = st.tuples(st.sampled_from([COUNTER, HISTOGRAM, SUM, LOWEST, HIGHEST, MEAN]), names, amounts)
lives = st.lists(st.lists(counted, max_size=12), min_size=1, max_size=5)


def count(metrics: Metrics, things: list[tuple[Metric, str, float]]) -> None:
    for metric, name, amount in things:
        match metric:
            case Counter():
                metrics.series(metric, **({"name": name} if metric.labels else {})).inc(amount)
            case Histogram():
                metrics.series(metric, name=name).observe(amount)
            case Gauge():
                metrics.series(metric, **({"name": name} if metric.labels else {})).set(amount)


def counting(things: list[tuple[Metric, str, float]]) -> Snapshot:
    metrics = Metrics(METRICS)
    count(metrics, things)
    return metrics.snapshot()


def value(snapshot: Snapshot, metric: Metric, *labels: str) -> float | Distribution | None:
    return next(family.values.get(labels) for family in snapshot if family.metric.name == metric.name)


def assert_not_below(now: Snapshot, before: Snapshot) -> None:
    for family in before:
        for labels, old in family.values.items() if not isinstance(family.metric, Gauge) else ():
            new = value(now, family.metric, *labels)
            if isinstance(old, Distribution):
                assert isinstance(new, Distribution)
                assert all(a >= b for a, b in zip(new.cumulative, old.cumulative, strict=True))
                assert new.sum >= old.sum
            else:
                assert isinstance(new, float)
                assert new >= old


def test_each_kind_is_combined_in_its_way_and_lonely_series_are_kept() -> None:
    whole = merged(
        [
            counting([(COUNTER, "a", 1), (COUNTER, "b", 5), (HISTOGRAM, "a", 0.5), (SUM, "", 3), (LOWEST, "", 1)]),
            counting([(COUNTER, "a", 2), (HISTOGRAM, "a", 5), (HISTOGRAM, "b", 0.1), (SUM, "", 4), (HIGHEST, "a", 1)]),
        ]
    )
    assert value(whole, COUNTER, "a") == 3
    assert value(whole, COUNTER, "b") == 5
    assert value(whole, HISTOGRAM, "a") == Distribution((0, 1, 2, 2), 5.5)
    assert value(whole, HISTOGRAM, "b") == Distribution((1, 1, 1, 1), 0.1)
    assert value(whole, SUM) == 7
    assert value(whole, LOWEST) == 0
    assert value(whole, HIGHEST, "a") == 1
    assert [family.metric for family in whole] == METRICS


def exemplified(at: float, *places: int) -> Snapshot:
    """A histogram with exemplars of that moment in these buckets."""
    found = tuple(Exemplar("t", "s", bucket, at) if bucket in places else None for bucket in range(4))
    return [Family(HISTOGRAM, {("a",): Distribution((1, 2, 3, 4), 1.0, found)})]


@pytest.mark.parametrize("combined", [lambda a, b: merged([a, b]), retired, never_below])
def test_of_each_bucket_the_latest_exemplar_is_kept(combined: Callable[[Snapshot, Snapshot], Snapshot]) -> None:
    plain: Snapshot = [Family(HISTOGRAM, {("a",): Distribution((1, 2, 3, 4), 1.0)})]

    def moments(snapshot: Snapshot) -> list[float | None]:
        found = value(snapshot, HISTOGRAM, "a")
        assert isinstance(found, Distribution)
        return [None if each is None else each.at for each in found.exemplars]

    assert moments(combined(exemplified(1, 0, 1), exemplified(2, 1, 3))) == [1, 2, None, 2]
    assert moments(combined(exemplified(2, 1, 3), exemplified(1, 0, 1))) == [1, 2, None, 2]
    assert (
        moments(combined(plain, exemplified(1, 0))) == moments(combined(exemplified(1, 0), plain)) == [1, *[None] * 3]
    )
    assert moments(combined(plain, plain)) == []


def test_exemplars_come_through_the_link_as_they_were() -> None:
    sent: Snapshot = [
        Family(
            HISTOGRAM,
            {
                ("a",): Distribution((1, 2, 3, 4), 1.0, (None, Exemplar("t" * 32, "s" * 16, 0.5, 1e9), None, None)),
                ("b",): Distribution((0, 0, 0, 0), 0.0),
            },
        ),
        *counting([(COUNTER, "a", 1)]),
    ]
    encoded = msgspec.msgpack.encode(Mine(to_numbers(sent), asked=True))
    [received, *_] = to_snapshot(msgspec.msgpack.decode(encoded, type=Mine).numbers)
    assert received.values == sent[0].values


@given(lives)
def test_the_whole_is_what_one_process_would_have_counted(each: list[list[tuple[Metric, str, float]]]) -> None:
    whole = merged([counting(things) for things in each])
    alone = counting([thing for things in each for thing in things])
    for family in alone:
        for labels, expected in family.values.items():
            found = value(whole, family.metric, *labels)
            if isinstance(expected, Distribution):
                assert isinstance(found, Distribution)
                assert found.cumulative == expected.cumulative
                assert found.sum == pytest.approx(expected.sum)
            elif isinstance(family.metric, Counter):
                assert found == pytest.approx(expected)
    levels = [value(counting(things), SUM) for things in each]
    assert value(whole, SUM) == pytest.approx(sum(level for level in levels if isinstance(level, float)))


@given(lives, st.randoms(use_true_random=False))
def test_what_was_shown_never_goes_down_whoever_dies(each: list[list[tuple[Metric, str, float]]], dice: object) -> None:
    totals, living = Totals(), [Metrics(METRICS) for _ in each]
    shown: Snapshot = []
    for metrics, things in zip(living * 2, each * 2, strict=True):
        count(metrics, things)
        now = totals.whole(metrics.snapshot() for metrics in living)
        assert_not_below(now, shown)
        totals.retire(living[0].snapshot())
        living[0] = Metrics(METRICS)
        living.append(living.pop(0))
        shown = totals.whole(metrics.snapshot() for metrics in living)
        assert_not_below(shown, now)


def test_a_dead_process_leaves_its_counters_and_takes_its_gauges_along() -> None:
    left = retired([], counting([(COUNTER, "a", 2), (HISTOGRAM, "a", 5), (SUM, "", 4), (HIGHEST, "a", 1)]))
    assert [family.metric.name for family in left] == [COUNTER.name, HISTOGRAM.name]
    whole = merged([counting([(COUNTER, "a", 1), (SUM, "", 1)]), left])
    assert (value(whole, COUNTER, "a"), value(whole, SUM)) == (3, 1)
    assert value(whole, HIGHEST, "a") is None


def test_a_mean_is_of_those_that_have_a_value() -> None:
    whole = merged([counting([(MEAN, "a", 1), (MEAN, "b", 5)]), counting([(MEAN, "a", 4)]), counting([(MEAN, "a", 4)])])
    assert (value(whole, MEAN, "a"), value(whole, MEAN, "b")) == (3, 5)


def test_what_the_machine_counts_is_added_up_neither_over_workers_nor_over_lives() -> None:
    totals = Totals()
    assert value(totals.whole([counting([(MACHINE, "", 10)]), counting([(MACHINE, "", 12)])]), MACHINE) == 12
    totals.retire(counting([(MACHINE, "", 12)]))
    assert value(totals.whole([counting([(MACHINE, "", 15)])]), MACHINE) == 15
    assert value(totals.whole([counting([])]), MACHINE) == 15, "one that has only begun to read hides nothing"


def test_many_lives_with_names_of_their_own_do_not_add_series_without_end() -> None:
    left: Snapshot = []
    for life in range(5):
        left = retired(left, counting([(COUNTER, f"{life} {number}", 1) for number in range(400)]))
    [family] = [family for family in left if family.metric.name == COUNTER.name]
    assert len(family.values) == MAX_OPEN_SERIES + 1
    assert family.values[OVERFLOW,] == 5 * 400 - MAX_OPEN_SERIES
    assert family.values["0 7",] == 1


def test_rounding_in_another_order_does_not_show() -> None:
    a, b, c = (counting([(COUNTER, "a", amount)]) for amount in (0.1, 0.2, 0.3))
    higher, lower = merged([a, b, c]), merged([c, b, a])
    assert value(higher, COUNTER, "a") > value(lower, COUNTER, "a")  # type: ignore[operator]
    assert value(never_below(lower, higher), COUNTER, "a") == value(higher, COUNTER, "a")


def test_a_gauge_may_go_down() -> None:
    high, low = counting([(SUM, "", 9), (HIGHEST, "a", 9)]), counting([(SUM, "", 1), (HIGHEST, "a", 1)])
    assert value(never_below(low, high), SUM) == value(never_below(low, high), HIGHEST, "a") == 1


@pytest.mark.parametrize(
    "other",
    [
        Counter("things_total", "Things.", {"other": OPEN}),
        Histogram("things_total", "Things.", {"name": OPEN}, buckets=(1,)),
        Gauge("things_total", "Things.", {"name": OPEN}),
    ],
)
def test_of_two_declarations_of_one_name_the_first_holds(other: Metric) -> None:
    first = counting([(COUNTER, "a", 1)])
    second = [Family(other, {("a",): Distribution((1, 1), 1) if isinstance(other, Histogram) else 1.0})]
    assert value(merged([first, second]), COUNTER, "a") == 1
    assert value(never_below(first, second), COUNTER, "a") == 1


@given(lives)
def test_numbers_are_the_same_at_the_other_end_of_the_link(each: list[list[tuple[Metric, str, float]]]) -> None:
    for things in each:
        sent = counting(things)
        encoded = msgspec.msgpack.encode(Mine(to_numbers(sent), asked=True))
        received = to_snapshot(msgspec.msgpack.decode(encoded, type=Mine).numbers)
        assert merged([received]) == merged([sent])
        assert [(f.metric, dict(f.values)) for f in received] == [(f.metric, dict(f.values)) for f in sent]


def test_the_services_own_gauges_say_how_they_are_combined() -> None:
    across = {metric.name: metric.across for metric in OWN_METRICS if isinstance(metric, Gauge)}
    assert across[HEALTH.name] == "min", "one worker that does not reach the database is a fault"
    assert across[MODEL_INFO.name] == "max", "1, however many workers have it open"
    assert across[WORKERS_RUNNING.name] == across["inquiries_in_flight"] == "sum"
    assert WORKER_RESTARTS in OWN_METRICS
