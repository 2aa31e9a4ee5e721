"""What `deploy/` says, as data, and the settings that a service would have there. For tests alone."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import yaml

from inquiry_svc.config import load_settings
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.settings import Settings
from tests.image import FINAL_ENVIRONMENT

ROOT: Final = Path(__file__).parents[1]
DEPLOY: Final = ROOT / "deploy"
VERSION: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def written_secrets(folder: Path, **environ: str) -> dict[str, Path]:
    """Each secret that `deploy/write-secrets` writes, by its name."""
    command = [DEPLOY / "write-secrets", folder]
    subprocess.run(command, env={"PATH": "/usr/bin:/bin", **environ}, check=True, capture_output=True, timeout=20)
    return {file.name: file for file in folder.iterdir()}


def settings_there(environ: Mapping[str, str], mounted: Mapping[str, Path]) -> Settings:
    """What the image makes of these variables; `mounted` says which file here a path there is."""
    here = {name: str(mounted.get(value, value)) for name, value in {**FINAL_ENVIRONMENT, **environ}.items()}
    settings, _ = load_settings(Offers(build_manager()), environ=here)
    return settings


def seconds(duration: str) -> float:
    """Of `1m30s` and the like."""
    units = {"h": 3600, "m": 60, "s": 1}
    return float(sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration)))


Resource: TypeAlias = Mapping[str, Any]


@functools.cache
def rendered(overlay: str) -> list[Resource]:
    """What `kubectl kustomize` makes of a folder below `deploy/kubernetes`, the same each time."""
    with TemporaryDirectory(prefix="inquiry-svc-manifests-") as name:
        tree = Path(name)
        shutil.copytree(DEPLOY, tree / "deploy", ignore=shutil.ignore_patterns("secrets"))
        shutil.copytree(ROOT / "monitoring/grafana", tree / "monitoring/grafana")
        for file in written_secrets(tree / "deploy/kubernetes/overlays/development/secrets").values():
            file.write_text("secret")
        command = [
            str(Path(sys.executable).with_name("kubectl")),
            "kustomize",
            str(tree / "deploy/kubernetes" / overlay),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def argocd() -> list[Resource]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes/argocd/application.yaml").read_text()))


def named(resources: list[Resource], kind: str, name: str) -> Any:
    [found] = [each for each in resources if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def of_kind(resources: list[Resource], kind: str) -> list[Any]:
    return [each for each in resources if each["kind"] == kind]
