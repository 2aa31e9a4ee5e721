"""Objectives become rules: the arithmetic of budgets, what is left out when it is switched off, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from alerting.generating import BURNS, generate
from alerting.objectives import Objectives, WrongObjectives, load_objectives, parse_objectives

SLO_YAML = Path(__file__).parents[2] / "alerting/slo.yaml"

SLO: dict[str, Any] = {
    "name": "availability",
    "objective": 99.9,
    "description": "It answers.",
    "min_bad_events": 10,
    "sli": {"events": {"error_query": "sum(rate(bad[{{.window}}]))", "total_query": "sum(rate(all[{{.window}}]))"}},
    "alerting": {
        "name": "Burn",
        "labels": {"component": "api"},
        "annotations": {"summary": "Too fast", "description": "{{ $value }} failed"},
        "page_alert": {"labels": {"severity": "critical"}},
        "ticket_alert": {"labels": {"severity": "warning"}},
    },
}
KPI: dict[str, Any] = {
    "kpi": "K4",
    "measure": "error_rate",
    "unit": "ratio",
    "at_most": 0.01,
    "query": "bad / all",
    "events_query": "all",
    "min_events": 200,
    "alerting": {
        "name": "Missed",
        "for": "30m",
        "labels": {"component": "api", "severity": "warning"},
        "annotations": {"summary": "Missed", "description": "{{ $value }} is too much"},
    },
}


def objectives(*, slo: dict[str, Any] | None = None, kpi: dict[str, Any] | None = None) -> Objectives:
    content = {
        "version": "prometheus/v1",
        "service": "svc",
        "labels": {"service": "svc"},
        "slos": [SLO | (slo or {})],
        "kpis": [KPI | (kpi or {})],
    }
    return parse_objectives(yaml.safe_dump(content), "slo.yaml")


def rules(found: Objectives, file: str) -> list[dict[str, Any]]:
    return [rule for group in generate(found)[file]["groups"] for rule in group["rules"]]


def test_a_budget_is_alerted_at_exactly_its_factor_without_a_rounding_error() -> None:
    alerts = rules(objectives(), "rules/slo.yaml")
    assert [(each["expr"].split(" > ")[1].split("\n")[0], each["for"]) for each in alerts] == [
        ("0.0144", "2m"),
        ("0.006", "15m"),
        ("0.003", "1h"),
        ("0.001", "3h"),
    ]


def test_an_alert_wants_both_windows_and_enough_bad_events() -> None:
    first = rules(objectives(), "rules/slo.yaml")[0]
    assert first["expr"].splitlines() == [
        'slo:sli_error:ratio_rate1h{slo="availability"} > 0.0144',
        'and slo:sli_error:ratio_rate5m{slo="availability"} > 0.0144',
        'and slo:bad_events:increase1h{slo="availability"} >= 10',
    ]
    assert first["labels"] == {"service": "svc", "component": "api", "severity": "critical", "window": "1h"}
    assert first["annotations"] == {
        "summary": "Too fast",
        "description": "{{ $value }} failed over the last 1h; the objective allows 0.1 %.",
        "runbook_url": "alerting/runbooks/Burn.md",
    }


def test_every_window_that_an_alert_uses_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules(objectives(), "recording/slo.yaml")}
    used = {f"slo:sli_error:ratio_rate{window}" for burn in BURNS for window in (burn.long, burn.short)}
    assert used | {f"slo:bad_events:increase{burn.long}" for burn in BURNS} <= recorded


@pytest.mark.parametrize("burn", BURNS, ids=lambda burn: burn.long)
def test_a_long_window_says_its_length_once_in_words_and_once_in_seconds(burn: Any) -> None:
    number, unit = int(burn.long[:-1]), burn.long[-1]
    assert number * {"h": 3_600, "d": 86_400}[unit] == burn.long_s


def test_bad_events_are_counted_over_the_whole_window() -> None:
    [rule] = [each for each in rules(objectives(), "recording/slo.yaml") if each["record"].endswith("increase6h")]
    assert rule["expr"] == "(\nsum(rate(bad[6h]))\n) * 21600\n"


def test_alerts_that_are_switched_off_are_left_out() -> None:
    tickets_only = {**SLO["alerting"], "page_alert": {"disable": True}}
    alerts = rules(objectives(slo={"alerting": tickets_only}), "rules/slo.yaml")
    assert [each["labels"]["window"] for each in alerts] == ["1d", "3d"]


def test_a_figure_below_its_bound_or_above_it_is_alerted_on_enough_cases() -> None:
    [above] = rules(objectives(), "rules/kpi.yaml")
    assert above["expr"] == 'kpi:value{kpi="K4"} > 0.01\nand kpi:events{kpi="K4"} >= 200\n'
    [below] = rules(objectives(kpi={"at_most": None, "at_least": 0.85}), "rules/kpi.yaml")
    assert below["expr"].startswith('kpi:value{kpi="K4"} < 0.85\n')
    assert above["annotations"]["description"] == "{{ $value }} is too much."


def test_a_figure_that_an_slo_tells_of_has_no_alert_of_its_own() -> None:
    assert rules(objectives(kpi={"alerting": None, "slo": "availability"}), "rules/kpi.yaml") == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"slo": {"objective": 100}}, "objective of availability is 100"),
        ({"slo": {"objective": 0}}, "objective of availability is 0"),
        ({"slo": {"min_bad_events": 0}}, "min_bad_events"),
        ({"slo": {"objectiv": 99}}, "objectiv"),
        ({"slo": {"sli": {"events": {"error_query": "x", "total_query": "x[{{.window}}]"}}}}, r"no \{\{.window\}\}"),
        ({"kpi": {"at_least": 1}}, "K4: give a bound with exactly one of at_least and at_most"),
        ({"kpi": {"at_most": None}}, "K4: give a bound with exactly one of at_least and at_most"),
        ({"kpi": {"slo": "availability"}}, "K4: say who tells with exactly one of alerting and slo"),
        ({"kpi": {"alerting": None, "slo": "latency"}}, "K4 names the SLO latency, which is none of availability"),
        ({"kpi": {"min_events": None}}, "K4 has an alert; give events_query and min_events"),
        ({"kpi": {"kpi": "availability"}}, "availability is there twice"),
        ({"kpi": {"unit": "percent"}}, "percent"),
    ],
)
def test_wrong_objectives_are_refused_in_one_line(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(WrongObjectives, match=named) as caught:
        objectives(**wrong)
    assert str(caught.value).startswith("slo.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_yaml_or_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrongObjectives, match=r"^slo\.yaml: "):
        parse_objectives("a: [", "slo.yaml")
    with pytest.raises(WrongObjectives, match="can't be read"):
        load_objectives(tmp_path / "none.yaml")


def test_all_ten_kpis_have_somebody_who_tells() -> None:
    found = load_objectives(SLO_YAML)
    assert [kpi.kpi for kpi in found.kpis] == [f"K{number}" for number in range(1, 11)]
