"""How does cost grow with what there is more of?

    python -m benchmarks.growth                       # all of it, and the page growth.md
    python -m benchmarks.growth --rows 10000000       # with so many more rows in the largest store
    python -m benchmarks.growth --only workers        # one question; the others' figures are kept

Each server is a process on one core and the load generator on another, but for workers (`workers`). The points of a
plot take turns, `repeats` times; medians are drawn, and of the CPU time the least, since what else the machine does can
only add. With BENCH_RESULTS=folder/results page and pictures are in `folder`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any, Final, TypeAlias

import click

from benchmarks.growth import points, workers
from benchmarks.growth.page import write_page
from benchmarks.growth.points import Point, Texts
from benchmarks.load import Figures
from benchmarks.results_file import RESULTS, write_results
from benchmarks.servers import LOAD_CORE, use_core

Question: TypeAlias = Callable[[ExitStack, Texts], Iterator[Point]]
QUESTIONS: Final[Mapping[str, Question]] = {
    "connections": points.connections,
    "length": points.length,
    "batch": points.batch,
    "watchers": points.watchers,
    "workers": workers.workers,
    "series": points.series,
}
ROWS: Final = (10_000, 100_000, 1_000_000)


@click.command()
@click.option(
    "--only", type=click.Choice([*QUESTIONS, "rows"]), multiple=True, help="Of the questions; all unless set."
)
@click.option("--rows", type=int, help="Ask a store of so many rows too.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--seconds", "duration_s", default=2.0, show_default=True, help="Of one point, once.")
@click.option("--seed", default=1, show_default=True)
def main(only: Sequence[str], rows: int | None, repeats: int, duration_s: float, seed: int) -> None:
    """Measure, write `results/growth.json`, draw `pictures/growth_*.png` and write `growth.md`."""
    use_core(LOAD_CORE)
    texts = Texts(seed)
    counts = [*ROWS, *([rows] if rows else [])]
    questions: dict[str, Question] = {**QUESTIONS, "rows": partial(points.rows, counts=counts)}
    plots = _kept() if only else {}
    for name in only or questions:
        with ExitStack() as stack:
            plots |= _measured(name, list(questions[name](stack, texts)), repeats, duration_s)
        write_results("growth", plots=plots, parameters={"repeats": repeats, "seconds": duration_s, "seed": seed})
    write_page(json.loads((RESULTS / "growth.json").read_bytes()))


def _kept() -> dict[str, Any]:
    file = RESULTS / "growth.json"
    return dict(json.loads(file.read_bytes())["plots"]) if file.exists() else {}


def _measured(question: str, asked: Sequence[Point], repeats: int, duration_s: float) -> dict[str, Any]:
    """By plot and line, the points in the order of x."""
    found: dict[Point, list[Figures]] = {}
    cpu_us: dict[Point, list[float]] = {}
    plots = list(dict.fromkeys(point.plot for point in asked))
    rounds = [point for plot in plots for _ in range(repeats) for point in asked if point.plot == plot]
    with click.progressbar(rounds, label=f"{question:12}") as bar:
        for point in bar:
            asked_of = _figures(point, duration_s)
            if asked_of is not None:
                found.setdefault(point, []).append(asked_of[0])
                cpu_us.setdefault(point, []).append(asked_of[1])
    measured: dict[str, Any] = {}
    for point, all_figures in found.items():
        line = measured.setdefault(point.plot, {}).setdefault(point.line, [])
        line.append(
            {
                "x": point.x,
                "requests_per_s": round(median(each.requests_per_s for each in all_figures), 1),
                "p50_ms": round(median(each.p50_ms for each in all_figures), 3),
                "p99_ms": round(median(each.p99_ms for each in all_figures), 3),
                "cpu_us": round(min(cpu_us[point]), 1),
            }
        )
    return measured


def _figures(point: Point, duration_s: float) -> tuple[Figures, float] | None:
    """And the microseconds of the server's CPU for a request. None where it takes longer than the service waits."""
    before_s = point.server.cpu_s()
    try:
        figures = point.server.asked(point.requests, point.connections, duration_s)
    except IndexError:  # not one answer in that time
        return _figures(point, duration_s * 4)
    except RuntimeError as error:
        if "503 Service Unavailable" not in str(error):
            raise
        return None
    return figures, (point.server.cpu_s() - before_s) * 1e6 / figures.answered


if __name__ == "__main__":
    main()
