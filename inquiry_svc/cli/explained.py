"""An explanation for people: the text in colour on a terminal, a table of its words elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import click

from inquiry_svc.explanations import AxisExplanation, Explanation, Field, Opinion, Span
from inquiry_svc.inquiries import Text

_ROWS = 12
_PLACES = 3
_STRONG, _NOTABLE = 1 / 2, 1 / 6
"""Of the heaviest weight: bold from the one on, in colour at all from the other on."""


def lines_of(text: Text, explanation: Explanation, *, in_colour: bool) -> Iterator[str]:
    """Some lines for each axis. In colour, green spoke for the label and red for its runner-up."""
    for axis, explained in explanation.axes.items():
        yield f"  {axis}: {_sum_of(explained)}"
        if explained.opinions:
            yield f"    by {' and '.join(map(_said, explained.opinions))}"
        yield from (f"    {line}" for line in (_coloured(text, explained) if in_colour else _table(explained)))
        if explained.flip is not None:
            without = ", ".join(f'"{printable(words)}"' for words in explained.flip.left_out)
            yield f"    without {without}: {explained.flip.label}"


def _sum_of(explained: AxisExplanation) -> str:
    label, runner_up = explained.label, explained.runner_up
    parts = {
        "base": explained.base,
        "words": math.fsum(words.weight for words in explained.words),
        "surface": math.fsum(feature.weight for feature in explained.surface),
        "rest": explained.rest,
    }
    return (
        f"{label} over {runner_up}, "
        f"margin {explained.margin:.2f} = {', '.join(f'{name} {weight:+.2f}' for name, weight in parts.items())}"
    )


def _said(opinion: Opinion) -> str:
    return f"{opinion.model.name}, {opinion.label} ({opinion.weight:+.2f})"


# On a terminal


class _Style(NamedTuple):
    fg: str | None = None
    bold: bool | None = None


def _coloured(text: Text, explained: AxisExplanation) -> Iterator[str]:
    if text.subject:
        yield _painted("subject", text.subject, explained)
    yield _painted("body", text.body, explained)
    features = [
        click.style(f"{feature.name} {feature.value:.3g}", fg=style.fg, bold=style.bold)
        for feature in explained.surface
        if (style := _style(feature.weight, explained)).fg
    ]
    if features:
        yield f"({', '.join(features)})"


def _painted(field: Field, written: str, explained: AxisExplanation) -> str:
    styles = [_Style()] * len(written)
    for words in reversed(explained.words):
        for span in words.spans:
            if span.field == field:
                styles[span.start : span.end] = [_style(words.weight, explained)] * (span.end - span.start)
    runs = groupby(zip(printable(written), styles, strict=True), key=lambda each: each[1])
    return "".join(
        click.style("".join(character for character, _ in run), fg=style.fg, bold=style.bold) for style, run in runs
    )


def _style(weight: float, explained: AxisExplanation) -> _Style:
    heaviest = max(map(abs, explained.weights))
    if abs(weight) < _NOTABLE * heaviest:
        return _Style()
    return _Style("green" if weight > 0 else "red", abs(weight) >= _STRONG * heaviest or None)


# Elsewhere


def _table(explained: AxisExplanation) -> Iterator[str]:
    yield f"{'weight':>7}{'alone':>8}"
    for words in explained.words[:_ROWS]:
        alone = "" if words.alone is None else f"{words.alone:+.2f}"
        yield f"{words.weight:+7.2f}{alone:>8}  {printable(words.text)}  ({_places(words.spans)})"
    more = explained.words[_ROWS:]
    if more:
        yield f"{math.fsum(words.weight for words in more):+7.2f}{'':8}  in {len(more)} more"
    for feature in explained.surface:
        yield f"{feature.weight:+7.2f}{'':8}  {feature.name} {feature.value:.3g}"


def _places(spans: Sequence[Span]) -> str:
    found = ", ".join(f"{span.field} {span.start}-{span.end}" for span in spans[:_PLACES])
    return f"{found}, {len(spans) - _PLACES} more" if len(spans) > _PLACES else found


def printable(text: str) -> str:
    """With a space for whatever could move a terminal's cursor or turn its writing; the places stay the same."""
    return "".join(character if character.isprintable() else " " for character in text)
