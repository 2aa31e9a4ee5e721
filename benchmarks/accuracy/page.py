"""Writes `benchmarks/accuracy.md` from what was measured; nothing on the page is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.results_file import RESULTS
from inquiry_svc.inquiries import AXES
from inquiry_svc_plugins.classifiers.cascade import CascadeSettings

PAGE: Final = Path(__file__).parents[1] / "accuracy.md"
_ABOUT: Final = """# How right is it, and what is each part worth?

Written by `make accuracy` (`PUBLIC=FILE` names rows of your own to be judged besides); the figures are in
`results/accuracy.json` and `results/second_opinions.json`. Judged on the hands in the corpus' `judging/`: inquiries by
authors from whom nothing here has learnt and by whom nothing was chosen.

- **shipped**: the packaged model, `xgboost`: linear layers over hashed n-grams and over what words mean, a convolution
  over words in their order, trees that put their scores right.
- **linear alone**: those layers without the trees.
- **XGBoost alone**: trees straight over the n-grams, without the linear scores between.
- **MiniLM**: the optional classifier `minilm`: embeddings of a small transformer, logistic regression.
- **keyword**: the fallback, lists of words.

All but the last are trained on the same corpus and calibrated on hands held out of it. Time is that of the processor,
in batches of 64, on a machine that others load: read it as an order of magnitude. ECE is the calibration error over 15
bins."""

_CASCADE: Final = """On these axes the answers of both are joined where the shipped model is less sure than `below`
([docs/classifiers.md](../docs/classifiers.md)). The threshold was chosen on hands held out of both trainings, each
counting alike; the judging hands then judge it. The cost is that of the first, and MiniLM's for the share that goes
on."""
_JOINED: Final = """The same, but of every text: it costs as much as MiniLM alone. The answer is the product of both
models' probabilities to the powers of their weights, made to sum to 1."""
_WORDS: Final = """What the model knows of words beyond the corpus, and other ways to it. Accuracy of linear layers,
without trees, on public rows (the mean of their sources) and on hands held out:"""
_LEFT_OUT: Final = """With what public texts and lists of words know, each source judged without it and its kin; in
points against the same without. Tweets are 4,200 that people judged for VADER, whose valences of words others gave;
how much a valence counts was chosen by this table:"""
_READINGS: Final = """In points against the same without, on hands held out (the mean of all). Convolutions read alike
what pairs can't, "not working" and "doesn't even start"; the model has the last:"""
_BESIDES: Final = """- Trees that only put the linear scores right leave alone what they have not learnt. Beside trees
  that answer from those scores by themselves, of categories .4 points more are right on hands held out and 1.5 on mail
  judged here.
- The more of these trees, the more is right on hands held out and the less on text by people: for the category 20
  rounds were kept, where 60 bring .2 points and cost .4.
- Trees without the linear scores, and on mail MiniLM alone, are less right than the linear layer.
- Of the convolution by itself the mean of two or three that differ by chance is 1 to 2 points more often right; beside
  the other layers as often as one. A moving mean of its weights, and dropping less, do nothing; vectors moved
  to where they mislead most (by 2) cost it 2 to 4 points.
- Of feedback that hands 9 to 101 call low, to leave out the urgency: .6 points more are right of hands 1 to 8, as many
  of those that judge, and 8 fewer of the channels.
- A lean of sentiment away from neutral: of public rows up to 3 points more are right, of judging hands 1 to 3 fewer."""


def write_page(results: Mapping[str, Any], second: Mapping[str, Any] | None = None) -> None:
    """From the content of `results/accuracy.json` and, where it was measured, of `results/second_opinions.json`; what
    was tried besides is in `results/words_tried.json` and `results/readings_tried.json`."""
    words, readings = (json.loads((RESULTS / f"{name}_tried.json").read_text()) for name in ("words", "readings"))
    lines = [*_lines(results), *(_second_opinions(second) if second else ())]
    lines += [*_words_tried(words), *_readings_tried(readings)]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
    if results.get("channels"):
        yield from _heading("Other channels")
        yield "Hands kept for judging too, who write what is no mail: bare requests to a shop's chat, first lines to"
        yield "the people desk, posts on trackers, posts, reviews, rights in a customer's own small words. Accuracy:"
        yield from _by_source(results["channels"], list(systems))
    if results.get("public"):
        yield from _heading("Public rows")
        yield "Text that people wrote for other purposes, short and unlike mail, from data sets that are not kept here"
        yield "and that nothing was trained on. Accuracy:"
        yield from _by_source(results["public"], list(systems))


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


def _by_source(found_on: Mapping[str, Any], systems: Sequence[str]) -> Iterator[str]:
    for axis, sources in found_on.items():
        yield ""
        yield f"| {axis} | rows | {' | '.join(systems)} |"
        yield "|---|---|" + "---|" * len(systems)
        for source, found in sources.items():
            yield (
                f"| {source.removeprefix('channel-')} | {found['rows']} | "
                + " | ".join(f"{found[name]:.2f}" if name in found else "-" for name in systems)
                + " |"
            )


def _second_opinions(found: Mapping[str, Any]) -> Iterator[str]:
    asked = found["asked"]
    yield from _heading("A cascade: what MiniLM adds where the shipped model is unsure")
    yield _CASCADE
    yield f"Measured by `python -m benchmarks.accuracy.second_opinions` on {found['date']}, of the models that were"
    yield f"packaged at {found['commit']}."
    yield ""
    yield "![Cost against accuracy of the cascade](pictures/cascade.png)"
    yield ""
    judged = {"judging": "", "held_out": "held-out hands: ", "public": "public rows: "}
    parts = {part: title for part, title in judged.items() if part in found}
    titles = [f"{title}{axis}" for title in parts.values() for axis in asked]
    yield f"| below | goes on | microseconds a text | {' | '.join(titles)} |"
    yield "|---|---|---|" + "---|" * len(titles)
    for points in zip(*(found[part]["cascade"] for part in parts), strict=True):
        on_judging = points[0]
        cells = [f"{each[axis]:.3f}" for each in points for axis in asked]
        below = on_judging["below"]
        name = "all" if below > 1 else f"{below:.2f}"
        yield f"| {name} | {on_judging['share']:.1%} | {cost_us(found, on_judging):,.0f} | {' | '.join(cells)} |"
    yield from _heading("Joined everywhere")
    yield _JOINED
    fitted = "; ".join(f"{axis} {one:.2f} and {other:.2f}" for axis, (one, other) in found["fitted_weights"].items())
    yield f"The cascade's weights are {' and '.join(map(str, found['weights']))}. Those with which the right answers"
    yield f"about hands held out are likeliest: {fitted}."
    yield ""
    yield "| | rows | shipped | MiniLM | joined | gained |"
    yield "|---|---|---|---|---|---|"
    judged |= {"judging": "judging hands", "held_out": "held-out hands", "public": "public rows, mean of sources"}
    for name, title in judged.items():
        for axis, figures in found.get(name, {}).get("alone", {}).items():
            if figures["shipped"] is not None:
                cells = [f"{figures[key]:.3f}" for key in ("shipped", "MiniLM", "joined")]
                gained = 100 * (figures["joined"] - figures["shipped"])
                yield f"| {title}, {axis} | {figures['rows']} | {' | '.join(cells)} | {gained:+.1f} points |"
    yield from _heading("What didn't help")
    default = CascadeSettings().below
    without, asked_too = (
        next(each["urgency"] for each in found["held_out"]["cascade"] if each["below"] == below)
        for below in (0.0, default)
    )
    yield _BESIDES
    yield f"- Asked about urgency too, below {default}, MiniLM takes it from {without:.1%} to {asked_too:.1%} right"
    yield "  on the hands held out."


def _words_tried(found: Mapping[str, Any]) -> Iterator[str]:
    """Tried once, by means that are not kept: the public rows are not in the tree."""
    yield from _heading("What words mean: ways to it that were tried")
    yield _WORDS
    public = {f"public_{axis}": f"public rows: {axis}" for axis in ("category", "sentiment")}
    held_out = {f"held_out_{axis}": f"held-out hands: {axis}" for axis in ("category", "sentiment")}
    yield from _tried(found["tried"], public | held_out, ".3f")
    yield ""
    yield _LEFT_OUT
    columns = {
        "category": "category",
        "sentiment": "sentiment",
        "tweets": "tweets: sentiment",
        "held_out_sentiment": "held-out hands: sentiment",
    }
    yield from _tried(found["left_out"], columns, "+.1f")


def _readings_tried(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _heading("How a text is read: ways to it that were tried")
    yield _READINGS
    yield from _tried(found["tried"], {axis: axis for axis in AXES}, "+.1f")


def _tried(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], form: str) -> Iterator[str]:
    """A line for each, with a dash where nothing was measured; `columns` names what is kept under each key."""
    yield ""
    yield "| | " + " | ".join(columns.values()) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for each in rows:
        cells = ["-" if each[key] is None else format(each[key], form) for key in columns]
        yield f"| {each['what']} | {' | '.join(cells)} |"


def cost_us(found: Mapping[str, Any], point: Mapping[str, Any]) -> float:
    """Microseconds a text of the cascade at one of its points."""
    costs = found["us_per_text"]["judging"]
    first: float = costs["first"]
    return first + float(costs["second"]) * float(point["share"])
