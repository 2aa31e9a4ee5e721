"""The benchmarks in short form, in three minutes: whether they still run, and about where we are.

Not how cost grows, nor what models that are swapped cost beside a load, which have no short form; nor the instructions,
which `make soak` counts. Of the peers those on uvicorn: the model servers take longer to start than all else here.

The figures are too short to quote: they are printed, and `results/` stays as it was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Final

import click

from benchmarks.results_file import FOLDER_VARIABLE

BENCHMARKS: Final[Mapping[str, tuple[str, ...]]] = {
    "benchmarks": ("--repeats", "1", "--seconds", "1"),
    "benchmarks.predictor": ("--rounds", "1"),
    "benchmarks.stores": ("--repeats", "1", "--seconds", "0.2"),
    "benchmarks.metrics_cost": ("--seconds", "2"),
    "benchmarks.tracing_cost": ("--rounds", "2", "--seconds", "0.5"),
    "benchmarks.footprint": ("--starts", "1", "--seconds", "1"),
    "benchmarks.overload": ("--rounds", "1", "--seconds", "1", "--loads", "2"),
    "benchmarks.lateness": ("--swaps", "2", "xgboost"),
    "benchmarks.scoring": ("--lines", "2000", "--rounds", "1"),
    "benchmarks.peers": ("--repeats", "1", "--seconds", "1", "--connections", "64", "--only", "uvicorn"),
}


@click.command()
def main() -> None:
    """Run them one after another. The first that fails ends it, with its exit code."""
    started = time.monotonic()
    with TemporaryDirectory(prefix="inquiry-bench-") as folder:
        for name, options in BENCHMARKS.items():
            click.secho(f"\n{name} {' '.join(options)}", bold=True)
            before = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", name, *options], env={**os.environ, FOLDER_VARIABLE: folder}, check=False
            )
            if done.returncode:
                raise SystemExit(done.returncode)
            click.echo(f"({time.monotonic() - before:.0f} s)")
    click.echo(f"\n{time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
