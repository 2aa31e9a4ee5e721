"""Judges the shipped model beside others on the judging hands, and writes `benchmarks/accuracy.md`.

python -m benchmarks.accuracy                        # some minutes: two of the parts are trained anew
python -m benchmarks.accuracy --public rows.jsonl.gz # rows of your own besides, told of by source
python -m benchmarks.accuracy --page-only            # the page and the pictures, of what was measured last
"""

from __future__ import annotations

import json
from pathlib import Path

import click
from threadpoolctl import threadpool_limits

from benchmarks.__main__ import CORPUS
from benchmarks.accuracy.figures import by_source, figures_of
from benchmarks.accuracy.page import write_page
from benchmarks.accuracy.pictures import draw_cascade, draw_confusion, draw_reliability, draw_review_curve
from benchmarks.accuracy.systems import Judged, judged
from benchmarks.results_file import RESULTS, write_results
from benchmarks.servers import SERVER_CORE, use_core
from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import read_labelled

NAME = "accuracy"


@click.command()
@click.option("--public", type=click.Path(path_type=Path), multiple=True, help="Rows that are judged by their source.")
@click.option("--without-parts", is_flag=True, help="Train no parts; keep what was found of them last.")
@click.option("--page-only", is_flag=True, help="Write the page and the pictures again of the last results.")
def main(public: tuple[Path, ...], without_parts: bool, page_only: bool) -> None:
    """Judge, and write `accuracy.md`, `pictures/` and `results/accuracy.json`."""
    if not page_only:
        use_core(SERVER_CORE)
        with threadpool_limits(1):  # a second thread counts as busy for a while when it has nothing to do any more
            _measure(public, ablations=not without_parts)
    results = json.loads((RESULTS / f"{NAME}.json").read_text())
    systems = results["systems"]
    draw_reliability(systems)
    draw_review_curve(systems)
    for axis in AXES:
        draw_confusion(axis, systems)
    second = RESULTS / "second_opinions.json"
    opinions = json.loads(second.read_text()) if second.exists() else None
    if opinions:
        draw_cascade(opinions)
    write_page(results, opinions)


def _measure(public: tuple[Path, ...], *, ablations: bool) -> None:
    rows = read_labelled(sorted((CORPUS / "judging").glob("judging-*.jsonl")))
    others = [row for row in read_labelled(public) if not row.source.startswith("authored")]
    channels = read_labelled(sorted((CORPUS / "judging").glob("channel-*.jsonl")))
    training = read_labelled(sorted(CORPUS.glob("*.jsonl")))
    mails, texts = [row.text for row in rows], [row.text for row in [*channels, *others]]
    found = list(judged(training, mails, texts, ablations=ablations))
    systems = {each.name: figures_of(_part(each, 0, len(rows)), rows) for each in found}
    after_channels = len(rows) + len(channels)
    elsewhere = {
        "channels": by_source([_part(each, len(rows), after_channels) for each in found], channels),
        "public": by_source([_part(each, after_channels, None) for each in found], others),
    }
    if not ablations:
        last = json.loads((RESULTS / f"{NAME}.json").read_text())
        systems = {name: systems.get(name) or last["systems"][name] for name in [*last["systems"], *systems]}
        for where, axes in elsewhere.items():
            for axis, sources in axes.items():
                for source, right in sources.items():
                    right |= {**last.get(where, {}).get(axis, {}).get(source, {}), **right}
    write_results(NAME, rows=len(rows), systems=systems, **elsewhere)


def _part(system: Judged, first: int, last: int | None) -> Judged:
    return Judged(system.name, system.verdicts[first:last], system.us_per_text, system.review_below, system.model)


if __name__ == "__main__":
    main()
