"""Checks of Prometheus: does it scrape the service, has it loaded the rules, would it tell Alertmanager, what fires?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from inquiry_svc.doctor.files import RULES, dashboard_queries, rule_names
from inquiry_svc.doctor.findings import Finding, left_out, look, ok, wrong
from inquiry_svc.doctor.surroundings import Server, Surroundings

JOB: Final = "inquiry-svc"

Figures: TypeAlias = list[tuple[Mapping[str, str], float]]
"""Each series of an answer by its labels."""

_CURES: Final[Mapping[str, str]] = {
    "connection refused": "start what should listen there, or correct the port in prometheus.yml and reload",
    "no such host": "correct the name in prometheus.yml and reload",
    "HTTP status 404": "correct metrics_path in prometheus.yml (it is /metrics) and reload",
    "HTTP status 401": "give the job an API key in prometheus.yml (authorization, credentials_file) and reload",
    "HTTP status 403": "give the job an API key with the scope metrics and reload",
    "deadline exceeded": "look why it is slow, or whether a firewall lies between",
}


async def ask(prometheus: Server, query: str) -> Figures:
    """The answer of this moment, without what is no number. Raises `Unanswered`."""
    answer = await prometheus.json("/api/v1/query", query=query)
    found = [(each["metric"], float(each["value"][1])) for each in answer["data"]["result"]]
    return [(labels, value) for labels, value in found if math.isfinite(value)]


async def configuration(around: Surroundings) -> Iterable[Finding]:
    said = (await around.prometheus.json("/api/v1/status/runtimeinfo"))["data"]
    version = around.prometheus.said["data"]["version"]
    if not said["reloadConfigSuccess"]:
        return [
            wrong(
                "Prometheus could not load its configuration again and goes on with the one before",
                "say promtool check config monitoring/prometheus/prometheus.yml, mend it, and reload",
            )
        ]
    return [ok(f"{around.prometheus.url}, version {version}, keeps {said['storageRetention']}")]


async def targets(around: Surroundings) -> Iterable[Finding]:
    answer = await around.prometheus.json("/api/v1/targets", state="active")
    found = answer["data"]["activeTargets"]
    down = [_down(target) for target in found if target["health"] == "down"]
    ours = [target["scrapeUrl"] for target in found if target["labels"].get("job") == JOB]
    if not ours:
        cure = "put the job of monitoring/prometheus/prometheus.yml into its configuration, and reload"
        down.insert(0, wrong(f"Prometheus has no target of the job {JOB}", cure))
    return down or [ok(f"{len(found)} targets are up, of them {', '.join(ours)}")]


def _down(target: Mapping[str, Any]) -> Finding:
    error = target["lastError"]
    cure = next((cure for part, cure in _CURES.items() if part in error), f"say curl -v {target['scrapeUrl']}")
    return wrong(f"{target['scrapeUrl']} of the job {target['labels']['job']} is down: {error}", cure)


async def rules(around: Surroundings) -> Iterable[Finding]:
    """Whether those of the files are loaded, and whether each can be evaluated."""
    answer = await around.prometheus.json("/api/v1/rules")
    loaded = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    found = [
        wrong(f"{rule['name']} can't be evaluated: {rule.get('lastError')}", "correct its rule, and reload")
        for rule in loaded
        if rule["health"] == "err"
    ]
    if "files" not in around.missing:
        wanted, names = rule_names(around.folder), {rule["name"] for rule in loaded}
        missing = [name for name in wanted if name not in names]
        if missing:
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if missing[3:] else "")
            found.append(
                wrong(f"Prometheus has not loaded {shown} of {RULES}", "name the file under rule_files, and reload")
            )
    alerts = sum(rule["type"] == "alerting" for rule in loaded)
    if not alerts:
        found.append(wrong("Prometheus has no alert loaded", f"name {RULES} under rule_files, and reload"))
    return found or [ok(f"{alerts} alerts and {len(loaded) - alerts} recorded series are evaluated")]


async def notifications(around: Surroundings) -> Iterable[Finding]:
    known = (await around.prometheus.json("/api/v1/alertmanagers"))["data"]["activeAlertmanagers"]
    if not known:
        cure = "name its address under alerting in prometheus.yml, and reload"
        return [wrong("Prometheus knows no Alertmanager: nobody hears of an alert", cure)]
    return [ok(f"Prometheus sends alerts to {', '.join(each['url'] for each in known)}")]


async def firing(around: Surroundings) -> Iterable[Finding]:
    alerts = (await around.prometheus.json("/api/v1/alerts"))["data"]["alerts"]
    fire = [each for each in alerts if each["state"] == "firing" and each["labels"].get("severity") != "none"]
    told = [
        wrong(
            f"{each['labels']['alertname']} fires: {each['annotations'].get('summary', '')}",
            f"see {each['annotations'].get('runbook_url', 'its rule')}",
        )
        for each in fire
    ]
    pending = sorted({each["labels"]["alertname"] for each in alerts if each["state"] == "pending"})
    return told or [ok(f"no alert fires; {', '.join(pending) or 'none'} is pending")]


async def watchdog(around: Surroundings) -> Iterable[Finding]:
    """Whether alerts arrive: this one always fires."""
    rules = (await around.prometheus.json("/api/v1/rules", type="alert"))["data"]["groups"]
    if not any(rule["name"] == "Watchdog" for group in rules for rule in group["rules"]):
        return [left_out("Prometheus has no alert Watchdog loaded")]
    arrived = await around.alertmanager.json("/api/v2/alerts", filter='alertname="Watchdog"')
    if not arrived:
        return [
            wrong(
                f"the alert Watchdog of {around.prometheus.url} has not arrived at {around.alertmanager.url}",
                "correct the address under alerting in prometheus.yml; within 2 minutes of a start, ask again",
            )
        ]
    return [ok("the alert that always fires has arrived at Alertmanager")]


async def quiet_alerts(around: Surroundings) -> Iterable[Finding]:
    """Those that nothing came near for a month: still wanted?"""
    answer = await around.prometheus.json("/api/v1/rules", type="alert")
    loaded = dict.fromkeys(rule["name"] for group in answer["data"]["groups"] for rule in group["rules"])
    seen = await ask(around.prometheus, "count by (alertname) (count_over_time(ALERTS_FOR_STATE[30d]))")
    quiet = loaded.keys() - {labels["alertname"] for labels, _ in seen}
    return [ok(f"{len(quiet)} of {len(loaded)} alerts were never pending within the month")]


async def empty_panels(around: Surroundings) -> Iterable[Finding]:
    """Queries that find nothing now, by dashboard."""
    found = []
    for name, queries in dashboard_queries(around.folder).items():
        empty = sum([not await ask(around.prometheus, query) for query in queries])
        found += [f"{empty} of {len(queries)} of {name.removesuffix('.json')}"] if empty else []
    if not found:
        return [ok("every query of every dashboard finds data")]
    cure = "wait for data, or take away what your site has not: monitoring/dashboards"
    return [look(f"queries that find nothing: {', '.join(found)}", cure)]
