"""How many instructions does a request take? Counted by callgrind, so that no noise of the machine moves it.

    python -m benchmarks.instructions           # compares with what is kept, and fails where it is 5 % worse
    python -m benchmarks.instructions --keep    # what it finds is what the next is compared with

What is compared is the ratio to the instructions of a constant answer, counted in the same process: what another
processor or compiler changes it mostly changes in both. Neither waiting is counted nor what the kernel does for a
socket.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click

from benchmarks.counted import CASES, MARK, REQUESTS, SEED, Case
from benchmarks.results_file import RESULTS, write_results

ALLOWED: Final = 1.05
"""Times what is kept. Two runs of one tree differ by up to 0.8 %."""
LIMIT_S: Final = 600.0
_FILE: Final = "instructions"


@click.command()
@click.option("--keep", is_flag=True, help="Write what is found to results/instructions.json.")
def main(keep: bool) -> None:
    """Count, print, and compare with what is kept for this version of Python."""
    rows, before = counted(), {} if keep else kept()
    click.echo(f"{'':32}{'instructions':>13}{'of constant':>13}{'than kept':>11}{'metrics':>9}")
    for row in rows:
        than_kept = f"{row['of_constant'] / before[row['case']] - 1:+.1%}" if row["case"] in before else ""
        metrics = f"{row['metrics_share']:.1%}" if "metrics_share" in row else ""
        click.echo(
            f"{row['case']:32}{row['instructions']:13,}{row['of_constant']:13.3f}{than_kept:>11}{metrics:>9}".rstrip()
        )
    if keep:
        write_results(_FILE, rows=rows, parameters={"seed": SEED, "requests": REQUESTS})
    elif more := more_than_allowed(rows, before):
        raise click.ClickException(f"more than {ALLOWED - 1:.0%} above what is kept: {'; '.join(more)}")


def counted() -> list[dict[str, Any]]:
    """Of each case: instructions of a request, their ratio to the constant answer's, the share of what counts."""
    found = dict(zip(CASES, _instructions(), strict=True))
    rows = []
    for case, instructions in found.items():
        if case.metrics:
            constant = found[Case("constant", case.connections)]
            row = {
                "case": f"{case.path}, {case.connections} connections",
                "instructions": round(instructions),
                "of_constant": round(instructions / constant, 3),
            }
            without = found.get(Case(case.path, case.connections, metrics=False))
            rows.append(row if without is None else {**row, "metrics_share": round(1 - without / instructions, 4)})
    return rows


def kept() -> Mapping[str, float]:
    """The ratios to hold to; none for a version of Python for which none are kept."""
    file = json.loads((RESULTS / f"{_FILE}.json").read_bytes())
    same = file["python"].split(".")[:2] == list(platform.python_version_tuple()[:2])
    return {row["case"]: row["of_constant"] for row in file["rows"]} if same else {}


def more_than_allowed(rows: Sequence[Mapping[str, Any]], before: Mapping[str, float]) -> list[str]:
    return [
        f"{row['case']}: {row['of_constant']} of the constant answer, it was {before[row['case']]}"
        for row in rows
        if row["of_constant"] > before.get(row["case"], float("inf")) * ALLOWED
    ]


def _instructions() -> list[float]:
    if shutil.which("valgrind") is None:
        raise click.ClickException("there is no valgrind; Debian and its like have a package of that name")
    with TemporaryDirectory(prefix="inquiry-bench-") as folder:
        pipe = f"--vgdb-prefix={folder}/vgdb"
        command = [
            *("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--dump-before={MARK}", pipe),
            *(f"--callgrind-out-file={folder}/counts", sys.executable, "-m", "benchmarks.counted"),
            *("vgdb", pipe, "--wait=60", "instrumentation", "on"),
        ]
        done = subprocess.run(
            command,
            cwd=RESULTS.parents[1],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        if done.returncode:
            raise click.ClickException(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        # The odd ones are of the warm-ups.
        return [_total(Path(folder, f"counts.{2 * number}")) / REQUESTS for number in range(1, len(CASES) + 1)]


def _total(file: Path) -> int:
    found = re.search(r"^totals: (\d+)$", file.read_text(), re.MULTILINE)
    assert found, f"{file} has no totals"
    return int(found[1])


if __name__ == "__main__":
    main()
