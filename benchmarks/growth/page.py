"""The page growth.md and its pictures, from `results/growth.json` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

_ROOM: Final = Path(__file__).parents[1]
_COLOURS: Final = ("#0b6e4f", "#d98c1f", "#3b7dd8", "#8e44ad", "#c0392b", "#8a8a8a")
_HEAD: Final = """# How cost grows

Written by `python -m benchmarks.growth`; the figures are in [results/growth.json](results/growth.json). Each server is
a process on one core, the load another; the texts are the corpus, the cache is off, a closed loop asks. On {date},
{machine}, Python {python}, commit {commit}; medians of {repeats} turns of {seconds:g} s,
and the least CPU time of them: what else a machine does only adds to that, so it is the figure to trust.
"""
Line = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Plot:
    title: str
    axis: str
    says: str
    """What is to be seen, and why."""
    log: bool = True


PLOTS: Final[Mapping[str, Plot]] = {
    "connections": Plot(
        "Connections",
        "connections",
        """\
More connections make a request cheaper up to 64, since the batches fill: above all a submit, of which a commit
serves a whole batch. From 256 on each request costs more again, the constant answer's as well and as much: with so many
in flight each finds its connection gone from the processor's caches. p99 grows with the connections and no faster:
in a closed loop each of them waits for all others.""",
    ),
    "length": Plot(
        "Length of the text",
        "characters",
        """\
A short text costs what any request costs; from some thousand characters on the cost grows as the text does, which
is read, checked and classified once through. Nothing grows faster than the text.""",
    ),
    "batch": Plot(
        "Size of a batch",
        "batching.max_batch",
        """\
At 256 connections. A larger batch makes a submit cheaper, as it shares the commit; past 64 there is little left to
share, and p99 is what it waits for. Classifying gains less: a text alone costs nearly what it costs among others.""",
    ),
    "watchers": Plot(
        "Plugins that watch",
        "plugins",
        """\
Watchers are told once a batch, so that at 64 connections 16 of them cost next to nothing; at 1 connection a batch is
one request, and each watcher is four calls of it: a straight line.""",
        log=False,
    ),
    "workers": Plot(
        "Workers",
        "workers",
        """\
Each worker has a core, and the load generator has a third where there is one; on two cores it takes its share from
the workers, so that a second one can't double anything. Both write one SQLite file, which takes one writer at a time:
for more submits from more workers use PostgreSQL.""",
        log=False,
    ),
    "series": Plot(
        "Series of metrics",
        "series of one plugin",
        """\
A scrape grows as the series do, each being a line; a request doesn't, as it counts on series that it knows and looks
through none.""",
        log=False,
    ),
    "list": Plot(
        "Rows in the store: list",
        "rows",
        """\
Fifty newest inquiries cost the same among ten thousand and among a million: each list walks an index of its own from
its newest end. The line of the critical, of which there is no index, walks past the others, fifty for each, and no more
the more there are.""",
    ),
    "stats": Plot(
        "Rows in the store: stats",
        "rows",
        """\
A week's totals cost what a week holds, here 10,080 rows, however many lie before it. Those of ten years are all rows
there are, counted each time, so they grow as the rows do; a line that ends took longer than `store.timeout_s`, and
was answered 503. To be asked so often it would need totals by day, kept as they change.""",
    ),
    "submit": Plot(
        "Rows in the store: submit",
        "rows",
        """\
A row is put at the end of each table and in a dozen indexes, which are trees: their depth, and so the cost, grows by
a step for each hundredfold.""",
    ),
}


def write_page(results: Mapping[str, Any]) -> None:
    parts = [_HEAD.format(**results, **results["parameters"])]
    for name, lines in results["plots"].items():
        plot = PLOTS[name]
        _draw(name, plot, lines)
        parts.append(
            f"## {plot.title}\n\n{plot.says}\n\n![{plot.title}](pictures/growth_{name}.png)\n\n{_table(plot, lines)}"
        )
    (_ROOM / "growth.md").write_text("\n".join(parts))


def _table(plot: Plot, lines: Mapping[str, Line]) -> str:
    head = f"| | {plot.axis} | requests/s | p50 ms | p99 ms | CPU us |\n|---|---|---|---|---|---|\n"
    return head + "".join(
        f"| {name} | {point['x']:,} | {_short(point['requests_per_s'])} | {_short(point['p50_ms'])} "
        f"| {_short(point['p99_ms'])} | {_short(point['cpu_us'])} |\n"
        for name, line in lines.items()
        for point in line
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _draw(name: str, plot: Plot, lines: Mapping[str, Line]) -> None:
    ticks = sorted({point["x"] for line in lines.values() for point in line})
    figure, (rates, delays, costs) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    for (line, found), colour in zip(lines.items(), _COLOURS, strict=False):
        _add(rates, found, "requests_per_s", line, colour)
        _add(delays, found, "p99_ms", line, colour)
        _add(costs, found, "cpu_us", line, colour)
    for axes, label in ((rates, "requests/s"), (delays, "p99, ms"), (costs, "CPU of the service, us a request")):
        axes.set(xlabel=plot.axis, ylabel=label)
        if plot.log:
            axes.set_xscale("log")
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.grid(color="#e4e4e4", which="major")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], fontsize=8)
        axes.xaxis.set_minor_locator(NullLocator())
        if plot.log:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    rates.legend(frameon=False, fontsize=8)
    figure.suptitle(plot.title)
    (_ROOM / "pictures").mkdir(exist_ok=True)
    figure.savefig(_ROOM / f"pictures/growth_{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def _add(axes: Axes, found: Line, figure: str, line: str, colour: str) -> None:
    xs = [point["x"] for point in found]
    axes.plot(xs, [point[figure] for point in found], color=colour, marker="o", markersize=4, label=line)
