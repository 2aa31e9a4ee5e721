"""In a cluster Prometheus finds the service under the names that rules and dashboards use, and Grafana shows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import pytest
import yaml

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.metrics import Gauge
from inquiry_svc.settings import BatchingSettings, ServerSettings
from inquiry_svc.web.routes import ENDPOINTS
from tests.deployment import DEPLOY, ROOT, named, of_kind, rendered

RESOURCES: Final = rendered("overlays/production")
WATCHING: Final = rendered("monitoring")
VALUES: Final = DEPLOY / "kubernetes/monitoring/values"
GRAFANA: Final = ROOT / "monitoring/grafana"
QUERIES: Final = [ROOT / "monitoring/prometheus/alerts.yml", *sorted((GRAFANA / "dashboards").glob("*.json"))]


def endpoint_of(resources: Any, kind: str, name: str) -> Any:
    [endpoint] = named(resources, kind, name)["spec"]["podMetricsEndpoints" if kind == "PodMonitor" else "endpoints"]
    return endpoint


def job_of(endpoint: Any) -> str | None:
    return next(
        (each["replacement"] for each in endpoint.get("relabelings", []) if each.get("targetLabel") == "job"), None
    )


def test_every_job_that_a_rule_or_a_dashboard_asks_for_is_scraped_under_that_name() -> None:
    asked = set(re.findall(r'job=\\?"([\w-]+)\\?"', "".join(file.read_text() for file in QUERIES)))
    service = named(RESOURCES, "Service", "inquiry-svc")["metadata"]["name"]
    scraped = {
        job_of(endpoint_of(RESOURCES, kind, each["metadata"]["name"])) or service
        for kind in ("ServiceMonitor", "PodMonitor")
        for each in of_kind(RESOURCES, kind)
        if each["metadata"]["name"] != "argocd"
    }
    assert "jobLabel" not in named(RESOURCES, "ServiceMonitor", "inquiry-svc")["spec"]  # the job is the Service's name
    assert asked - {"inquiry-svc-probe"} == scraped == {"inquiry-svc", "istio-mesh", "kubernetes-service-endpoints"}


def test_without_a_mesh_the_service_is_scraped_where_it_shows_its_metrics() -> None:
    endpoint = endpoint_of(WATCHING, "ServiceMonitor", "inquiry-svc")
    assert endpoint["path"] in {each.path for each in ENDPOINTS}
    assert "metricRelabelings" not in endpoint


def test_in_a_mesh_the_agent_shows_the_services_page_and_what_the_mesh_counts_is_not_counted_twice() -> None:
    endpoint = endpoint_of(RESOURCES, "ServiceMonitor", "inquiry-svc")
    assert endpoint["path"] == "/stats/prometheus"
    assert (
        _relabelled(endpoint["relabelings"], {"__meta_kubernetes_pod_ip": "10.1.2.3"})["__address__"]
        == "10.1.2.3:15020"
    )
    [dropped] = endpoint["metricRelabelings"]
    ours = [metric.name for metric in OWN_METRICS]
    assert [name for name in ours if re.fullmatch(dropped["regex"], name)] == []
    assert re.fullmatch(dropped["regex"], "istio_requests_total")
    pod = named(RESOURCES, "Deployment", "inquiry-svc")["spec"]["template"]["metadata"]["annotations"]
    assert pod["prometheus.io/port"] == str(ServerSettings().port)
    assert pod["prometheus.io/path"] in {each.path for each in ENDPOINTS}


@pytest.mark.parametrize(("name", "address"), [("inquiry-svc", "10.1.2.3:15020"), ("grafana", "10.1.2.3:3000")])
def test_whether_an_endpoint_answers_is_asked_where_it_can(name: str, address: str) -> None:
    endpoint = endpoint_of(RESOURCES, "ServiceMonitor", "service-endpoints")
    labels = {
        "__address__": "10.1.2.3:3000",
        "__meta_kubernetes_pod_ip": "10.1.2.3",
        "__meta_kubernetes_pod_label_app_kubernetes_io_name": name,
    }
    assert _relabelled(endpoint["relabelings"], labels)["__address__"] == address


def _relabelled(rules: list[Any], labels: dict[str, str]) -> dict[str, str]:
    """As Prometheus does it, for the action `replace`."""
    found = dict(labels)
    for rule in rules:
        match = re.fullmatch(
            rule.get("regex", "(.*)"), ";".join(found.get(each, "") for each in rule.get("sourceLabels", []))
        )
        if match:
            found[rule["targetLabel"]] = match.expand(rule["replacement"].replace("$", "\\"))
    return found


def test_the_rules_are_all_there_for_the_prometheus_that_looks_for_the_label() -> None:
    rules = named(RESOURCES, "PrometheusRule", "inquiry-svc")
    assert rules["spec"] == yaml.safe_load((ROOT / "monitoring/prometheus/alerts.yml").read_text())
    looked_for = {"release": "kube-prometheus-stack"}
    for kind in ("PrometheusRule", "ServiceMonitor", "PodMonitor"):
        assert [each for each in of_kind(RESOURCES, kind) if each["metadata"]["labels"] != looked_for] == []


def test_grafana_shows_every_dashboard_and_keeps_what_people_do_on_a_volume() -> None:
    [dashboards] = [
        each for each in of_kind(WATCHING, "ConfigMap") if each["metadata"]["name"].startswith("grafana-dash")
    ]
    assert dashboards["data"].keys() == {file.name for file in (GRAFANA / "dashboards").iterdir()}
    assert sum(map(len, dashboards["data"].values())) < 1_000_000  # what a ConfigMap may hold
    [container] = named(WATCHING, "Deployment", "grafana")["spec"]["template"]["spec"]["containers"]
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert mounted["dashboards"] == variables["INQUIRY_DASHBOARDS"]
    for folder, name in (("datasources", "datasources"), ("dashboards", "providers")):
        assert mounted[name] == f"/etc/grafana/provisioning/{folder}"
    used = set(re.findall(r"\$(INQUIRY_\w+)", "".join(file.read_text() for file in GRAFANA.glob("provisioning/*/*"))))
    assert used <= variables.keys()
    assert mounted["data"] == "/var/lib/grafana"
    assert named(WATCHING, "Deployment", "grafana")["spec"]["strategy"] == {"type": "Recreate"}


def test_the_autoscaler_asks_for_a_gauge_of_ours_that_the_adapter_gives() -> None:
    scaler = named(RESOURCES, "HorizontalPodAutoscaler", "inquiry-svc")["spec"]
    [pods] = [each["pods"] for each in scaler["metrics"] if each["type"] == "Pods"]
    name = pods["metric"]["name"]
    [metric] = [each for each in OWN_METRICS if each.name == name]
    assert isinstance(metric, Gauge)
    assert int(pods["target"]["averageValue"]) == BatchingSettings().max_batch // 2
    [rule] = yaml.safe_load((VALUES / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert re.match(r"\w+", rule["seriesQuery"]).group() == name  # type: ignore[union-attr]
    query = re.sub(
        r"<<\.(\w+)>>",
        lambda word: {"GroupBy": "pod", "Series": name, "LabelMatchers": 'pod="a"'}[word[1]],
        rule["metricsQuery"],
    )
    promql.parse(query)
    promql.parse(rule["seriesQuery"])
    assert scaler["minReplicas"] >= 2


def test_alertmanager_finds_its_secrets_where_the_chart_mounts_them() -> None:
    spec = yaml.safe_load((VALUES / "kube-prometheus-stack.yaml").read_text())["alertmanager"]["alertmanagerSpec"]
    [folder] = {
        str(Path(file).parent) for file in re.findall(r"_file: (\S+)", (ROOT / "alerting/alertmanager.yml").read_text())
    }
    assert [each["mountPath"] for each in spec["volumeMounts"]] == [folder]
    assert {each["name"] for each in spec["volumeMounts"]} == {each["name"] for each in spec["volumes"]}
