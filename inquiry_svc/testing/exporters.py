"""What every exporter of the Prometheus text page must do, as tests to inherit.

    class TestMyExporter(ExporterContract):
        @pytest.fixture
        def exporter(self) -> Exporter:
            return MyExporter()

Prometheus's own parser reads each page, and must find in it exactly what the snapshot held. Needs pytest,
pytest-asyncio, Hypothesis and prometheus-client.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from inquiry_svc.contracts import Exporter
from inquiry_svc.metrics import OPEN, Counter, Distribution, Gauge, Histogram, Metrics, Snapshot

Sample: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a line and its labels, sorted; `le` is written as Python writes the number."""

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
    "# HELP x y",
    "ünïcode \U0001f600 \u202e",
    "\x00\x7f\x85\u2028",
    "x" * 1000,
)
"""Label values that have broken pages."""

_COUNTER: Final = Counter("contract_events_total", "Counted.", {"a": OPEN, "b": OPEN})
_GAUGE: Final = Gauge("contract_level", "Measured.", {"a": OPEN})
_HISTOGRAM: Final = Histogram("contract_seconds", "Observed.", {"a": OPEN}, buckets=(0.001, 0.1, 1, 2.5, 1e9))
_LABELS: Final = st.sampled_from(HOSTILE_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_NUMBERS: Final = st.floats(0, allow_nan=False, allow_infinity=False, max_value=1e200)


class ExporterContract:
    """Inherit it, and override `exporter`."""

    @pytest.fixture
    def exporter(self) -> Exporter:
        raise NotImplementedError("override the fixture `exporter`")

    def test_the_content_type_says_the_format_and_its_version(self, exporter: Exporter) -> None:
        assert exporter.content_type.startswith("text/plain; version=0.0.4")

    async def test_an_empty_snapshot_is_an_empty_page(self, exporter: Exporter) -> None:
        assert samples_of(await exporter.render([])) == {}

    @given(
        counts=st.dictionaries(st.tuples(_LABELS, _LABELS), _NUMBERS, max_size=5),
        levels=st.dictionaries(_LABELS, _NUMBERS | _NUMBERS.map(lambda value: -value), max_size=5),
        observed=st.dictionaries(_LABELS, st.lists(_NUMBERS, max_size=5), max_size=3),
    )
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    async def test_the_page_gives_back_exactly_what_was_counted(
        self,
        exporter: Exporter,
        counts: Mapping[tuple[str, str], float],
        levels: Mapping[str, float],
        observed: Mapping[str, list[float]],
    ) -> None:
        metrics = Metrics([_COUNTER, _GAUGE, _HISTOGRAM])
        for (a, b), count in counts.items():
            metrics.series(_COUNTER, a=a, b=b).inc(count)
        for a, level in levels.items():
            metrics.series(_GAUGE, a=a).set(level)
        for a, values in observed.items():
            for value in values:
                metrics.series(_HISTOGRAM, a=a).observe(value)
        await _assert_given_back(exporter, metrics.snapshot())

    @pytest.mark.parametrize("text", HOSTILE_TEXTS)
    async def test_a_label_value_forges_no_line(self, exporter: Exporter, text: str) -> None:
        metrics = Metrics([_COUNTER])
        metrics.series(_COUNTER, a=text, b="plain").inc(3)
        await _assert_given_back(exporter, metrics.snapshot())

    async def test_a_help_text_forges_no_line(self, exporter: Exporter) -> None:
        text = 'a "b" \\ c\nforged_total 1\n# TYPE forged gauge \\n end'
        metrics = Metrics([Gauge("contract_level", text)])
        page = await exporter.render(metrics.snapshot())
        [family] = text_string_to_metric_families(page.decode())
        assert family.documentation == text
        assert samples_of(page) == {("contract_level", ()): 0}

    @pytest.mark.parametrize("level", [0.0, 0.1 + 0.2, 1e-320, 1e300, 2.0**53 + 2, -1.5, math.inf, -math.inf])
    async def test_a_number_comes_back_to_the_last_bit(self, exporter: Exporter, level: float) -> None:
        metrics = Metrics([_GAUGE])
        metrics.series(_GAUGE, a="x").set(level)
        await _assert_given_back(exporter, metrics.snapshot())

    async def test_text_that_utf_8_cannot_write_does_not_cost_the_page(self, exporter: Exporter) -> None:
        metrics = Metrics([_COUNTER, _GAUGE])
        metrics.series(_COUNTER, a="\ud800", b="x").inc(2)
        metrics.series(_GAUGE, a="x").set(1)
        found = samples_of(await exporter.render(metrics.snapshot()))
        assert found["contract_level", (("a", "x"),)] == 1
        assert sorted(found.values()) == [1, 2]

    async def test_each_metric_says_its_help_and_its_kind_once(self, exporter: Exporter) -> None:
        metrics = Metrics([_COUNTER, _GAUGE, _HISTOGRAM])
        for a in "xyz":
            metrics.series(_COUNTER, a=a, b="").inc()
            metrics.series(_GAUGE, a=a).set(1)
            metrics.series(_HISTOGRAM, a=a).observe(1)
        lines = (await exporter.render(metrics.snapshot())).decode().splitlines()
        for metric in (_COUNTER, _GAUGE, _HISTOGRAM):
            assert lines.count(f"# HELP {metric.name} {metric.help}") == 1
            assert lines.count(f"# TYPE {metric.name} {metric.kind}") == 1


def samples_of(page: bytes) -> dict[Sample, float]:
    """Each line of a page and its value, as Prometheus's own parser reads it. No line may stand there twice."""
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            key = _key(sample.name, {str(name): str(value) for name, value in sample.labels.items()})
            assert key not in found, f"{key} stands there twice"
            found[key] = float(sample.value)
    return found


async def _assert_given_back(exporter: Exporter, snapshot: Snapshot) -> None:
    assert samples_of(await exporter.render(snapshot)) == dict(_expected(snapshot))


def _expected(snapshot: Snapshot) -> dict[Sample, float]:
    expected: dict[Sample, float] = {}
    for family in snapshot:
        metric = family.metric
        for values, value in family.values.items():
            labels = dict(zip(metric.labels, values, strict=True))
            if not isinstance(value, Distribution):
                expected[_key(metric.name, labels)] = value
                continue
            assert isinstance(metric, Histogram)
            for bound, count in zip((*metric.buckets, math.inf), value.cumulative, strict=True):
                expected[_key(f"{metric.name}_bucket", {**labels, "le": str(float(bound))})] = count
            expected[_key(f"{metric.name}_sum", labels)] = value.sum
            expected[_key(f"{metric.name}_count", labels)] = value.cumulative[-1]
    return expected


def _key(name: str, labels: Mapping[str, str]) -> Sample:
    written = {label: str(float(value)) if label == "le" else value for label, value in labels.items()}
    return name, tuple(sorted(written.items()))
