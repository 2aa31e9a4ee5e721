"""What `deploy/` says, as data, and the settings that a service would have there. For tests alone."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

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
