"""Alertmanager tells the right people, in words that can be read, and not twice of one failure."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.house.test_alerts import ALERTING, ALERTS, NAMES, ROOT
from tests.servers.prometheus import run_program

FILE: Final = ALERTING / "alertmanager.yml"
CONFIG: Final[dict[str, Any]] = yaml.safe_load(FILE.read_text())
RECEIVERS: Final = {receiver["name"]: receiver for receiver in CONFIG["receivers"]}

FIRING: Final[dict[str, Any]] = {
    "status": "firing",
    "groupLabels": {"alertname": "HighErrorRate"},
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "HighErrorRate",
                "severity": "critical",
                "component": "api",
                "service": "inquiry-svc",
            },
            "annotations": {
                "summary": "High error rate detected",
                "description": "Error rate is 10% over the last 5 minutes.",
                "runbook_url": "alerting/runbooks/HighErrorRate.md",
            },
            "startsAt": "2026-11-24T04:14:59Z",
            "endsAt": "0001-01-01T00:00:00Z",
        }
    ],
}
RESOLVED: Final[dict[str, Any]] = {
    **FIRING,
    "status": "resolved",
    "alerts": [{**FIRING["alerts"][0], "status": "resolved", "endsAt": "2026-11-24T04:44:10Z"}],
}


def rendered(template: str, data: dict[str, Any], tmp_path: Path) -> str:
    file = tmp_path / "data.json"
    file.write_text(json.dumps(data))
    none = tmp_path / "none.tmpl"
    none.touch()
    arguments = [
        "template",
        "render",
        f"--template.glob={none}",
        f"--template.text={template}",
        f"--template.data={file}",
    ]
    code, said = run_program("amtool", arguments, folder=tmp_path)
    assert code == 0, said
    return said


@pytest.mark.parametrize(
    "file", [FILE, ROOT / "monitoring/alertmanager/alertmanager.yml"], ids=lambda file: file.parent.name
)
def test_amtool_takes_the_configuration(file: Path) -> None:
    code, said = run_program("amtool", ["check-config", file], folder=ROOT)
    assert (code, "SUCCESS" in said) == (0, True), said


def test_the_guides_path_is_the_same_file() -> None:
    assert (ROOT / "monitoring/alertmanager/alertmanager.yml").resolve() == FILE


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']}-{alert['labels']['severity']}")
def test_what_is_critical_goes_to_slack_and_all_else_is_mail(alert: dict[str, Any]) -> None:
    wanted = "slack-alerts" if alert["labels"]["severity"] == "critical" else "email-alerts"
    labels = [f"{name}={value}" for name, value in {"alertname": alert["alert"], **alert["labels"]}.items()]
    arguments = ["config", "routes", "test", f"--config.file={FILE}", f"--verify.receivers={wanted}", *labels]
    code, said = run_program("amtool", arguments, folder=ROOT)
    assert code == 0, said


def test_alerts_are_grouped_and_repeated_as_is_bearable() -> None:
    route = CONFIG["route"]
    assert route["group_by"] == ["alertname", "service", "severity"]
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == ("30s", "5m", "4h")
    assert {each["receiver"]: each["repeat_interval"] for each in route["routes"]}["slack-alerts"] == "1h"


def test_secrets_are_read_from_files() -> None:
    text = FILE.read_text()
    assert re.findall(r"^\s*(?:- )?(\w*(?:password|secret|token|api_url|credentials)\w*):", text, re.MULTILINE) == [
        "smtp_auth_password_file",
        "slack_api_url_file",
    ]


def test_an_inhibition_names_alerts_and_components_that_exist() -> None:
    components = {alert["labels"]["component"] for alert in ALERTS}
    for rule in CONFIG["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, value = re.fullmatch(r'(\w+)[=!~]+"(.*)"', matcher).groups()  # type: ignore[union-attr]
            known = {"alertname": set(NAMES), "component": components, "severity": {"critical", "warning"}}[label]
            assert set(value.split("|")) <= known, matcher


def test_the_mail_says_what_where_since_when_and_what_to_do(tmp_path: Path) -> None:
    [mail] = RECEIVERS["email-alerts"]["email_configs"]
    assert mail["send_resolved"] is True
    assert rendered(mail["headers"]["Subject"], FIRING, tmp_path).strip() == "[FIRING] HighErrorRate"
    assert rendered(mail["headers"]["Subject"], RESOLVED, tmp_path).strip() == "[RESOLVED] HighErrorRate"
    assert rendered(mail["text"], FIRING, tmp_path).strip().splitlines() == [
        "FIRING: High error rate detected",
        "Error rate is 10% over the last 5 minutes.",
        "Severity critical, component api of inquiry-svc, since 2026-11-24 04:14:59 UTC",
        "What to do: https://runbooks.example.org/alerting/runbooks/HighErrorRate.md",
    ]
    assert rendered(mail["text"], RESOLVED, tmp_path).strip().splitlines()[:3] == [
        "RESOLVED: High error rate detected",
        "It was: Error rate is 10% over the last 5 minutes.",
        "Severity critical, component api of inquiry-svc, since 2026-11-24 04:14:59 UTC until 04:44:10 UTC",
    ]


def test_what_is_not_of_one_service_names_none(tmp_path: Path) -> None:
    [alert] = FIRING["alerts"]
    node = {**alert, "labels": {"alertname": "HighNodeCPUUsage", "severity": "warning", "component": "node"}}
    [mail] = RECEIVERS["email-alerts"]["email_configs"]
    assert "Severity warning, component node, since" in rendered(mail["text"], {**FIRING, "alerts": [node]}, tmp_path)


def test_the_slack_message_says_what_and_leads_to_the_runbook(tmp_path: Path) -> None:
    [slack] = RECEIVERS["slack-alerts"]["slack_configs"]
    assert (slack["channel"], slack["send_resolved"]) == ("#alerts", True)
    assert rendered(slack["title"], FIRING, tmp_path).strip() == "[FIRING] HighErrorRate"
    assert rendered(slack["text"], FIRING, tmp_path).strip().splitlines() == [
        "*High error rate detected*",
        "Error rate is 10% over the last 5 minutes.",
        "Severity critical, component api of inquiry-svc",
    ]
    assert rendered(slack["text"], RESOLVED, tmp_path).strip().splitlines()[1] == (
        "It was: Error rate is 10% over the last 5 minutes."
    )
    link = "https://runbooks.example.org/alerting/runbooks/HighErrorRate.md"
    assert rendered(slack["title_link"], FIRING, tmp_path).strip() == link
    assert rendered(slack["fallback"], FIRING, tmp_path).strip() == "[FIRING] HighErrorRate: High error rate detected"
