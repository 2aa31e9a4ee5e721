"""Writes what was measured to `results/`, with the machine, the versions and the commit that it holds for.

Or to the folder that `BENCH_RESULTS` names.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

FOLDER_VARIABLE: Final = "BENCH_RESULTS"
RESULTS: Final = Path(os.environ.get(FOLDER_VARIABLE) or Path(__file__).with_name("results"))


def write_results(name: str, **found: Any) -> None:
    """`results/<name>.json`, in the place of the last run's."""
    RESULTS.mkdir(exist_ok=True)
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "machine": f"{platform.machine()}, {_cpu()}",
        "python": platform.python_version(),
        **found,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.processor()


def _output(*command: str) -> str:
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()
