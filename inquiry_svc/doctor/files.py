"""Checks of the files that set up Prometheus, Alertmanager and Grafana, with their own tools where those are here."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from glob import glob
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from inquiry_svc.doctor.findings import Finding, left_out, look, ok, wrong
from inquiry_svc.doctor.surroundings import Surroundings
from inquiry_svc.errors import InquiryServiceError

SCRAPING: Final = "monitoring/prometheus/prometheus.yml"
RULES: Final = "monitoring/prometheus/alerts.yml"
RECEIVERS: Final = "monitoring/alertmanager/alertmanager.yml"
DASHBOARDS: Final = "monitoring/grafana/dashboards"
EXTERNAL: Final = "alerting/external.yaml"

_LONGEST: Final = 300
_MOST: Final = 3
"""Of what is wrong in one kind of file so much is told; the rest often follows from it."""


async def scrape_configuration(around: Surroundings) -> Iterable[Finding]:
    content = _yaml(around.folder / SCRAPING)
    jobs = {job.get("job_name"): job for job in content.get("scrape_configs") or ()}
    if "inquiry-svc" not in jobs:
        cure = "give it a job of this name: the rules know the service by it"
        return [wrong(f"{SCRAPING} has no job inquiry-svc", cure)]
    refused = await _refusal("promtool", "check", "config", "--syntax-only", str(around.folder / SCRAPING))
    if refused:
        return [wrong(f"promtool refuses {SCRAPING}: {refused}", "correct it, and reload Prometheus")]
    beside = (around.folder / SCRAPING).parent
    if not any(glob(str(beside / pattern)) for pattern in content.get("rule_files") or ()):  # noqa: PTH207 (may be absolute)
        return [wrong(f"{SCRAPING} names no file of rules", "name alerts.yml under rule_files")]
    named = [
        target for static in jobs["inquiry-svc"].get("static_configs") or () for target in static.get("targets") or ()
    ]
    port = urlsplit(around.service.url).port if "service" in around.reached else None
    if port and named and "prometheus" not in around.reached and not any(each.endswith(f":{port}") for each in named):
        cure = f"correct the port in {SCRAPING}, or name the service with --url"
        return [wrong(f"{SCRAPING} scrapes {', '.join(named)}; the service is at {around.service.url}", cure)]
    return [ok(f"{SCRAPING} names {', '.join(named) or 'the service'}")]


async def rules(around: Surroundings) -> Iterable[Finding]:
    """Whether Prometheus can read them, and whether they speak of metrics, labels and bounds that exist."""
    file = around.folder / RULES
    cure = "correct the file in alerting/rules, and say make alerts"
    refused = await _refusal("promtool", "check", "rules", str(file))
    if refused:
        return [wrong(f"promtool refuses {RULES}: {refused}", cure)]
    told = await asyncio.to_thread(_complaints, around, {})
    return _first(told, cure) or [ok(f"{len(rule_names(around.folder))} rules speak of what exists")]


async def alertmanager_configuration(around: Surroundings) -> Iterable[Finding]:
    _yaml(around.folder / RECEIVERS)
    refused = await _refusal("amtool", "check-config", str(around.folder / RECEIVERS))
    if refused:
        return [wrong(f"amtool refuses {RECEIVERS}: {refused}", "correct it, and reload Alertmanager")]
    if not shutil.which("amtool"):
        return [left_out(f"{RECEIVERS} is YAML; amtool is not here to read it", "install prometheus-alertmanager")]
    return [ok(f"amtool takes {RECEIVERS}")]


async def dashboards(around: Surroundings) -> Iterable[Finding]:
    """Whether Grafana would show them, and whether their queries speak of what exists."""
    queries = dashboard_queries(around.folder)
    if not queries:
        return [wrong(f"there is no dashboard in {DASHBOARDS}", "say make dashboards")]
    told = await asyncio.to_thread(_complaints, around, queries)
    number = sum(len(each) for each in queries.values())
    cure = "correct the panel in monitoring/dashboards, and say make dashboards"
    return _first(told, cure) or [ok(f"{len(queries)} dashboards with {number} queries of what exists")]


async def unused_metrics(around: Surroundings) -> Iterable[Finding]:
    """What is counted and nobody looks at."""
    asked = [rule["expr"] for rule in _rules(around.folder)]
    asked += [query for queries in dashboard_queries(around.folder).values() for query in queries]
    words = {word for query in asked for word in re.findall(r"\w+", query)}
    words |= {re.sub("_(bucket|sum|count)$", "", word) for word in words}
    unused = sorted(metric.name for metric in around.metrics if metric.name not in words)
    if not unused:
        return [ok("every metric is in a rule or on a dashboard")]
    return [look(f"in no rule and on no dashboard: {', '.join(unused)}", "show it, or leave it")]


def rule_names(folder: Path) -> list[str]:
    """Of the alerts and of the recorded series, each once. Raises `BadFile`."""
    return list(dict.fromkeys(rule.get("alert") or rule.get("record") or "" for rule in _rules(folder)))


def dashboard_queries(folder: Path) -> Mapping[str, list[str]]:
    """By the name of its file. Raises `BadFile`."""
    found = {}
    for file in sorted((folder / DASHBOARDS).glob("*.json")):
        content = _json(file)
        if not isinstance(content, dict) or not content.get("title"):
            raise BadFile(
                f"{file} is no dashboard that Grafana can provision, it has no title: take away the"
                ' {"dashboard": ...} around it, which only the HTTP interface wants'
            )
        panels = content.get("panels") or ()
        targets = [target for panel in panels for target in panel.get("targets") or ()]
        found[file.name] = [str(target.get("expr", "")).replace("$__rate_interval", "5m") for target in targets]
    return found


# Reading


class BadFile(InquiryServiceError):
    """A file can't be read as what it is."""


def _yaml(file: Path) -> Any:
    import yaml

    try:
        content = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadFile(f"{file} can't be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise BadFile(f"{file} holds no keys and values")
    return content


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadFile(f"{file} can't be read: {error}") from error


def _rules(folder: Path) -> list[dict[str, Any]]:
    content = _yaml(folder / RULES)
    return [rule for group in content.get("groups") or () for rule in group.get("rules") or ()]


def _complaints(around: Surroundings, queries: Mapping[str, Iterable[str]]) -> list[str]:
    """Of the rules; or, where there are `queries` by their places, of those, which may use what rules record."""
    from inquiry_svc.linting import external_series, lint_rules, own_series

    external = around.folder / EXTERNAL
    series = own_series(around.metrics) | (external_series(external) if external.exists() else {})
    files: dict[str, Any] = {RULES: _yaml(around.folder / RULES)}
    for place, asked in queries.items():
        files[place] = {"groups": [{"rules": [{"alert": "a panel", "expr": query} for query in asked]}]}
    told = [(each.place, f"{each.place}: {each.message}") for each in lint_rules(files, series)]
    return [says for place, says in told if place.startswith(RULES) != bool(queries)]


def _first(told: list[str], cure: str) -> list[Finding]:
    distinct = list(dict.fromkeys(told))
    more = [f"{len(distinct) - _MOST} more of this kind"] if distinct[_MOST:] else []
    return [wrong(says, cure) for says in [*distinct[:_MOST], *more]]


async def _refusal(tool: str, *arguments: str) -> str | None:
    """What the tool says is wrong, in one line; None where it finds nothing, or is not installed."""
    path = shutil.which(tool)
    if path is None:
        return None
    process = await asyncio.create_subprocess_exec(
        path, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    said = " ".join(out.decode(errors="replace").rpartition("FAILED:")[2].partition("amtool: error")[0].split())
    return (said or "it does not say why")[:_LONGEST] if process.returncode else None
