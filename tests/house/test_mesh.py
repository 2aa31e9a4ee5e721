"""What Istio is told: nothing is sent twice that could become two inquiries, and nobody comes past the gateway."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from inquiry_svc.settings import BatchingSettings, ConsoleSettings, ServerSettings
from inquiry_svc.web.endpoint import Endpoint
from inquiry_svc.web.routes import ENDPOINTS
from tests.deployment import DEPLOY, named, of_kind, rendered, seconds

RESOURCES: Final = rendered("overlays/production")
SERVICE: Final = named(RESOURCES, "Service", "inquiry-svc")
HOST: Final = f"inquiry-svc.{SERVICE['metadata']['namespace']}.svc.cluster.local"
ROUTES: Final = named(RESOURCES, "VirtualService", "inquiry-svc")["spec"]
KEY: Final = {"idempotency-key": "5e0c"}


def route_of(endpoint: Endpoint, headers: dict[str, str]) -> Any:
    """The first route that takes such a request, as Istio chooses it."""
    path = re.sub(r"{\w+}", "x", endpoint.path)
    for route in ROUTES["http"]:
        for match in route.get("match", [{}]):
            wanted = {"method": endpoint.method, "uri": path}
            if all(each["exact"] == wanted[name] for name, each in match.items() if name in wanted) and all(
                re.fullmatch(each["regex"], headers.get(name, "")) for name, each in match.get("headers", {}).items()
            ):
                return route
    raise AssertionError(f"no route takes {endpoint.method} {path}")


@pytest.mark.parametrize("headers", [{}, KEY], ids=["without a key", "with a key"])
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
def test_what_is_sent_again_can_only_be_done_once(endpoint: Endpoint, headers: dict[str, str]) -> None:
    retries = route_of(endpoint, headers)["retries"]
    if retries["attempts"]:
        assert endpoint.method == "GET" or (endpoint.idempotent and headers == KEY)
        assert set(retries["retryOn"].split(",")) == {"connect-failure", "refused-stream", "reset"}  # no answer came
        assert seconds(retries["perTryTimeout"]) > BatchingSettings().deadline_s + 1


def test_a_submit_with_a_key_is_sent_again_and_an_upload_takes_as_long_as_it_takes() -> None:
    submit, bulk = (next(each for each in ENDPOINTS if each.path.endswith(end)) for end in ("/submit", "/bulk"))
    assert route_of(submit, KEY)["retries"]["attempts"] > 0
    assert "timeout" not in route_of(bulk, KEY)


def test_what_the_console_asks_is_never_sent_twice() -> None:
    """Else its sidecar would, by Istio's own habit."""
    within = named(RESOURCES, "VirtualService", "inquiry-svc-within")["spec"]
    assert (within["hosts"], within["gateways"]) == ([HOST], ["mesh"])
    [route] = within["http"]
    assert "match" not in route
    assert route["retries"] == {"attempts": 0}
    assert route["route"] == ROUTES["http"][0]["route"]
    asked = {each["name"]: each["value"] for each in console_container()["env"]}["INQUIRY_CONSOLE__URL"]
    assert asked == f"http://{HOST.partition('.')[0]}"
    assert seconds(route["timeout"]) > ConsoleSettings().timeout_s


def console_container() -> Any:
    [container] = named(RESOURCES, "Deployment", "inquiry-svc-console")["spec"]["template"]["spec"]["containers"]
    return container


def test_a_sidecar_reaches_its_control_plane_and_the_collector_and_no_more() -> None:
    for name, pod in (("istio", "inquiry-svc"), ("istio-console", "inquiry-svc-console")):
        policy = named(RESOURCES, "NetworkPolicy", name)["spec"]
        assert policy["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": pod}
        [egress] = policy["egress"]
        [to] = egress["to"]
        assert to["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "istio-system"}
        assert {each["port"] for each in egress["ports"]} == {15012, 4317}


def test_every_route_leads_to_the_service_at_its_port() -> None:
    ports = {port["port"] for port in SERVICE["spec"]["ports"]}
    for route in ROUTES["http"]:
        [destination] = (each["destination"] for each in route["route"])
        assert destination["host"] == HOST
        assert destination["port"]["number"] in ports
    gateway = named(RESOURCES, "Gateway", ROUTES["gateways"][0])
    assert {host for server in gateway["spec"]["servers"] for host in server["hosts"]} == set(ROUTES["hosts"])


def test_the_proxy_closes_idle_connections_first_and_shuns_no_pod_for_being_busy() -> None:
    rule = named(RESOURCES, "DestinationRule", "inquiry-svc")["spec"]
    assert rule["host"] == HOST
    policy = rule["trafficPolicy"]
    assert policy["tls"] == {"mode": "ISTIO_MUTUAL"}
    assert seconds(policy["connectionPool"]["http"]["idleTimeout"]) < ServerSettings().keepalive_timeout_s
    assert (
        policy["outlierDetection"]["consecutive5xxErrors"]
        == policy["outlierDetection"]["consecutiveGatewayErrors"]
        == 0
    )


def test_only_the_gateway_and_the_console_may_call_and_they_may_call_all_but_metrics() -> None:
    assert named(RESOURCES, "PeerAuthentication", "strict")["spec"] == {"mtls": {"mode": "STRICT"}}
    policy = named(RESOURCES, "AuthorizationPolicy", "inquiry-svc")["spec"]
    assert policy["action"] == "ALLOW"
    [rule] = policy["rules"]
    [source], [allowed] = rule["from"], rule["to"]
    gateway, console = source["source"]["principals"]
    assert re.fullmatch(r"cluster\.local/ns/istio-ingress/sa/[\w-]+", gateway)
    pod = named(RESOURCES, "Deployment", "inquiry-svc-console")["spec"]["template"]["spec"]
    account = named(RESOURCES, "ServiceAccount", pod["serviceAccountName"])["metadata"]
    assert console == f"cluster.local/ns/{account['namespace']}/sa/{account['name']}"
    hidden = {each.path for each in ENDPOINTS if each.path.endswith("/metrics")}
    assert set(allowed["operation"]["notPaths"]) == hidden
    assert {each.method for each in ENDPOINTS} <= set(allowed["operation"]["methods"])
    callers = named(RESOURCES, "NetworkPolicy", "inquiry-svc")["spec"]["ingress"][0]["from"]
    namespaces = {each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in callers}
    assert namespaces == {"istio-ingress", "monitoring"}


def test_the_pods_of_the_service_are_in_the_mesh_and_others_are_not() -> None:
    assert named(RESOURCES, "Namespace", "inquiries-system")["metadata"]["labels"]["istio-injection"] == "enabled"
    left_out = {
        each["metadata"]["name"]
        for kind in ("Deployment", "Job")
        for each in of_kind(RESOURCES, kind)
        if each["spec"]["template"]["metadata"]["labels"].get("sidecar.istio.io/inject") == "false"
    }
    assert left_out == {"grafana", "inquiry-svc-migrate"}


def test_spans_go_to_a_provider_that_the_mesh_knows() -> None:
    values = yaml.safe_load((DEPLOY / "kubernetes/istio/values/istiod.yaml").read_text())["meshConfig"]
    [tracing] = named(RESOURCES, "Telemetry", "tracing")["spec"]["tracing"]
    assert [each["name"] for each in tracing["providers"]] == [each["name"] for each in values["extensionProviders"]]
    [egress] = named(RESOURCES, "NetworkPolicy", "istio")["spec"]["egress"]
    assert values["extensionProviders"][0]["opentelemetry"]["port"] in {each["port"] for each in egress["ports"]}
