"""Why an answer that one of two gave, or both, is what it is: their reasons, by the words that they share.

The logarithmic pool makes this exact: the margin of a joined answer is the margin of each between the same two labels,
times its power, added up, and so is each part of it. Where one can't say why, all that it says is one line.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from inquiry_svc.errors import CannotExplain
from inquiry_svc.explanations import (
    AxisExplanation,
    Field,
    Opinion,
    SurfaceFeature,
    Words,
    contest,
    margin_between,
    scores_of,
)
from inquiry_svc.inquiries import Model, Verdict

LEAST: Final = 1e-6
"""No probability counts as less: one that is wrongly sure must not outvote the other whatever it says."""
ALONE: Final = sys.float_info.min
"""As `LEAST`, of an answer that is not joined."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one of the two brings to an answer."""

    name: str
    """Of the line that it gets where it can't say why."""
    model: Model
    verdict: Verdict
    explained: Mapping[str, AxisExplanation]
    """Between the labels of the whole answer; empty where it can't say why."""
    power: float = 1.0


def made_of(axis: str, verdict: Verdict, parts: Sequence[Part], least: float) -> AxisExplanation:
    """Of the whole answer. Raises `CannotExplain` where none of the parts says why."""
    if not any(part.explained for part in parts):
        names = " and ".join(repr(part.model.name) for part in parts)
        raise CannotExplain(f"the answer about {axis} is by {names}, which can't say why")
    label, runner_up = contest(verdict, axis)
    base = rest = 0.0
    words: list[Words] = []
    surface: list[SurfaceFeature] = []
    opinions: list[Opinion] = []
    for part in parts:
        scores = scores_of(part.verdict, axis)
        says = math.log(max(scores[label.label], least)) - math.log(max(scores[runner_up.label], least))
        opinions.append(Opinion(part.model, contest(part.verdict, axis)[0], part.power * says))
        if not part.explained:
            surface.append(SurfaceFeature(part.name, scores[label.label], part.power * says))
            continue
        explained = part.explained[axis]
        base += part.power * explained.base
        rest += part.power * (explained.rest + says - explained.margin)
        words += [replace(each, weight=part.power * each.weight) for each in explained.words]
        surface += [replace(each, weight=part.power * each.weight) for each in explained.surface]
    return AxisExplanation(
        label,
        runner_up,
        margin=margin_between(verdict, axis, label.label, runner_up.label),
        base=base,
        words=tuple(sorted(together(words), key=lambda each: -abs(each.weight))),
        surface=tuple(sorted(surface, key=lambda each: -abs(each.weight))),
        rest=rest,
        opinions=tuple(opinions),
    )


def together(words: Iterable[Words]) -> list[Words]:
    """Their weights added up by place: words that stand only inside a longer one or a phrase become part of it."""
    kept: list[Words] = []
    holders: dict[tuple[Field, int], int] = {}
    for each in sorted(words, key=lambda each: -sum(span.end - span.start for span in each.spans)):
        places = [(span.field, at) for span in each.spans for at in range(span.start, span.end)]
        inside = {holders.setdefault(place, len(kept)) for place in places}
        if len(inside) == 1 and (holder := inside.pop()) < len(kept):
            kept[holder] = replace(kept[holder], weight=kept[holder].weight + each.weight)
        else:
            kept.append(each)
    return [each for each in kept if each.weight]
