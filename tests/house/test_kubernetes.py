"""The manifests are valid, strictly and offline, and every name in them is one of the code or of another manifest."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import kubernetes_validate
import pytest

from inquiry_svc.cli import build_commands
from inquiry_svc.settings import Settings
from inquiry_svc.web.routes import ENDPOINTS
from tests.deployment import DEPLOY, ROOT, VERSION, Resource, argocd, compose, named, of_kind, rendered, settings_there
from tests.image import of_kind as of_word
from tests.image import stages

OVERLAYS: Final = ("overlays/development", "overlays/production")
OLDEST: Final = "1.30"
"""The first whose preStop can sleep by itself."""
OTHERS: Final = (".istio.io", "monitoring.coreos.com", "external-secrets.io")
WORKLOADS: Final = ("Deployment", "StatefulSet", "Job")
PATHS: Final = {each.path for each in ENDPOINTS}
USER: Final = int(of_word("USER", stages()[-1])[0].split(":")[0])
EACH: Final = [
    pytest.param(overlay, each, id=f"{overlay.split('/')[-1]}-{each['kind']}-{each['metadata']['name']}")
    for overlay in OVERLAYS
    for each in rendered(overlay)
]
PODS: Final = [param for param in EACH if param.values[1]["kind"] in WORKLOADS]  # type: ignore[index]


def built_in(resource: Resource) -> bool:
    return not resource["apiVersion"].split("/")[0].endswith(OTHERS)


def pod_of(workload: Resource) -> Any:
    return workload["spec"]["template"]


def ours(overlay: str) -> Iterator[tuple[Any, Any]]:
    """The pod and the container of each workload that runs our image."""
    for each in rendered(overlay):
        if each["kind"] in WORKLOADS:
            for container in pod_of(each)["spec"]["containers"]:
                if "inquiry-svc:" in container["image"]:
                    yield pod_of(each)["spec"], container


def settings_of(overlay: str, container: Any, tmp_path: Path) -> Settings:
    """What the service would read there, with each file of a secret standing in for itself."""
    [source] = container["envFrom"]
    environ = named(rendered(overlay), "ConfigMap", source["configMapRef"]["name"])["data"]
    secret = tmp_path / "secret"
    secret.write_text("postgresql://secret")
    return settings_there(environ, {path: secret for path in environ.values() if path.startswith("/run/secrets/")})


# Valid


@pytest.mark.parametrize("version", [OLDEST, None])
@pytest.mark.parametrize(("overlay", "resource"), EACH)
def test_a_resource_of_kubernetes_is_valid_and_has_no_unknown_field(
    overlay: str, resource: Resource, version: str | None
) -> None:
    if built_in(resource):
        kubernetes_validate.validate(resource, version or kubernetes_validate.latest_version(), strict=True)
        with pytest.raises(kubernetes_validate.ValidationError, match="tpyo"):
            kubernetes_validate.validate({**resource, "tpyo": 1}, version or "1.34", strict=True)
    if resource["kind"] != "Namespace":
        assert resource["metadata"]["namespace"] == "inquiries-system"


def test_development_needs_nothing_but_kubernetes() -> None:
    assert [each["kind"] for each in rendered("overlays/development") if not built_in(each)] == []


# Pods


@pytest.mark.parametrize(("overlay", "workload"), PODS)
def test_a_pod_may_do_little_and_its_image_is_pinned(overlay: str, workload: Resource) -> None:
    spec = pod_of(workload)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"] > 0) == (True, True)
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert re.search(r":v?\d+\.\d+", container["image"])
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(("overlay", "workload"), PODS)
def test_what_a_pod_mounts_is_there(overlay: str, workload: Resource) -> None:
    spec, resources = pod_of(workload)["spec"], rendered(overlay)
    volumes = {each["name"]: each for each in spec["volumes"]}
    claimed = {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", [])}
    for container in spec["containers"]:
        assert {each["name"] for each in container["volumeMounts"]} == volumes.keys() | claimed
        for name, path in _files_named(container, resources):
            folder, _, file = path.rpartition("/")
            [mount] = [each for each in container["volumeMounts"] if each["mountPath"] == folder]
            assert file in _keys(resources, volumes[mount["name"]]["secret"]["secretName"]), name
    for volume in volumes.values():
        match volume:
            case {"configMap": {"name": name}}:
                named(resources, "ConfigMap", name)
            case {"persistentVolumeClaim": {"claimName": name}}:
                named(resources, "PersistentVolumeClaim", name)


def _files_named(container: Any, resources: list[Resource]) -> Iterator[tuple[str, str]]:
    """Variables that name the file of a secret."""
    variables = {each["name"]: each["value"] for each in container.get("env", [])}
    for source in container.get("envFrom", []):
        variables |= named(resources, "ConfigMap", source["configMapRef"]["name"])["data"]
    yield from ((name, value) for name, value in variables.items() if name.endswith("_FILE"))


def _keys(resources: list[Resource], secret: str) -> set[str]:
    for each in resources:
        if each["kind"] == "Secret" and each["metadata"]["name"] == secret:
            return set(each["data"])
        if each["kind"] == "ExternalSecret" and each["spec"]["target"]["name"] == secret:
            return {entry["secretKey"] for entry in each["spec"]["data"]}
    raise AssertionError(f"nobody makes the Secret {secret}")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_and_its_migration_run_this_release_with_settings_that_exist(overlay: str, tmp_path: Path) -> None:
    commands = build_commands().commands
    found = list(ours(overlay))
    assert [container["args"][0] for _, container in found] in (["serve", "migrate"], ["migrate", "serve"])
    for spec, container in found:
        assert container["image"].endswith(f"inquiry-svc:{VERSION}")
        assert container["args"][0] in commands
        assert "command" not in container  # the image's entry point
        assert spec["securityContext"]["runAsUser"] == USER
        assert spec["enableServiceLinks"] is False  # INQUIRY_SVC_SERVICE_HOST is no setting
        settings = settings_of(overlay, container, tmp_path)
        assert settings.store.provider == "postgres"
        assert settings.of_providers["store", "postgres"].url == "postgresql://secret"
        assert settings.of_providers["store", "postgres"].migrate_at_start is False
        assert settings.server.workers == 1
        assert settings.auth.keys_file
        assert not settings.auth.anyone_may_call
        assert settings.auth.open_metrics, "the mesh's agent reads them without a key"
        assert settings.server.data_dir in {each["mountPath"] for each in container["volumeMounts"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_is_asked_where_it_answers_and_given_time_to_stop(overlay: str, tmp_path: Path) -> None:
    spec, container = next(each for each in ours(overlay) if each[1]["args"] == ["serve"])
    server = settings_of(overlay, container, tmp_path).server
    assert container["ports"] == [{"name": "http", "containerPort": server.port}]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {each["port"] for each in asked.values()} == {"http"}
    assert {each["path"] for each in asked.values()} <= PATHS
    assert asked["readiness"]["path"].endswith("/ready")
    slept_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > slept_s + server.announce_stop_s + server.stop_timeout_s + 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_console_runs_this_release_and_asks_the_service_with_a_key_of_its_own(overlay: str, tmp_path: Path) -> None:
    resources = rendered(overlay)
    spec = pod_of(named(resources, "Deployment", "inquiry-svc-console"))["spec"]
    [container] = spec["containers"]
    assert container["image"].endswith(f"inquiry-svc-console:{VERSION}")
    assert container["args"] == ["console"]
    assert "command" not in container
    assert spec["securityContext"]["runAsUser"] == USER
    assert spec["enableServiceLinks"] is False
    key = tmp_path / "key"
    key.write_text("a key")
    environ = {each["name"]: each["value"] for each in container["env"] if each["name"] != "HOME"}
    settings = settings_there(environ, {environ["INQUIRY_CLIENT__KEY_FILE"]: key})
    assert (settings.client.key, settings.console.host) == ("a key", "0.0.0.0")
    service = named(resources, "Service", urlsplit(settings.console.url).hostname or "")
    assert {port["port"] for port in service["spec"]["ports"]} == {urlsplit(settings.console.url).port or 80}
    assert container["ports"] == [{"name": "http", "containerPort": settings.console.port}]
    asked = {container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    [question] = re.findall(r":8501(/\S+?)'", " ".join(compose()["services"]["console"]["healthcheck"]["test"]))
    assert asked == {question}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_comes_to_the_console_and_it_goes_to_the_service_alone(overlay: str) -> None:
    """Whoever reaches the page acts with its key; a way through the API server is for those who may go it."""
    resources = rendered(overlay)
    labels = pod_of(named(resources, "Deployment", "inquiry-svc-console"))["metadata"]["labels"]
    selecting = {
        each["metadata"]["name"]: each["spec"]
        for each in of_kind(resources, "NetworkPolicy")
        if each["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()
    }
    assert selecting.keys() - {"istio-console"} == {"deny-all", "dns", "inquiry-svc-console"}
    assert [name for name, spec in selecting.items() if spec.get("ingress")] == []
    [egress] = selecting["inquiry-svc-console"]["egress"]
    to_service = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "inquiry-svc"}}}
    assert egress == {"to": [to_service], "ports": [{"protocol": "TCP", "port": "http"}]}
    let_in = named(resources, "NetworkPolicy", "inquiry-svc-from-console")["spec"]
    assert let_in["podSelector"] == to_service["podSelector"]
    assert let_in["ingress"] == [{"from": [{"podSelector": {"matchLabels": labels}}], "ports": egress["ports"]}]


# Selectors


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_finds_what_it_is_for(overlay: str) -> None:
    resources = rendered(overlay)
    pods = [pod_of(each)["metadata"]["labels"] for each in resources if each["kind"] in WORKLOADS]
    services = of_kind(resources, "Service")
    for each in resources:
        spec = each.get("spec", {})
        match each["kind"]:
            case "Service":
                assert _found(spec["selector"], pods) == 1
            case "Deployment" | "StatefulSet":
                assert _found(spec["selector"]["matchLabels"], pods) == 1
                assert _found(spec["selector"]["matchLabels"], [pod_of(each)["metadata"]["labels"]]) == 1
            case "PodDisruptionBudget" | "AuthorizationPolicy":
                assert _found(spec["selector"]["matchLabels"], pods) == 1
            case "NetworkPolicy":
                assert _found(spec["podSelector"].get("matchLabels", {}), pods)
            case "ServiceMonitor" if "namespaceSelector" not in spec:
                assert _found(spec["selector"]["matchLabels"], [service["metadata"]["labels"] for service in services])
                ports = {port["name"] for service in services for port in service["spec"]["ports"]}
                assert {endpoint["port"] for endpoint in spec["endpoints"]} <= ports
            case "HorizontalPodAutoscaler":
                named(resources, spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"])


def _found(selector: Mapping[str, str], labelled: list[Mapping[str, str]]) -> int:
    return sum(selector.items() <= labels.items() for labels in labelled)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_port_that_is_named_is_a_containers(overlay: str) -> None:
    resources = rendered(overlay)
    ports = {
        port["name"]: port["containerPort"]
        for each in resources
        if each["kind"] in WORKLOADS
        for container in pod_of(each)["spec"]["containers"]
        for port in container.get("ports", [])
    }
    for service in of_kind(resources, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys()
    for policy in of_kind(resources, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= {*ports, 15020, 15090}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_traffic_is_denied_that_no_policy_allows(overlay: str) -> None:
    deny = named(rendered(overlay), "NetworkPolicy", "deny-all")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


# Argo CD


def test_argo_cd_brings_settings_then_the_schema_then_the_service() -> None:
    production = rendered("overlays/production")
    waves = {
        (each["kind"], each["metadata"]["name"]): int(
            each["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0)
        )
        for each in production
    }
    migration, service = waves["Job", "inquiry-svc-migrate"], waves["Deployment", "inquiry-svc"]
    assert migration < service
    needed = ("Namespace", "ServiceAccount", "ExternalSecret")
    assert {wave for (kind, _), wave in waves.items() if kind in needed} == {-2}
    [settings] = {name for kind, name in waves if kind == "ConfigMap" and name.startswith("inquiry-svc-settings")}
    assert (
        waves["ConfigMap", settings]
        == waves["NetworkPolicy", "stores"]
        == waves["NetworkPolicy", "dns"]
        == -2
        < migration
    )


def test_argo_cd_may_bring_what_the_production_overlay_holds_and_nothing_beside() -> None:
    project, application = argocd()
    source, target = application["spec"]["source"], application["spec"]["destination"]
    assert application["metadata"]["name"] == "inquiries-automation"  # as the monitoring guide asks for it
    assert (ROOT / source["path"] / "kustomization.yaml").exists()
    assert application["spec"]["project"] == project["metadata"]["name"]
    assert source["repoURL"] in project["spec"]["sourceRepos"]
    assert target in project["spec"]["destinations"]
    allowed = {(each["group"], each["kind"]) for each in project["spec"]["clusterResourceWhitelist"]}
    assert allowed == {
        ("", each["kind"]) for each in rendered("overlays/production") if "namespace" not in each["metadata"]
    }
    assert (
        "replicas" not in named(rendered("overlays/production"), "Deployment", "inquiry-svc")["spec"]
    )  # the autoscaler's


def test_the_folder_of_schemas_knows_the_oldest_version() -> None:
    schemas = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema"
    assert (schemas / f"v{OLDEST}.0-local-strict").is_dir()


def test_no_placeholder_is_left_but_those_that_the_readme_names() -> None:
    text = "".join(file.read_text() for file in sorted((DEPLOY / "kubernetes").rglob("*.yaml")))
    hosts = set(re.findall(r"[\w.-]+\.example\.org", text))
    assert hosts == {"inquiries.example.org", "registry.example.org", "git.example.org"}
    readme = (DEPLOY / "README.md").read_text()
    assert [host for host in hosts if host not in readme] == []


def test_every_path_that_the_readme_names_exists() -> None:
    readme = (DEPLOY / "README.md").read_text()
    paths = set(re.findall(r"(?<![\w/.-])(?:deploy|overlays|istio|monitoring|base|tests|alerting)/[\w./-]*\w", readme))
    assert len(paths) > 10
    written = {"deploy/kubernetes/overlays/development/secrets"}
    written |= {f"deploy/secrets/{name}" for name in ("grafana-password", "admin-key", "api-keys")}
    roots = (ROOT, DEPLOY / "kubernetes")
    assert [path for path in paths - written if not any((root / path).exists() for root in roots)] == []


def test_the_readme_asks_argo_cd_for_the_application_that_there_is() -> None:
    _, application = argocd()
    name, namespace = (application["metadata"][key] for key in ("name", "namespace"))
    page = (DEPLOY / "README.md").read_text()
    for asked in ("sync", "health"):
        assert f"kubectl get applications -n {namespace} -o jsonpath='{{.items[*].status.{asked}.status}}'" in page
    assert f"kubectl describe application {name} -n {namespace}" in page
