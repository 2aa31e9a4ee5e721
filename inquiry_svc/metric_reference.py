"""Writes the reference of metrics, in Markdown, from their declarations: so it can't say what is not so.

`monitoring/METRICS.md` is this page for the built-in plugins; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from inquiry_svc.metrics import MAX_OPEN_SERIES, OPEN, Counter, Gauge, Histogram, Metric

_OPENING: Final = f"""# Metrics

Written by `make metrics` from what the code declares; a test fails where the two differ. Edit the declarations.

- A **counter** only goes up, and starts again at 0 with the process: ask for its `rate` or `increase`.
- A **gauge** is a level at this moment: ask for it as it is, or for its `min`, `max` or `avg` over time.
- A **histogram** counts observations up to each of its bounds (`_bucket{{le}}`), all of them (`_count`) and their sum
  (`_sum`). "At most 2 s" is counted exactly where 2 is a bound; a quantile lies somewhere between two bounds.

A metric whose labels have listed values has a series for each combination from the first scrape on, at 0, unless it
says otherwise. A label whose values can't be listed is *open*: its metric stops at {MAX_OPEN_SERIES} series, and what
comes after is counted under `__overflow__`. With several workers every scrape shows all of them, added up unless said
otherwise.
"""
_ACROSS: Final[Mapping[str, str]] = {
    "min": "With several workers: the least of theirs.",
    "max": "With several workers: the greatest of theirs.",
    "mean": "With several workers: the mean of theirs.",
}


def reference(metrics_of: Mapping[str, Iterable[Metric]]) -> str:
    """The page. `metrics_of` maps a heading to the metrics under it."""
    lines = [_OPENING]
    for heading, metrics in metrics_of.items():
        lines.append(f"## {heading}\n")
        for metric in metrics:
            lines += [*_entry(metric), ""]
    return "\n".join(lines)


def _entry(metric: Metric) -> Iterator[str]:
    yield f"### `{metric.name}`"
    yield ""
    yield f"{metric.kind.capitalize()}{f' of {metric.unit}' if metric.unit else ''}. {metric.help}"
    notes = list(_notes(metric))
    if notes:
        yield ""
    yield from (f"- {note}" for note in notes)


def _notes(metric: Metric) -> Iterator[str]:
    for label, values in metric.labels.items():
        yield f"`{label}`: {'open' if values is OPEN else ', '.join(f'`{value}`' for value in values)}"
    if isinstance(metric, Histogram):
        yield f"bounds: {', '.join(f'{bound:.12g}' for bound in metric.buckets)}"
    if isinstance(metric, Gauge) and not metric.starts_at_0:
        yield "There from its first value on."
    if isinstance(metric, Counter | Gauge) and metric.across in _ACROSS:
        yield _ACROSS[metric.across]
