"""The page growth.md and its pictures, from `results/growth.json` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from benchmarks.results_file import RESULTS

_ROOM: Final = RESULTS.parent
_COLOURS: Final = ("#0b6e4f", "#d98c1f", "#3b7dd8", "#8e44ad", "#c0392b", "#8a8a8a")
_PANELS: Final = {
    "requests_per_s": "requests/s",
    "p99_ms": "p99, ms",
    "cpu_us": "CPU of the service, us a request",
}
_HEAD: Final = """# How cost grows

Written by `python -m benchmarks.growth`; the figures are in [results/growth.json](results/growth.json). Each server is
a process on one core, the load another, but for workers; the texts are the corpus, the cache is off, a closed loop
asks. On {date}, {machine}, Python {python}, commit {commit}; medians of {repeats} turns of {seconds:g} s,
and the least CPU time of them. Requests/s and p99 are as good as the machine was quiet; what else it does can only add
to the CPU time, of which the least is the figure to trust.
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
Up to 64 more connections make a request cheaper, since batches fill: above all a submit, of which one commit serves a
whole batch. From 256 on each costs more again, the constant answer as well. It is not that more is done: by callgrind
a request takes 4 % more instructions at 1,024 connections than at 64, the constant answer 7 %. What they work on has
left the processor's caches by the time it is its turn. p99 grows as the connections do, each of which waits for all
others; at 1,024 it is that of the first moments, while they are accepted sixteen at a time.""",
    ),
    "length": Plot(
        "Length of the text",
        "characters",
        """\
Up to some 500 characters a text costs what any request costs; from some 1,500 on the cost grows as the text does, and
no faster: it is read, checked and classified once through.""",
    ),
    "batch": Plot(
        "Size of a batch",
        "batching.max_batch",
        """\
At 256 connections. A submit is the cheaper the more share a commit, and past 64 there is little left to share.
Classifying gains less: a text alone costs nearly what it costs among others. By callgrind a text takes
as many instructions in a batch of 256 as in one of 64: what lies between them here is the machine's.""",
    ),
    "watchers": Plot(
        "Plugins that watch",
        "plugins",
        """\
Watchers are told once a batch. By callgrind 16 of them add nothing that shows to a request at 64 connections, and less
than the noise by time. At 1 connection a batch is one request, and a submit takes 10 % more instructions with 16 that
watch four events each: 2,200 for each call, in a straight line.""",
        log=False,
    ),
    "workers": Plot(
        "Workers",
        "workers",
        """\
With the core that it takes: one worker shares a core with its load generator, two are the same on two cores, with half
of the 256 connections each, so the load costs either alike. PostgreSQL has its processes on these cores too. From four
cores on the generators have two of their own, and PostgreSQL whatever is free. The constant answer is two processes
that share nothing but the machine: less than twice as much of it is the machine's doing. All workers write one SQLite
file, which has one writer at a time: two have its lock nearly always, most of that while the disk takes a commit.""",
        log=False,
    ),
    "series": Plot(
        "Series of metrics",
        "series of one plugin",
        """\
A scrape grows as the series do, each of which is a line. A request costs the same, since it holds the series on which
it counts and looks through none.""",
        log=False,
    ),
    "list": Plot(
        "Rows in the store: list",
        "rows",
        """\
Fifty inquiries cost the same however many there are: each list walks an index from its newest end. For the critical
there is no index; fifty others are walked past for each, and no more of them the more rows there are.""",
    ),
    "stats": Plot(
        "Rows in the store: stats",
        "rows",
        """\
Totals are added up by the hour: 168 of a week, 17 thousand of a million rows, a minute apart, 88 thousand of ten
years. Rows are counted of the hour with which the window begins, of what came since the last hour was counted, and of
hours in which something changed since. Both stores count hours when they are over, in the background: a million rows
once took 8 s in PostgreSQL and 14 s in SQLite.""",
    ),
    "submit": Plot(
        "Rows in the store: submit",
        "rows",
        """\
The cost stays the same: a row goes to the end of each table and into indexes, trees whose depth grows by a step for
each hundredfold.""",
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
    figure, panels = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
    ticks = _apart(sorted({point["x"] for line in lines.values() for point in line}), plot)
    for axes, (key, label) in zip(panels, _PANELS.items(), strict=True):
        for (line, found), colour in zip(lines.items(), _COLOURS, strict=False):
            xs, ys = [point["x"] for point in found], [point[key] for point in found]
            axes.plot(xs, ys, color=colour, marker="o", markersize=4, label=line)
        axes.set(xlabel=plot.axis, ylabel=label)
        axes.grid(color="#e4e4e4")
        if plot.log:
            axes.set_xscale("log")
            axes.set_yscale("log")
            _show_a_decade(axes)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], fontsize=8)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=8)
    figure.suptitle(plot.title)
    (_ROOM / "pictures").mkdir(exist_ok=True)
    figure.savefig(_ROOM / f"pictures/growth_{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def _show_a_decade(axes: Axes) -> None:
    """At least: else what hardly moves looks as if it did."""
    low, high = axes.get_ylim()
    if high < 10 * low:
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 10**0.5, middle * 10**0.5)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _apart(xs: Sequence[int], plot: Plot) -> Sequence[int]:
    """Those whose labels don't lie on others'."""
    if plot.log:
        return xs
    shown = xs[:1]
    for x in xs[1:]:
        if x - shown[-1] > xs[-1] / 20:
            shown = [*shown, x]
    return shown
