"""The doctor on what watches the service: one thing is not well with Prometheus, Alertmanager or their files."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tests.acceptance.altered_answers import altered_answers
from tests.acceptance.watched_site import (
    ALERTMANAGER_YML,
    ALERTS_YML,
    PROMETHEUS_YML,
    Site,
    ask,
    await_,
    watched_site,
)
from tests.servers import free_port

pytestmark = pytest.mark.xdist_group("doctor")

DASHBOARD: Final = "monitoring/grafana/dashboards/pipeline-overview.json"
NOT_THERE: Final = f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with watched_site(tmp_path_factory.mktemp("site")) as site:
        yield site


# Its files


@pytest.mark.parametrize(
    ("file", "change", "check", "says"),
    [
        (
            PROMETHEUS_YML,
            lambda text: text.replace("job_name: inquiry-svc", "job_name: inquiries"),
            "scrape configuration",
            "monitoring/prometheus/prometheus.yml has no job inquiry-svc",
        ),
        (
            PROMETHEUS_YML,
            lambda text: text.replace("scrape_interval: 1s", "scrape_every: 1s", 1),
            "scrape configuration",
            r"promtool refuses monitoring/prometheus/prometheus.yml: .*field scrape_every not found.*",
        ),
        (
            ALERTS_YML,
            lambda text: text.replace('max by (job) (up{job="inquiry-svc"}) == 0', "max by (job) (up{ == 0"),
            "rules",
            r"promtool refuses monitoring/prometheus/alerts.yml: .*unexpected.*",
        ),
        (
            ALERTS_YML,
            lambda text: text.replace("data_dir_free_bytes", "data_dir_empty_bytes", 1),
            "rules",
            "monitoring/prometheus/alerts.yml: DiskSpaceLow: unknown metric data_dir_empty_bytes",
        ),
        (
            ALERTMANAGER_YML,
            lambda text: text.replace("text: |", "body: |", 1),
            "alertmanager.yml",
            r"amtool refuses monitoring/alertmanager/alertmanager.yml: .*field body not found.*",
        ),
        (
            DASHBOARD,
            lambda text: text.replace("http_requests_active", "http_requests_now"),
            "dashboards",
            "pipeline-overview.json: a panel: unknown metric http_requests_now",
        ),
        (
            DASHBOARD,
            lambda text: json.dumps({"dashboard": json.loads(text)}),
            "dashboards",
            r".*/pipeline-overview.json is no dashboard that Grafana can provision, it has no title: .*",
        ),
        (DASHBOARD, lambda text: text[:-9], "dashboards", r".*/pipeline-overview.json can't be read: .*"),
    ],
)  # fmt: skip
def test_a_file_that_is_spoilt_is_one_line(
    site: Site, file: str, change: Callable[[str], str], check: str, says: str
) -> None:
    with site.spoilt(file, change):
        [(name, said, cure)] = site.wrong()
    assert name == check
    assert said == says or re.fullmatch(says, said)
    assert cure or check == "dashboards"


def test_without_prometheus_the_file_must_name_the_port_of_the_service(site: Site) -> None:
    port = site.service.rpartition(":")[2]
    with site.spoilt(PROMETHEUS_YML, lambda text: text.replace(f":{port}", ":8123")):
        found = {name: said for name, said, _ in site.wrong("--prometheus", NOT_THERE)}
    assert found.keys() == {"prometheus", "scrape configuration"}
    assert found["scrape configuration"] == (
        f"{PROMETHEUS_YML} scrapes 127.0.0.1:8123; the service is at {site.service}"
    )


# Prometheus


@contextmanager
def loaded(site: Site, file: str, change: Callable[[str], str], *, taken: bool = True) -> Iterator[None]:
    """Prometheus has loaded the changed file while open, or refused it."""
    try:
        with site.spoilt(file, change):
            assert site.reload_prometheus() is taken
            yield
    finally:
        assert site.reload_prometheus()
        site.await_all_is_well()


def test_a_target_that_is_down_is_one_line_with_what_to_correct(site: Site) -> None:
    port, wrong_port = site.service.rpartition(":")[2], NOT_THERE.rpartition(":")[2]
    with loaded(site, PROMETHEUS_YML, lambda text: text.replace(f":{port}", f":{wrong_port}")):
        targets = f"{site.prometheus}/api/v1/targets?state=active"
        await_(lambda: any(each["health"] == "down" for each in ask(targets)["data"]["activeTargets"]))
        site.await_alertmanager()
        [(name, said, cure)] = site.wrong()
    assert name == "targets"
    assert said.startswith(f"{NOT_THERE}/metrics of the job inquiry-svc is down: ")
    assert cure == "start what should listen there, or correct the port in prometheus.yml and reload"


def test_a_prometheus_without_our_job_is_told_of(site: Site) -> None:
    with loaded(site, PROMETHEUS_YML, lambda text: text.replace("job_name: inquiry-svc", "job_name: inquiries")):
        site.await_all_is_well()
        found = {name: said for name, said, _ in site.wrong()}
    assert found == {
        "scrape configuration": "monitoring/prometheus/prometheus.yml has no job inquiry-svc",
        "targets": "Prometheus has no target of the job inquiry-svc",
    }


def test_a_configuration_that_prometheus_refused_is_told_of(site: Site) -> None:
    with loaded(site, ALERTS_YML, lambda text: text.replace("expr: vector(1)", "expr: vector(1"), taken=False):
        site.await_alertmanager()
        found = {name: said for name, said, _ in site.wrong()}
    assert found["prometheus"] == "Prometheus could not load its configuration again and goes on with the one before"
    assert found.keys() == {"prometheus", "rules"}


def test_a_rule_that_can_not_be_evaluated_is_one_line(site: Site) -> None:
    good, bad = 'max by (job) (up{job="inquiry-svc"}) == 0', "sum by (job) (up) * on () group_left () up"
    with loaded(site, ALERTS_YML, lambda text: text.replace(good, bad)):
        await_(lambda: any(rule["health"] == "err" for rule in _rules(site)))
        site.await_alertmanager()
        [(name, said, _)] = site.wrong()
    assert name == "loaded rules"
    assert said.startswith("ServiceDown can't be evaluated: ")


def _rules(site: Site) -> list[dict[str, Any]]:
    groups = ask(f"{site.prometheus}/api/v1/rules")["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_rules_that_prometheus_has_not_loaded_are_one_line(site: Site) -> None:
    more = '  - alert: Newer\n    expr: up{job="inquiry-svc"} == 0\n'
    with site.spoilt(ALERTS_YML, lambda text: re.sub(r"(  rules:\n)", rf"\1{more}", text, count=1)):
        assert site.wrong() == [
            (
                "loaded rules",
                f"Prometheus has not loaded Newer of {ALERTS_YML}",
                "name the file under rule_files, and reload",
            )
        ]


def test_a_prometheus_that_knows_no_alertmanager_is_told_of(site: Site) -> None:
    address = site.alertmanager.removeprefix("http://")
    old = f"alerting:\n  alertmanagers:\n    - static_configs:\n        - targets: [{address}]\n"
    with loaded(site, PROMETHEUS_YML, lambda text: text.replace(old, "")):
        found = {name: said for name, said, _ in site.wrong()}
    assert found["notifications"] == "Prometheus knows no Alertmanager: nobody hears of an alert"
    assert found.keys() <= {"notifications", "watchdog"}, "the last it heard is forgotten within seconds"


def test_an_alert_that_fires_is_one_line_with_its_runbook(site: Site) -> None:
    def firing(text: str) -> str:
        return text.replace('max by (job) (up{job="inquiry-svc"}) == 0\n    for: 2m', 'up{job="inquiry-svc"} == 1')

    with loaded(site, ALERTS_YML, firing):
        alerts = f"{site.prometheus}/api/v1/alerts"
        await_(lambda: any(a["labels"]["alertname"] == "ServiceDown" for a in ask(alerts)["data"]["alerts"]))
        site.await_alertmanager()
        assert site.wrong() == [
            ("firing alerts", "ServiceDown fires: Service inquiry-svc is down", "see alerting/runbooks/ServiceDown.md")
        ]


# Alertmanager


def test_a_watchdog_that_does_not_arrive_is_told_of(site: Site) -> None:
    with altered_answers(site.alertmanager, alerts=lambda body: b"[]") as url:
        [(name, said, _)] = site.wrong("--alertmanager", url)
    assert (name, said) == ("watchdog", f"the alert Watchdog of {site.prometheus} has not arrived at {url}")


def test_a_receiver_that_tells_nobody_and_a_placeholder_are_told_of(site: Site) -> None:
    def silent(body: bytes) -> bytes:
        said = json.loads(body)
        text = said["config"]["original"].replace("support.test", "example.org")
        said["config"]["original"] = re.sub(r"- name: slack-alerts\n(?:(?:  .*)?\n)+", "- name: slack-alerts\n", text)
        return json.dumps(said).encode()

    with altered_answers(site.alertmanager, status=silent) as url:
        found = site.wrong("--alertmanager", url)
    assert [said for _, said, _ in found] == [
        "Alertmanager's configuration still has the placeholder example.org",
        "receiver slack-alerts tells nobody, and a route leads there",
    ]


@pytest.mark.parametrize(
    ("comment", "lasts", "says"),
    [
        ("", timedelta(hours=3), "HighErrorRate fires, pages, and is silenced without a comment by ana"),
        ("deploying", timedelta(minutes=30), "HighErrorRate still fires and pages again at "),
        ("deploying", timedelta(days=30), "a silence of ana lasts until "),
        ("deploying", timedelta(hours=3), ""),
    ],
)
def test_a_page_is_silenced_with_a_reason_and_for_a_while_or_told_of(
    site: Site, comment: str, lasts: timedelta, says: str
) -> None:
    now = datetime.now(UTC)
    labels = {"alertname": "HighErrorRate", "severity": "critical"}
    ask(f"{site.alertmanager}/api/v2/alerts", [{"labels": labels, "endsAt": (now + timedelta(hours=1)).isoformat()}])
    silence = {
        "matchers": [{"name": "alertname", "value": "HighErrorRate", "isRegex": False}],
        "startsAt": now.isoformat(),
        "endsAt": (now + lasts).isoformat(),
        "createdBy": "ana",
        "comment": comment,
    }
    number = ask(f"{site.alertmanager}/api/v2/silences", silence)["silenceID"]
    suppressed = f"{site.alertmanager}/api/v2/alerts?active=false&silenced=true&filter=alertname=HighErrorRate"
    try:
        await_(lambda: any(each["status"]["silencedBy"] for each in ask(suppressed)))
        found = [(name, said) for name, said, _ in site.wrong()]
    finally:
        _delete(f"{site.alertmanager}/api/v2/silence/{number}")
    assert [(name, said[: len(says)]) for name, said in found] == ([("silences", says)] if says else [])


def _delete(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10):
        pass
