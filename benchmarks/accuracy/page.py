"""Writes `benchmarks/accuracy.md` from what was measured; nothing on the page is typed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from inquiry_svc.inquiries import AXES

PAGE: Final = Path(__file__).parents[1] / "accuracy.md"
_ABOUT: Final = """# How right is it, and what is each part worth?

Written by `python -m benchmarks.accuracy` (`make accuracy`); the figures are in `results/accuracy.json`. Judged on the
hands in the corpus' `judging/`: inquiries by authors from whom nothing here has learnt and by whom nothing was chosen.

- **shipped**: the packaged model, `xgboost`: a linear layer over hashed n-grams, trees over its scores.
- **linear alone**: that layer without the trees.
- **XGBoost alone**: trees straight over the n-grams, without the linear scores between.
- **MiniLM**: the optional classifier `minilm`: embeddings of a small transformer, logistic regression.
- **keyword**: the fallback, lists of words.

All are trained on the same corpus and calibrated on hands held out of it. Time is that of the processor, in batches of
64. ECE is the calibration error over 15 bins."""


def write_page(results: Mapping[str, Any]) -> None:
    """From the content of `results/accuracy.json`."""
    PAGE.write_text("\n".join(_lines(results)) + "\n", encoding="utf-8")


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    systems = results["systems"]
    rows = results["rows"]
    yield _ABOUT
    yield ""
    yield f"On {results['date']}, {results['machine']}, Python {results['python']}; {rows} rows, so that 95 % intervals"
    yield "are some 2 points wide to each side at 90 % and 4 at 50 %."
    for axis in AXES:
        yield from _heading(axis.capitalize())
        yield "| | accuracy | macro F1 | mean confidence | ECE |"
        yield "|---|---|---|---|---|"
        for name, found in systems.items():
            figures = found["axes"][axis]
            cells = [figures[key] for key in ("accuracy", "macro_f1", "mean_confidence", "ece")]
            yield f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |"
        yield ""
        yield f"![Confusion of {axis}](pictures/confusion_{axis}.png)"
    yield from _heading("What it costs")
    yield "| | microseconds a text |"
    yield "|---|---|"
    yield from (f"| {name} | {found['us_per_text']:,.0f} |" for name, found in systems.items())
    for title, key in (("By author", "by_hand"), ("By length", "by_length"), ("By category", "by_category")):
        yield from _heading(title)
        yield from _sliced(systems, key)
    yield from _heading("Is its confidence honest?")
    yield "![Reliability diagram](pictures/reliability.png)"
    yield from _heading("What a person looks at, and how right the rest is")
    shipped = systems["shipped"]
    review = shipped["review"]
    yield f"By its own thresholds the shipped model asks for a person at {review['share']:.1%}; of the rest"
    yield f"{review['accuracy_of_the_rest']:.1%} have the right category."
    yield ""
    yield "![Share reviewed against accuracy of the rest](pictures/review_curve.png)"
    if results.get("public"):
        yield from _public(results["public"], list(systems))


def _heading(text: str) -> Iterator[str]:
    yield ""
    yield f"## {text}"
    yield ""


def _sliced(systems: Mapping[str, Any], key: str) -> Iterator[str]:
    """Accuracy of category / sentiment / urgency in each slice, a column for each system."""
    yield "Accuracy of category / sentiment / urgency:"
    yield ""
    yield f"| | rows | {' | '.join(systems)} |"
    yield "|---|---|" + "---|" * len(systems)
    for name, first in systems["shipped"][key].items():
        if first["rows"]:
            cells = [
                " / ".join("-" if found[key][name][axis] is None else f"{found[key][name][axis]:.2f}" for axis in AXES)
                for found in systems.values()
            ]
            yield f"| {name.replace('_', ' ')} | {first['rows']} | {' | '.join(cells)} |"


def _public(public: Mapping[str, Any], systems: Sequence[str]) -> Iterator[str]:
    yield from _heading("Public rows")
    yield "Text that people wrote for other purposes, short and unlike mail, from data sets that are not kept here and"
    yield "that nothing was trained on. Accuracy:"
    for axis, sources in public.items():
        yield ""
        yield f"| {axis} | rows | {' | '.join(systems)} |"
        yield "|---|---|" + "---|" * len(systems)
        for source, found in sources.items():
            yield f"| {source} | {found['rows']} | " + " | ".join(f"{found[name]:.2f}" for name in systems) + " |"
