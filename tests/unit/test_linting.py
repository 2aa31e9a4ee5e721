"""Rules are held against the registry: what does not exist is told, once and with the cure, and what exists is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.linting import external_series, lint_rules, own_series
from inquiry_svc.metrics import OPEN, Counter, Gauge, Histogram

SERIES = own_series(
    [
        Counter("requests_total", "Help.", {"endpoint": OPEN, "kind": ("good", "bad")}),
        Gauge("depth", "Help.", {"stage": ("one", "two")}),
        Histogram("wait_seconds", "Help.", {"model": OPEN}, buckets=(0.5, 1.0, 2.0, 5.0)),
    ]
)


def told(*rules: dict[str, Any]) -> Sequence[str]:
    return [each.message for each in lint_rules({"rules.yaml": {"groups": [{"rules": list(rules)}]}}, SERIES)]


def told_of(expression: str) -> Sequence[str]:
    return told({"alert": "Some", "expr": expression})


@pytest.mark.parametrize(
    "expression",
    [
        "vector(1)",
        'up{job="inquiry-svc"} == 0',
        "depth > 2",
        'sum by (endpoint) (rate(requests_total{kind="bad"}[5m])) / sum by (endpoint) (rate(requests_total[5m])) > 0.5',
        'requests_total{kind=~"good|bad",kind!="bad",kind!~"b.*"}',
        'requests_total{endpoint="anything"}',
        "histogram_quantile(0.95, sum by (le, model) (rate(wait_seconds_bucket[5m]))) > 5",
        "(histogram_quantile(0.95, rate(wait_seconds_bucket[5m]))) * 1000 > 500",
        "2 < histogram_quantile(0.95, rate(wait_seconds_bucket[5m]))",
        'wait_seconds_bucket{le=~"2(\\\\.0)?"}',
        'wait_seconds_bucket{le="0.5"} and ignoring (le) wait_seconds_bucket{le="+Inf"}',
        "wait_seconds_sum / wait_seconds_count > 3.3",
        "requests_total unless on (endpoint) requests_total offset 15m",
        'label_replace(depth, "step", "$1", "stage", "(.*)")',
        'absent(up{job="inquiry-svc"})',
        'topk(3, depth{stage="one"})',
        "count(ALERTS{alertname!='Watchdog'})",
        "max_over_time(rate(requests_total[5m])[1h:1m])",
        "{__name__='depth'}",
    ],
)
def test_what_exists_is_not_told_of(expression: str) -> None:
    assert told_of(expression) == []


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("request_total", "unknown metric request_total"),
        ("rate(wait_seconds[5m])", "unknown metric wait_seconds"),
        ("sum(rate(requests_count[5m])) / sum(rate(requests_total[5m]))", "unknown metric requests_count"),
        ("max_over_time(rate(request_total[5m])[1h:1m])", "unknown metric request_total"),
        ('{job="x"}', '{job="x"} selects no metric by name; name one'),
        ('depth{stages="one"}', "depth has no label stages; did you mean 'stage'?"),
        ('depth{stage="three"}', 'depth: stage="three" fits no value of the label; known: one, two'),
        ('depth{stage="oen"}', "depth: stage=\"oen\" fits no value of the label; did you mean 'one'?"),
        ('depth{stage=""}', 'depth: stage="" fits no value of the label; known: one, two'),
        ('depth{stage=~"t.*y"}', 'depth: stage=~"t.*y" fits no value of the label; known: one, two'),
        ('depth{stage!="three"}', 'depth: stage!="three" fits no value of the label; known: one, two'),
        ("sum by (stages) (depth)", "no label stages on what it is taken of; did you mean 'stage'?"),
        ("depth / ignoring (stages) depth", "no label stages on what it is taken of; did you mean 'stage'?"),
        ("sum without (stages) (depth)", "no label stages on what it is taken of; did you mean 'stage'?"),
        (
            "sum by (endpoint) (sum by (kind) (requests_total))",
            "no label endpoint on what it is taken of; known: kind",
        ),
        (
            "depth / on (stage) sum by (job) (depth)",
            "no label stage on what it is taken of; known: job",
        ),
        (
            "histogram_quantile(0.95, rate(wait_seconds_bucket[5m])) > 3",
            "the threshold 3 is no bound of the histogram's buckets, which are 0.5, 1, 2, 5",
        ),
        (
            "1 * 3 <= histogram_quantile(0.95, sum by (le) (rate(wait_seconds_bucket[5m])))",
            "the threshold 3 is no bound of the histogram's buckets, which are 0.5, 1, 2, 5",
        ),
        (
            'wait_seconds_bucket{le="3"}',
            'wait_seconds_bucket: le="3" is no bound of its buckets, which are 0.5, 1, 2, 5',
        ),
        (
            'wait_seconds_bucket{le="2"}',
            'wait_seconds_bucket: le="2" misses exporters that write the bound otherwise; say le=~"2(\\\\.0)?"',
        ),
    ],
)
def test_what_does_not_exist_is_told_once_with_the_cure(expression: str, message: str) -> None:
    assert told_of(expression) == [message]


def test_an_expression_that_is_none_is_told() -> None:
    [message] = told_of("sum(")
    assert message.startswith("its expression can't be read: ")


@pytest.mark.parametrize(
    ("expression", "shown", "carried"),
    [
        ("up == 0", "instance", True),
        ("avg by (job) (up) == 0", "instance", False),
        ("100 - avg(depth) * 100", "stage", False),
        ("sum by (stage) (depth) / on (stage) group_left () sum by (stage) (depth)", "stage", True),
        ("sum by (stage) (depth) and on () vector(1)", "stage", True),
        ("vector(1) or sum by (stage) (depth)", "stage", True),
        ("depth / ignoring (stage) sum by (job, instance) (depth)", "stage", False),
        ("sum by (job) (depth) * on (job) group_right () depth", "stage", True),
        ('count_values("value", depth)', "value", True),
        ("histogram_quantile(0.9, rate(wait_seconds_bucket[5m]))", "le", False),
        ('absent(up{job="x"})', "job", True),
        ('absent(up{job="x"})', "instance", False),
        ("vector(scalar(depth)) > 1", "stage", False),
        ('label_replace(vector(1), "made", "$1", "", "")', "made", True),
    ],
)
def test_a_label_that_the_result_has_not_can_be_shown_to_nobody(expression: str, shown: str, carried: bool) -> None:
    rule = {"alert": "Some", "expr": expression, "annotations": {"summary": f"It is {{{{ $labels.{shown} }}}}"}}
    assert told(rule) == ([] if carried else [f"$labels.{shown} is always empty: the result has no such label"])


def test_a_recorded_name_has_the_labels_of_its_expression_and_of_its_rules() -> None:
    recorded = [
        {"record": "stage:depth:max", "expr": "max by (stage) (depth)", "labels": {"of": "all"}},
        {"record": "stage:depth:max", "expr": "min by (stage) (depth)", "labels": {"of": "none"}},
    ]
    assert told(*recorded, {"alert": "Some", "expr": 'stage:depth:max{of="all",stage="one"}'}) == []
    assert told(*recorded, {"alert": "Some", "expr": 'stage:depth:max{of="some"}'}) == [
        'stage:depth:max: of="some" fits no value of the label; known: all, none'
    ]
    assert told(*recorded, {"alert": "Some", "expr": "stage:depth:max{job='x'}"}) == [
        "stage:depth:max has no label job; known: of, stage"
    ]


def test_a_recorded_quantile_keeps_the_bounds_of_its_histogram() -> None:
    recorded = {"record": "wait:p95", "expr": "histogram_quantile(0.95, sum by (le) (rate(wait_seconds_bucket[5m])))"}
    assert told(recorded, {"alert": "Some", "expr": "wait:p95 > 2"}) == []
    assert told(recorded, {"alert": "Some", "expr": "wait:p95 > 3"}) == [
        "the threshold 3 is no bound of the histogram's buckets, which are 0.5, 1, 2, 5"
    ]


def test_one_mistake_is_told_once_and_not_again_of_what_stands_on_it() -> None:
    recorded = {"record": "deep:rate5m", "expr": "rate(deep[5m])"}
    alert = {"alert": "Some", "expr": 'sum by (any) (deep:rate5m{other="x"}) > 1'}
    assert told(recorded, {**alert, "annotations": {"summary": "{{ $labels.any }}"}}) == ["unknown metric deep"]


def test_a_name_recorded_from_itself_ends() -> None:
    assert told({"record": "a:b", "expr": "a:b offset 1m or depth"}) == []


@pytest.mark.parametrize("content", [None, [], {"route": {}}, "text", {"groups": 1}, {"groups": [{"rules": ["a"]}]}])
def test_a_file_without_groups_is_told(content: Any) -> None:
    [complaint] = lint_rules({"some.yaml": content}, SERIES)
    assert (complaint.place, complaint.message) == (
        "some.yaml",
        "no rule file: it is not a list of groups with lists of rules",
    )


def test_metrics_of_others_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "external.yaml"
    file.write_text("node_cpu_seconds_total: [cpu, mode]\n")
    assert external_series(file)["node_cpu_seconds_total"].labels == dict.fromkeys(("job", "instance", "cpu", "mode"))


@pytest.mark.parametrize("content", ["[a]", "a: b", "a: [1]", "a: {b: c}", "a: [", "\x00"])
def test_a_file_of_metrics_of_others_that_is_none_is_one_line(content: str, tmp_path: Path) -> None:
    file = tmp_path / "external.yaml"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=str(file)):
        external_series(file)
