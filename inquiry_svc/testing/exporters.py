"""What every exporter must do, as tests to inherit: who receives from it knows exactly what the service counted.

    class TestMyExporter(ExporterContract):
        @pytest.fixture
        def open_receiver(self) -> OpenReceiver:
            return my_receiver  # each call opens an exporter and the other end of it

A page that is scraped needs less: see `PageContract`. Needs pytest, pytest-asyncio, Hypothesis and prometheus-client.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, Final, Protocol, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from inquiry_svc.contracts import ScrapedExporter
from inquiry_svc.metrics import OPEN, Counter, Distribution, Family, Gauge, Histogram, Metric, Metrics, Snapshot
from inquiry_svc.workers.totals import Totals

Sample: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""A name as Prometheus knows it (`_bucket`, `_count` and `_sum` of a histogram) and its labels, sorted; `le` is written
as Python writes the number."""


class Receiver(Protocol):
    """The other end of an exporter, as a test sees it."""

    adds_up: bool
    """It is told differences: its sums are right but for what adding rounds, and what never rose needs not be told."""
    knows_infinity: bool
    """If not, a number that is not finite must not reach it."""

    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        """Have the exporter send the snapshot, or ask it for one."""

    async def understood(self) -> Mapping[Sample, float]:
        """All that it knows by now."""

    def written(self, text: str) -> str:
        """How this value of a label arrives: as it is, or in a form that no other value has."""


OpenReceiver: TypeAlias = Callable[[], AbstractAsyncContextManager[Receiver]]

HOSTILE_TEXTS: Final = (
    "",
    " ",
    'a"b',
    "a\nb",
    "a\\nb",
    "\\",
    '\\"',
    "\\\\n",
    "a\rb\tc",
    'x"} 1\nforged_total{a="1',
    "{}=,#",
    "a:1|c|#b:2",
    "a,b|@0.1",
    "100%",
    "%25",
    "# HELP x y",
    "ünïcode \U0001f600 \u202e",
    "\x00\x7f\x85\u2028",
    "x" * 1000,
    "x" * 1001,
    "x" * 5000,
)
"""Label values that have broken pages, packets and requests."""

_COUNTER: Final = Counter("contract_events_total", "Counted.", {"a": OPEN, "b": OPEN})
_GAUGE: Final = Gauge("contract_level", "Measured.", {"a": OPEN})
_HISTOGRAM: Final = Histogram("contract_seconds", "Observed.", {"a": OPEN}, buckets=(0.001, 0.1, 1, 2.5, 1e9))
_METRICS: Final = (_COUNTER, _GAUGE, _HISTOGRAM)
_LABELS: Final = st.sampled_from(HOSTILE_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_NUMBERS: Final = st.floats(0, 1e100, allow_nan=False, allow_infinity=False)

Happened: TypeAlias = tuple[Mapping[tuple[str, str], float], Mapping[str, float], Mapping[str, Sequence[float]]]
"""What was added to the counter, set of the gauge and observed by the histogram, for each label set."""

_HAPPENED: Final[st.SearchStrategy[Happened]] = st.tuples(
    st.dictionaries(st.tuples(_LABELS, _LABELS), _NUMBERS, max_size=5),
    st.dictionaries(_LABELS, _NUMBERS | _NUMBERS.map(lambda value: -value), max_size=5),
    st.dictionaries(_LABELS, st.lists(_NUMBERS, max_size=5), max_size=3),
)


class ExporterContract:
    """Inherit it, and override `open_receiver`."""

    @pytest.fixture
    def open_receiver(self) -> OpenReceiver:
        raise NotImplementedError("override the fixture `open_receiver`: each call opens one that knows nothing yet")

    async def test_an_empty_snapshot_tells_nothing(self, open_receiver: OpenReceiver) -> None:
        async with open_receiver() as receiver:
            await receiver.tell([], [])
            assert dict(await receiver.understood()) == {}

    @given(rounds=st.lists(_HAPPENED, min_size=1, max_size=3))
    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    async def test_what_arrives_is_what_was_counted(
        self, open_receiver: OpenReceiver, rounds: Sequence[Happened]
    ) -> None:
        metrics, sent = Metrics(_METRICS), list[Family]()
        async with open_receiver() as receiver:
            for happened in rounds:
                _count(metrics, happened)
                snapshot = metrics.snapshot()
                await receiver.tell(snapshot, sent)
                sent = list(snapshot)
            await assert_understood(receiver, snapshot)

    async def test_hostile_label_values_forge_nothing_and_stay_apart(self, open_receiver: OpenReceiver) -> None:
        metrics = Metrics(_METRICS)
        for number, text in enumerate(HOSTILE_TEXTS, start=1):
            metrics.series(_COUNTER, a=text, b="plain").inc(number)
            metrics.series(_GAUGE, a=text).set(number)
            metrics.series(_HISTOGRAM, a=text).observe(number)
        async with open_receiver() as receiver:
            assert len({receiver.written(text) for text in HOSTILE_TEXTS}) == len(HOSTILE_TEXTS)
            await receiver.tell(metrics.snapshot(), [])
            await assert_understood(receiver, metrics.snapshot())

    async def test_what_was_not_sent_once_is_sent_the_next_time(self, open_receiver: OpenReceiver) -> None:
        metrics, snapshots = Metrics(_METRICS), list[Snapshot]()
        for _ in range(3):
            _count(metrics, ({("x", "y"): 5}, {"x": 2}, {"x": [0.05, 3]}))
            snapshots.append(metrics.snapshot())
        first, _failed, last = snapshots
        async with open_receiver() as receiver:
            await receiver.tell(first, [])
            await receiver.tell(last, first)
            await receiver.tell(last, last)
            await assert_understood(receiver, last)

    async def test_workers_that_die_and_come_again_take_nothing_along(self, open_receiver: OpenReceiver) -> None:
        totals, workers, sent = Totals(), [Metrics(_METRICS) for _ in range(3)], list[Family]()
        async with open_receiver() as receiver:
            for turn in range(9):
                for number, worker in enumerate(workers):
                    _count(worker, ({("x", str(number)): turn}, {"x": 1}, {"x": [0.05 * turn, number]}))
                if turn % 2:
                    totals.retire(workers[0].snapshot())
                    workers = [*workers[1:], Metrics(_METRICS)]
                    _count(workers[-1], ({}, {"x": 1}, {}))
                snapshot = totals.whole(worker.snapshot() for worker in workers)
                await receiver.tell(snapshot, sent)
                sent = list(snapshot)
            await assert_understood(receiver, snapshot)
        [counted] = [family for family in snapshot if family.metric.name == _COUNTER.name]
        assert sum(value for value in counted.values.values() if isinstance(value, float)) == 3 * sum(range(9))

    async def test_a_number_that_is_not_finite_costs_no_other(self, open_receiver: OpenReceiver) -> None:
        levels = {"up": math.inf, "down": -math.inf, "none": math.nan, "low": -2.5, "high": 1e50, "nil": 0.0}
        snapshot = [Family(_GAUGE, {(name,): level for name, level in levels.items()})]
        async with open_receiver() as receiver:
            await receiver.tell(snapshot, [])
            found = dict(await receiver.understood())
            assert not [sample for sample, value in found.items() if not math.isnan(value) and "none" in str(sample)]
            known = {labels: level for labels, level in snapshot[0].values.items() if labels != ("none",)}
            await assert_understood(receiver, [replace(snapshot[0], values=known)], beside=("none",))

    async def test_text_that_utf_8_cannot_write_costs_no_other_number(self, open_receiver: OpenReceiver) -> None:
        metrics = Metrics(_METRICS)
        metrics.series(_COUNTER, a="\ud800", b="x").inc(2)
        metrics.series(_GAUGE, a="x").set(1)
        async with open_receiver() as receiver:
            await receiver.tell(metrics.snapshot(), [])
            found = await receiver.understood()
        assert found[_GAUGE.name, (("a", "x"),)] == 1
        assert sorted(value for (name, _), value in found.items() if name in (_GAUGE.name, _COUNTER.name)) == [1, 2]

    async def test_thousands_of_series_all_arrive(self, open_receiver: OpenReceiver) -> None:
        metrics = Metrics(_METRICS)
        for number in range(400):
            _count(metrics, ({("a", str(number)): number}, {str(number): number}, {str(number): [number]}))
        async with open_receiver() as receiver:
            await receiver.tell(metrics.snapshot(), [])
            await assert_understood(receiver, metrics.snapshot())


class PageContract(ExporterContract):
    """For an exporter that is scraped: override `exporter`, and `samples` where the page is not Prometheus text."""

    @pytest.fixture
    def exporter(self) -> ScrapedExporter:
        raise NotImplementedError("override the fixture `exporter`")

    @pytest.fixture
    def samples(self) -> Callable[[bytes], Mapping[Sample, float]]:
        """Reads a page."""
        return samples_of

    @pytest.fixture
    def open_receiver(
        self, exporter: ScrapedExporter, samples: Callable[[bytes], Mapping[Sample, float]]
    ) -> OpenReceiver:
        @asynccontextmanager
        async def scraping() -> AsyncIterator[Receiver]:
            yield _Scraper(exporter, samples)

        return scraping

    @pytest.mark.parametrize("level", [0.0, 0.1 + 0.2, 1e-320, 1e300, 2.0**53 + 2, -1.5, math.inf, -math.inf])
    async def test_a_number_comes_back_to_the_last_bit(self, open_receiver: OpenReceiver, level: float) -> None:
        metrics = Metrics([_GAUGE])
        metrics.series(_GAUGE, a="x").set(level)
        async with open_receiver() as receiver:
            await receiver.tell(metrics.snapshot(), [])
            await assert_understood(receiver, metrics.snapshot())

    async def test_a_help_text_forges_no_line(self, open_receiver: OpenReceiver) -> None:
        text = 'a "b" \\ c\nforged_total 1\n# TYPE forged gauge \\n end\ud800'
        metrics = Metrics([Gauge("contract_level", text)])
        async with open_receiver() as receiver:
            await receiver.tell(metrics.snapshot(), [])
            assert dict(await receiver.understood()) == {("contract_level", ()): 0}


class _Scraper:
    adds_up = False
    knows_infinity = True

    def __init__(self, exporter: ScrapedExporter, samples: Callable[[bytes], Mapping[Sample, float]]) -> None:
        self._exporter = exporter
        self._samples = samples
        self._page = b""

    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        self._page = await self._exporter.render(snapshot)

    async def understood(self) -> Mapping[Sample, float]:
        return self._samples(self._page)

    def written(self, text: str) -> str:
        return text


def samples_of(page: bytes) -> dict[Sample, float]:
    """Each line of a page and its value, as Prometheus's own parser reads it. No line may stand there twice."""
    return _samples(text_string_to_metric_families(page.decode()))


def openmetrics_samples_of(page: bytes) -> dict[Sample, float]:
    """The same of a page of OpenMetrics, without the lines that say since when a series counts."""
    found = _samples(openmetrics_families(page.decode()))  # type: ignore[no-untyped-call]
    return {sample: value for sample, value in found.items() if not sample[0].endswith("_created")}


def _samples(families: Iterable[Any]) -> dict[Sample, float]:
    found: dict[Sample, float] = {}
    for family in families:
        for sample in family.samples:
            key = sample_key(sample.name, {str(name): str(value) for name, value in sample.labels.items()})
            assert key not in found, f"{key} stands there twice"
            found[key] = float(sample.value)
    return found


def sample_key(name: str, labels: Mapping[str, str]) -> Sample:
    written = {label: str(float(value)) if label == "le" else value for label, value in labels.items()}
    return name, tuple(sorted(written.items()))


async def assert_understood(receiver: Receiver, snapshot: Snapshot, *, beside: Sequence[str] = ()) -> None:
    """The receiver knows each number of the snapshot and no other, but for series with one of these label values."""
    found = dict(await receiver.understood())
    for (name, labels), value, metric in _expected(snapshot):
        arriving = {label: text if label == "le" else receiver.written(text) for label, text in labels.items()}
        at = sample_key(name, arriving)
        if not math.isfinite(value) and not receiver.knows_infinity:
            assert at not in found, f"{at} is {value}"
        elif receiver.adds_up and metric.kind != "gauge":
            is_count = metric.kind == "histogram" and not name.endswith("_sum")
            assert found.pop(at, 0.0) == (value if is_count else pytest.approx(value, rel=1e-9, abs=1e-12)), at
        else:
            assert found.pop(at, None) == (pytest.approx(value, rel=0, abs=1e-100) if receiver.adds_up else value), at
    left = {sample: value for sample, value in found.items() if not {text for _, text in sample[1]} & set(beside)}
    assert left == {}, "nobody counted this"


def _expected(snapshot: Snapshot) -> Iterator[tuple[tuple[str, Mapping[str, str]], float, Metric]]:
    for family in snapshot:
        metric = family.metric
        for values, value in family.values.items():
            labels = dict(zip(metric.labels, values, strict=True))
            if not isinstance(value, Distribution):
                yield (metric.name, labels), value, metric
                continue
            assert isinstance(metric, Histogram)
            for bound, count in zip((*metric.buckets, math.inf), value.cumulative, strict=True):
                yield (f"{metric.name}_bucket", {**labels, "le": str(float(bound))}), count, metric
            yield (f"{metric.name}_sum", labels), value.sum, metric
            yield (f"{metric.name}_count", labels), value.cumulative[-1], metric


def _count(metrics: Metrics, happened: Happened) -> None:
    counts, levels, observed = happened
    for (a, b), count in counts.items():
        metrics.series(_COUNTER, a=a, b=b).inc(count)
    for a, level in levels.items():
        metrics.series(_GAUGE, a=a).set(level)
    for a, values in observed.items():
        for value in values:
            metrics.series(_HISTOGRAM, a=a).observe(value)
