"""Custom resources are what their definitions say, field by field: the compiler refuses one that does not exist.

The definitions are npm packages (`tests/custom_resources`), as types and as validators. The types know every field and
refuse others; the validators know patterns and bounds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.deployment import Resource, argocd, rendered

INSTALLED: Final = Path(sys.prefix) / "custom_resources/node_modules"
CURE: Final = "Node.js with npm is missing: install it, and say `make test`"
PACKAGES: Final = {
    "argoproj.io": "argo-cd",
    "external-secrets.io": "external-secrets",
    "istio.io": "istio",
    "monitoring.coreos.com": "prometheus-operator",
}
OPTIONS: Final = {"strict": True, "module": "nodenext", "target": "es2022", "skipLibCheck": True, "outDir": "."}
DEEP: Final = {
    # below the spec, in which nothing but known fields may stand
    "AppProject": ("destinations", 0),
    "Application": ("syncPolicy", "retry", "backoff"),
    "AuthorizationPolicy": (),  # deeper, its type lets all pass: see the test of its words
    "DestinationRule": ("trafficPolicy", "outlierDetection"),
    "ExternalSecret": ("data", 0, "remoteRef"),
    "Gateway": ("servers", 0, "tls"),
    "PeerAuthentication": ("mtls",),
    "PodMonitor": ("podMetricsEndpoints", 0, "relabelings", 0),
    "PrometheusRule": ("groups", 0, "rules", 0),
    "ServiceMonitor": ("endpoints", 0),
    "Telemetry": ("tracing", 0),
    "VirtualService": ("http", 0, "retries"),
}


def package_of(resource: Resource) -> str | None:
    group = resource["apiVersion"].split("/")[0]
    return next((name for end, name in PACKAGES.items() if group == end or group.endswith(f".{end}")), None)


RESOURCES: Final = [each for each in (*rendered("overlays/production"), *argocd()) if package_of(each)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that makes each resource by its type, compiled: a wrong field or kind of value fails here."""
    if not INSTALLED.exists():
        # Where there is npm they are installed before the tests.
        (pytest.fail if os.environ.get("CI") == "true" and shutil.which("npm") else pytest.skip)(CURE)
    folder = tmp_path_factory.mktemp("custom_resources")
    (folder / "node_modules").symlink_to(INSTALLED)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "files": ["resources.ts"]}))
    (folder / "resources.ts").write_text("\n".join(_program()))
    code, said = _run("node", str(INSTALLED / "typescript/bin/tsc"), "--project", ".", folder=folder)
    assert code == 0, said
    return folder


def _program() -> Iterator[str]:
    for number, resource in enumerate(RESOURCES):
        kind, module = resource["kind"], f"{package_of(resource)}/{resource['apiVersion']}/{resource['kind']}"
        yield f'import {{ {kind} as Kind{number} }} from "@kubernetes-models/{module}";'
        given = {key: value for key, value in resource.items() if key not in ("apiVersion", "kind")}
        yield f"new Kind{number}({json.dumps(given)}).validate();"
        yield f"// @ts-expect-error: {kind} has no such field"
        yield f"(() => new Kind{number}({json.dumps(_with_a_typo(given, kind))}));"


def _with_a_typo(given: dict[str, Any], kind: str) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(given))
    place = changed["spec"]
    for step in DEEP[kind]:
        place = place[step]
    place["tpyo"] = "x"
    return changed


def _run(*command: str, folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280, check=False
    )
    return done.returncode, done.stdout[:4000]


def test_every_kind_that_is_used_is_held_to_its_definition() -> None:
    assert {each["kind"] for each in RESOURCES} == DEEP.keys()


def test_every_field_exists_and_another_would_be_refused(compiled: Path) -> None:
    assert (compiled / "resources.js").exists()


def test_every_word_of_an_authorization_policy_is_one_of_its_type(compiled: Path) -> None:
    [policy] = (each for each in RESOURCES if each["kind"] == "AuthorizationPolicy")
    types = compiled / "node_modules/@kubernetes-models/istio" / policy["apiVersion"] / "AuthorizationPolicy.d.ts"
    words = set(re.findall(r'"(\w+)":', json.dumps(policy["spec"]["rules"])))
    assert words >= {"principals", "notPaths"}
    assert words <= set(re.findall(r'"(\w+)"\??:', types.read_text()))


def test_every_value_is_within_its_bounds(compiled: Path) -> None:
    code, said = _run("node", "resources.js", folder=compiled)
    assert code == 0, said


def test_a_value_out_of_bounds_is_noticed(compiled: Path) -> None:
    program = (compiled / "resources.js").read_text()
    wrong = program.replace('"interval":"15s"', '"interval":"15 seconds"').replace(
        '"interval": "15s"', '"interval": "15 seconds"'
    )
    assert wrong != program
    (compiled / "wrong.js").write_text(wrong)
    code, said = _run("node", "wrong.js", folder=compiled)
    assert (code, "interval" in said) == (1, True)
