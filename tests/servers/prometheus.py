"""Prometheus, Alertmanager and their tools for tests, from the folder that the environment names, else from PATH.

There is no wheel of them. Where they are missing a test is skipped with the command that mends it; in CI it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pytest

BIN_VARIABLE: Final = "INQUIRY_SVC_TEST_PROMETHEUS_BIN"
CURE: Final = (
    "apt-get install prometheus prometheus-alertmanager prometheus-blackbox-exporter, "
    f"or name their folder in {BIN_VARIABLE}"
)

Program: TypeAlias = Literal["prometheus", "promtool", "alertmanager", "amtool", "blackbox-exporter"]


def program(name: Program) -> str:
    """Where it is. Debian calls two of them prometheus-alertmanager and prometheus-blackbox-exporter."""
    folder = os.environ.get(BIN_VARIABLE)
    for each in (name, f"prometheus-{name}"):
        found = shutil.which(each, path=folder)
        if found:
            return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {name}: {CURE}")
    pytest.skip(f"no {name}: {CURE}")


def run_program(name: Program, arguments: Sequence[Any], *, folder: Path) -> tuple[int, str]:
    """Exit code, and standard output with standard error, of one call in `folder`."""
    done = subprocess.run(
        [program(name), *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    return done.returncode, done.stdout
