"""What is an archive scored with: one process, or the workers of a Dask cluster on the same machine?

    python -m benchmarks.scoring

The corpus again and again, as one file, by `inquiry-svc score`, the engines in turn. Seconds of the day are from the
start of the command to its end; of the processor, of the command and all its children. The least of each is kept: what
else the machine does can only add. That both write the same bytes is looked at too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click

from benchmarks.__main__ import CORPUS
from benchmarks.results_file import write_results

_ENGINES: Final[Mapping[str, tuple[str, ...]]] = {
    "local": (),
    "dask, 1 worker": ("--engine", "dask", "--workers", "1"),
    "dask, 2 workers": ("--engine", "dask", "--workers", "2"),
}


@click.command()
@click.option("--lines", default=200_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(lines: int, rounds: int) -> None:
    """Measure, compare, print, and write `results/scoring.json`."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in _ENGINES}
    with TemporaryDirectory(prefix="inquiry-bench-") as folder:
        archive, out = Path(folder, "archive.jsonl"), Path(folder, "out.jsonl")
        _write(archive, lines)
        expected = b""
        for _ in range(rounds):
            for name, options in _ENGINES.items():
                found[name].append(_took("score", str(archive), "--out", str(out), *options))
                scored = out.read_bytes()
                assert scored == (expected or scored), f"{name} wrote other lines"
                expected = scored
    rows = [
        {
            "engine": name,
            "seconds": round(min(took_s for took_s, _ in each), 1),
            "cpu_s": round(min(cpu_s for _, cpu_s in each), 1),
        }
        for name, each in found.items()
    ]
    write_results("scoring", rows=rows, parameters={"lines": lines, "rounds": rounds})
    for row in rows:
        click.echo(f"{row['engine']:16} {row['seconds']:6} s  {row['cpu_s']:6} s of the processor")


def _write(archive: Path, lines: int) -> None:
    rows = b"".join(file.read_bytes() for file in sorted(CORPUS.glob("*.jsonl"))).splitlines(keepends=True)
    with archive.open("wb") as target:
        for first in range(0, lines, len(rows)):
            target.writelines(rows[: lines - first])


def _took(*arguments: str) -> tuple[float, float]:
    """Seconds from start to end, and of the processor."""
    command = str(Path(sys.executable).with_name("inquiry-svc"))
    before, started = os.times(), time.perf_counter()
    subprocess.run([command, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, cpu_s


if __name__ == "__main__":
    main()
