"""The dashboards that are provisioned are what the panels say, and every query speaks of series that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.linting import external_series, lint_rules, own_series
from inquiry_svc.metrics import Gauge
from inquiry_svc.plugins import asked, build_manager
from monitoring.dashboards import DASHBOARDS
from monitoring.dashboards.__main__ import FOLDER, LIVE, wanted_files
from monitoring.dashboards.grafana import DATASOURCE
from monitoring.dashboards.panels import Dashboard, Panel

ROOT: Final = Path(__file__).parents[2]
ALERTING: Final = ROOT / "alerting"
PROVISIONING: Final = ROOT / "monitoring/grafana/provisioning"
FILES: Final = sorted(FOLDER.glob("*.json"))
PANELS: Final = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
QUERIES: Final = [(panel, legend, query) for _, panel in PANELS for legend, query in panel.queries.items()]

METRICS: Final = [*OWN_METRICS, *(each for _, some in asked(build_manager(), "register_metrics") for each in some)]
OWN: Final = own_series(METRICS)
EXTERNAL: Final = external_series(ALERTING / "external.yaml")
GAUGES: Final = {metric.name for metric in METRICS if isinstance(metric, Gauge)}
RULES: Final = {
    str(file): yaml.safe_load(file.read_text())
    for file in [*ALERTING.glob("recording/*.yaml"), *ALERTING.glob("rules/*.yaml")]
}
ALERTS: Final = {rule.get("alert") for file in RULES.values() for group in file["groups"] for rule in group["rules"]}

GUIDE: Final = {
    # the guide's file, its refresh, and the question that each of its panels became
    "pipeline-overview": ("30s", {
        "Request rate": "How many requests come in?",
        "Error rate percentage": "Are requests failing?",
        "95th percentile latency": "How long do requests take?",
        "Active connections": "How many clients are there?",
        "Service health status": "Is every component well?",
    }),
    "model-performance": ("1m", {
        "Model inference latency": "How long does a classifier take?",
        "Prediction confidence distribution": "How is confidence spread?",
        "Category prediction accuracy": "How often is the category right?",
        "Sentiment classification accuracy": "How often is the sentiment right?",
        "Urgency detection accuracy": "How often is the urgency right?",
    }),
    "business-metrics": ("5m", {
        "Inquiry volume over time": "How many inquiries come in?",
        "Category distribution": "What are they about?",
        "Department routing distribution": "Who gets the work?",
        "Escalation rate trend": "How much is escalated?",
        "Average priority score": "How urgent is the work?",
    }),
    "system-health": ("30s", {
        "CPU usage by service": "How busy is each service?",
        "Memory usage by service": "How much memory has each service?",
        "Disk usage": "Is there room on the disk?",
        "Database connection pool": "Are there connections to the database left?",
        "Network traffic": "How much goes over the network?",
    }),
    "kubernetes-cluster": ("30s", {
        "CPU Usage by Namespace": "How busy is each namespace?",
        "Memory Usage by Pod": "How much memory has each pod?",
    }),
    "istio-service-mesh": ("30s", {
        "Request Rate by Service": "How many requests does each service get?",
        "Request Duration P95": "How long do their answers take?",
    }),
}  # fmt: skip


def name_of(value: object) -> str:
    if isinstance(value, Dashboard):
        return value.name
    return value.question if isinstance(value, Panel) else Path(str(value)).name


# What Grafana reads


def test_the_files_are_what_the_panels_say() -> None:
    assert {file: file.read_text() for file in [*FILES, LIVE]} == wanted_files(), "say: make dashboards"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_grafana_knows_every_key_of_the_file(file: Path) -> None:
    assert unknown_to_grafana(file.read_text()) == []


@pytest.mark.parametrize("place", ["", "panels.0", "panels.0.targets.0", "panels.0.fieldConfig.defaults", "templating"])
def test_a_key_that_grafana_does_not_know_would_be_found(place: str) -> None:
    content = json.loads(FILES[0].read_text())
    found: Any = content
    for key in filter(None, place.split(".")):
        found = found[int(key) if key.isdigit() else key]
    found["colour"] = "red"
    assert unknown_to_grafana(json.dumps(content)) == [f"{place}.colour".lstrip(".")]


def unknown_to_grafana(content: str) -> list[str]:
    """The places of keys that Grafana's own model loses when it reads the file and writes it again."""
    register_default_plugins()
    read = model.Dashboard.from_json(json.loads(content))
    return list(lost(json.loads(content), json.loads(json.dumps(read, cls=JSONEncoder))))


def lost(given: Any, kept: Any, place: str = "") -> Iterator[str]:
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            yield from lost(value, kept.get(key), f"{place}.{key}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (value, of_kept) in enumerate(zip(given, kept, strict=True)):
            yield from lost(value, of_kept, f"{place}.{number}")
    elif given != kept:
        yield place.lstrip(".")


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_the_file_is_the_bare_model_that_provisioning_wants(file: Path) -> None:
    content = json.loads(file.read_text())
    assert "dashboard" not in content, "that is the envelope of the HTTP interface"
    assert content["uid"] == f"inquiry-svc-{file.stem}"
    assert len(content["uid"]) <= 40, "Grafana's limit"
    assert content["title"]
    assert content["schemaVersion"] == 41
    source, runbooks = content["templating"]["list"]
    assert (source["type"], source["query"], source["current"]["value"]) == ("datasource", "prometheus", DATASOURCE)
    assert runbooks["name"] == "runbooks"
    ids = [panel["id"] for panel in content["panels"]]
    assert ids == sorted(set(ids))
    for panel in content["panels"]:
        assert panel["type"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_panels_lie_side_by_side(file: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(file.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_titles_and_ids_are_given_once() -> None:
    contents = [json.loads(file.read_text()) for file in FILES]
    for key in ("uid", "title"):
        assert len({content[key] for content in contents}) == len(contents)
    for dashboard in DASHBOARDS:
        assert len({panel.question for panel in dashboard.panels}) == len(dashboard.panels), dashboard.name


@pytest.mark.parametrize("name", GUIDE)
def test_the_guides_dashboard_has_its_panels_and_its_refresh(name: str) -> None:
    refresh, panels = GUIDE[name]
    [dashboard] = [each for each in DASHBOARDS if each.name == name]
    assert dashboard.refresh == refresh
    assert set(panels.values()) <= {panel.question for panel in dashboard.panels}


def test_what_is_provisioned_is_what_the_dashboards_ask_for() -> None:
    [source] = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())["datasources"]
    assert (source["uid"], source["type"]) == (DATASOURCE, "prometheus")
    scraping = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraping["scrape_interval"]
    [provider] = yaml.safe_load((PROVISIONING / "dashboards/inquiry-svc.yml").read_text())["providers"]
    assert (provider["type"], provider["folder"]) == ("file", "inquiry-svc")


# What a person reads


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=name_of)
def test_a_panel_asks_and_explains(dashboard: Dashboard, panel: Panel) -> None:
    assert re.search(r"\?( \(K\d+\))?$", panel.question)
    assert panel.about.endswith(".")
    content = json.loads((FOLDER / f"{dashboard.name}.json").read_text())
    [drawn] = [each for each in content["panels"] if each["title"] == panel.question]
    assert drawn["description"].startswith(panel.about)
    assert drawn["fieldConfig"]["defaults"]["unit"]
    assert [target["expr"] for target in drawn["targets"]] == list(panel.queries.values())


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=name_of)
def test_a_panel_links_to_runbooks_of_alerts_that_exist(dashboard: Dashboard, panel: Panel) -> None:
    assert set(panel.runbooks) <= ALERTS
    content = json.loads((FOLDER / f"{dashboard.name}.json").read_text())
    [drawn] = [each for each in content["panels"] if each["title"] == panel.question]
    links = [link["url"] for link in drawn["links"]]
    assert links == [f"${{runbooks}}/alerting/runbooks/{name}.md" for name in panel.runbooks]


def test_every_alert_but_the_watchdog_has_a_panel_that_shows_why() -> None:
    shown = {name for _, panel in PANELS for name in panel.runbooks}
    assert ALERTS - shown == {None, "Watchdog"}


# What Prometheus is asked


@pytest.mark.parametrize(("panel", "legend", "query"), QUERIES, ids=name_of)
def test_a_query_speaks_of_what_exists(panel: Panel, legend: str, query: str) -> None:
    assert complaints_about(query, legend) == []


@pytest.mark.parametrize(("dashboard", "panel"), PANELS, ids=name_of)
def test_a_panel_says_what_it_needs_beside_the_service(dashboard: Dashboard, panel: Panel) -> None:
    names = {selector.name for query in panel.queries.values() for selector in selectors_of(query)}
    of_others = names & (EXTERNAL.keys() - {"up"}) or any(
        "up{" in q and "inquiry-svc" not in q for q in panel.queries.values()
    )
    assert bool(panel.needs) == bool(of_others)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("sum(rate(http_request_total{job='inquiry-svc'}[5m]))", "unknown metric http_request_total"),
        ("sum by (route) (rate(http_requests_total{job='inquiry-svc'}[5m]))", "no label route"),
        ("sum(inquiry_category_total{job='inquiry-svc',category='tax'})", "fits no value"),
        ("sum(rate(http_requests_total{job='inquiry-svc'}[$__rate_interval])", "can't be read"),
        ("sum(rate(db_connections_active{job='inquiry-svc'}[5m]))", "db_connections_active is a gauge"),
        ("rate(inquiries_refused_total{job='inquiry-svc'}[5m])", "not summed"),
        (
            "histogram_quantile(0.95, rate(db_query_duration_seconds_bucket{job='inquiry-svc'}[5m]))",
            "no sum by le",
        ),
        (
            "histogram_quantile(0.95, sum by (stage) (rate(batch_size_bucket{job='inquiry-svc'}[5m])))",
            "no sum by le",
        ),
        ("sum(process_open_fds)", "of every job"),
        ("sum by (operation) (rate(db_query_duration_seconds_count{job='inquiry-svc'}[5m]))", "legend"),
    ],
)  # fmt: skip
def test_a_query_that_is_wrong_is_told_of(query: str, told: str) -> None:
    found = complaints_about(query, "{{stage}}" if told == "legend" else "")
    assert any(told in each or (told == "legend" and "$labels.stage" in each) for each in found), found


def complaints_about(query: str, legend: str) -> list[str]:
    """What is wrong with it, as a rule of the same query with the legend as its annotation would have it."""
    shown = re.sub(r"{{(\w+)}}", r"{{ $labels.\1 }}", legend)
    rule = {"alert": "query", "expr": query.replace("$__rate_interval", "5m"), "annotations": {"legend": shown}}
    rules = {**RULES, "query": {"groups": [{"name": "query", "rules": [rule]}]}}
    told = [each.message for each in lint_rules(rules, {**OWN, **EXTERNAL}) if each.place == "query: query"]
    return told or [*_misuses(parsed(query))]


def _misuses(expression: promql.Expr) -> list[str]:
    found: list[str] = []
    aggregations = 0

    def enter(part: promql.Expr) -> None:
        nonlocal aggregations
        if isinstance(part, promql.AggregateExpr):
            aggregations += 1
        elif isinstance(part, promql.VectorSelector):
            jobs = [each for each in part.matchers.matchers if each.name == "job"]
            if part.name in OWN and not jobs:
                found.append(f"{part.name} is selected of every job")
        elif isinstance(part, promql.Call) and part.func.name in ("rate", "increase", "irate"):
            name = part.args[0].vector_selector.name
            if name in GAUGES:
                found.append(f"{part.func.name} of {name}, but {name} is a gauge")
            if not aggregations:
                found.append(f"{part.func.name} of {name} is not summed")
        elif isinstance(part, promql.Call) and part.func.name == "histogram_quantile":
            inner = part.args[1]
            if not (isinstance(inner, promql.AggregateExpr) and inner.modifier and "le" in inner.modifier.labels):
                found.append("a quantile with no sum by le")

    def leave(part: promql.Expr) -> None:
        nonlocal aggregations
        aggregations -= isinstance(part, promql.AggregateExpr)

    promql.walk(expression, pre_visit=enter, post_visit=leave)
    return found


def selectors_of(query: str) -> list[promql.VectorSelector]:
    found: list[promql.VectorSelector] = []
    promql.walk(
        parsed(query), pre_visit=lambda part: found.append(part) if isinstance(part, promql.VectorSelector) else None
    )
    return found


def parsed(query: str) -> promql.Expr:
    return promql.parse(query.replace("$__rate_interval", "5m"))
