"""The tables of what was measured: for a terminal, and as a page written from the results' file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeAlias

Row: TypeAlias = Mapping[str, Any]
Line: TypeAlias = tuple[str, ...]
COLUMNS: Final[Line] = (
    *("server", "predictor", "requests/s", "of constant", "ours to it", "by CPU"),
    *("p50 ms", "p99 ms", "CPU us", "settings"),
)


def print_tables(rows: Sequence[Row]) -> None:
    for title, lines in _tables(rows):
        print(f"\n{title}")
        for name, predictor, *figures, _ in (COLUMNS, *lines):
            print(f"{name:38}{predictor:11}" + "".join(f"{figure:>12}" for figure in figures))


def write_page(results: Path) -> None:
    """`peers.md` beside `peers.json`."""
    found = json.loads(results.read_text())
    parts = [
        "# Beside the peers",
        f"On {found['date']}, {found['machine']}, Python {found['python']}, commit {found['commit']}. Written by\n"
        "`python -m benchmarks.peers`. *Ours to it*: how many times as much inquiry-svc answers to the same question;\n"
        "*by CPU*: how many times as much CPU the other spends on an answer.",
    ]
    for title, lines in _tables(found["rows"]):
        whole = (COLUMNS, ("---",) * len(COLUMNS), *lines)
        parts += [f"## {title}", "\n".join(f"| {' | '.join(line)} |" for line in whole)]
    if found["not_here"]:
        parts += ["## Not here", "\n".join(f"- {each}" for each in found["not_here"])]
    results.with_suffix(".md").write_text("\n\n".join(parts) + "\n")


def _tables(rows: Sequence[Row]) -> Iterator[tuple[str, list[Line]]]:
    """Of each question and number of connections a title and its lines, the quickest first."""
    for (question, connections), some in groupby(rows, lambda row: (row["question"], row["connections"])):
        title = f"{question[0].upper()}{question[1:]}, {connections} connection{'s' * (connections != 1)}"
        yield title, [_line(row) for row in sorted(some, key=lambda row: -row["requests_per_s"])]


def _line(row: Row) -> Line:
    return (
        row["server"],
        row["predictor"],
        f"{row['requests_per_s']:,}",
        f"{row['of_constant']:.3f}",
        f"{row['ours_to_it']:.1f}",
        f"{row['ours_to_it_by_cpu']:.1f}",
        f"{row['p50_ms']:.2f}",
        f"{row['p99_ms']:.2f}",
        f"{row['cpu_us']:,}",
        row["settings"],
    )
