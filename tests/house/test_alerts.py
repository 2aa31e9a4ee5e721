"""Every alert is named, tested and explained, and every rule speaks of metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from alerting.__main__ import wanted_files
from tests.acceptance.serving import run_command
from tests.servers.prometheus import run_program

ROOT: Final = Path(__file__).parents[2]
ALERTING: Final = ROOT / "alerting"
RULE_FILES: Final = sorted([*ALERTING.glob("rules/*.yaml"), *ALERTING.glob("recording/*.yaml")])
TEST_FILES: Final = sorted(ALERTING.glob("tests/*.yaml"))
RULES: Final[list[dict[str, Any]]] = [
    rule for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
]
ALERTS: Final = [rule for rule in RULES if "alert" in rule]
NAMES: Final = sorted({alert["alert"] for alert in ALERTS})
TESTS: Final[list[dict[str, Any]]] = [test for file in TEST_FILES for test in yaml.safe_load(file.read_text())["tests"]]

GUIDE: Final = {
    # name: severity, component, for
    "HighErrorRate": ("critical", "api", "5m"),
    "ServiceDown": ("critical", "service", "2m"),
    "DatabaseConnectionIssues": ("critical", "database", "1m"),
    "HighLatency": ("warning", "api", "5m"),
    "LowModelConfidence": ("warning", "model", "10m"),
    "HighEscalationRate": ("warning", "routing", "30m"),
    "ArgoCDSyncFailed": ("warning", "argocd", "5m"),
    "ArgoCDSyncError": ("critical", "argocd", "2m"),
    "HighNodeCPUUsage": ("warning", "node", "5m"),
    "HighPodRestartRate": ("warning", "pod", "5m"),
    "HighServiceMeshErrorRate": ("critical", "mesh", "5m"),
}
EVENT_COUNTERS: Final = re.compile(r"\b(rate|increase)\(|\b(slo|kpi):")


def test_promtool_finds_nothing_to_say_about_the_rules() -> None:
    code, said = run_program("promtool", ["check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES], folder=ALERTING)
    assert code == 0, said


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.name)
def test_the_rules_do_on_series_what_they_are_for(file: Path) -> None:
    code, said = run_program("promtool", ["test", "rules", file.name], folder=file.parent)
    assert code == 0, said


def test_prometheus_loads_its_configuration_and_all_rules() -> None:
    file = ROOT / "monitoring/prometheus/prometheus.yml"
    code, said = run_program("promtool", ["check", "config", "--lint=all", "--lint-fatal", file], folder=ROOT)
    assert code == 0, said
    assert f"{len(RULES)} rules found" in said


def test_the_generated_files_are_what_their_source_says() -> None:
    assert [file.name for file, content in wanted_files().items() if file.read_text() != content] == []


def test_every_rule_speaks_of_metrics_labels_and_buckets_that_exist() -> None:
    files = [str(file) for file in RULE_FILES]
    code, out, err = run_command("alerts", "lint", "--external", str(ALERTING / "external.yaml"), *files)
    assert (code, err) == (0, ""), out


@pytest.mark.parametrize("name", GUIDE)
def test_the_guides_alert_has_its_severity_component_and_patience(name: str) -> None:
    [alert] = [each for each in ALERTS if each["alert"] == name]
    assert (alert["labels"]["severity"], alert["labels"]["component"], alert["for"]) == GUIDE[name]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_what_where_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning", "none")
    assert alert["labels"]["component"]
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"alerting/runbooks/{alert['alert']}.md"
    assert not alert["annotations"]["summary"].endswith(".")
    assert alert["annotations"]["description"].endswith(".")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_a_number_that_a_person_reads_is_made_readable(alert: dict[str, Any]) -> None:
    shown = re.findall(r"{{\s*\$value(.*?)}}", " ".join(alert["annotations"].values()))
    assert [each for each in shown if not re.search(r"\| (humanize|printf)", each)] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_is_shown_to_fire_to_be_silent_and_to_bear_missing_series(name: str) -> None:
    of_it = [test for test in TESTS if re.match(rf"{name}\b", test["name"])]
    assert any(_fires(test, name) for test in of_it), "no test shows that it fires"
    kinds = [" fires ", " silent ", " series missing"]
    if any(EVENT_COUNTERS.search(alert["expr"]) for alert in ALERTS if alert["alert"] == name):
        kinds.append("low traffic")
    assert [kind for kind in kinds if not any(kind in f"{test['name']} " for test in of_it)] == []


def _fires(test: dict[str, Any], name: str) -> bool:
    return any(each["alertname"] == name and each.get("exp_alerts") for each in test.get("alert_rule_test", ()))


def test_a_test_is_about_an_alert_or_a_query_that_exists() -> None:
    told = [
        test["name"] for test in TESTS if not re.match(rf"({'|'.join(NAMES)})\b|Q\d\d|A |The |Nothing ", test["name"])
    ]
    assert told == []
    asked = {each["alertname"] for test in TESTS for each in test.get("alert_rule_test", ())}
    assert asked <= set(NAMES)


def test_every_query_of_the_guide_is_recorded_and_evaluated() -> None:
    text = (ALERTING / "recording/queries.yaml").read_text()
    assert re.findall(r"# Q(\d\d) ", text) == [f"{number:02}" for number in range(1, 24)]
    recorded = {rule["record"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]}
    evaluated = " ".join(each["expr"] for test in TESTS for each in test.get("promql_expr_test", ()))
    assert [name for name in recorded if name not in evaluated] == []
