"""Why the model says what it says of a text, in weights that add up to each margin.

From the outside in: the margin between a label and its runner-up is shared out among the linear scores and the surface
counts (`shapley.py`), starting from a text in which nothing has been read; the share of a score, apart for what raises
and what lowers it, goes to the tokens by what they add to it (`token_scores.py`); the share of a list of the lexicon
goes to the words counted; and a token stands where `places.py` says. Nothing of this runs when a text is classified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.explanations import (
    AxisExplanation,
    Contest,
    Explanation,
    Span,
    SurfaceFeature,
    Words,
    contest,
    contests,
    margin_between,
)
from inquiry_svc.inquiries import AXES, Text, Verdict
from inquiry_svc.leaving_out import tried
from inquiry_svc_plugins.classifiers.xgboost.evidence import weight_of
from inquiry_svc_plugins.classifiers.xgboost.features import SURFACE, extract
from inquiry_svc_plugins.classifiers.xgboost.lexicon import LEXICON
from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS, LABELS
from inquiry_svc_plugins.classifiers.xgboost.model import TriageModel, forest_inputs
from inquiry_svc_plugins.classifiers.xgboost.places import runs_of
from inquiry_svc_plugins.classifiers.xgboost.shapley import LOWERED, RAISED, shares
from inquiry_svc_plugins.classifiers.xgboost.temperatures import log_words_of
from inquiry_svc_plugins.classifiers.xgboost.token_scores import Pair, TokenScores, token_scores

_LISTS: Final = LABELS + len(SURFACE) - len(LEXICON)
"""The first column of the trees' input that counts words of a list of the lexicon."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Read:
    """What all axes have in common."""

    text: Text
    verdict: Verdict
    spans: Sequence[tuple[Span, ...]]
    tokens: TokenScores
    base: NDArray[np.float32]
    """What the trees look at before anything is read: scores of the bias alone, surface counts of an empty text."""
    log_words: NDArray[np.float32]
    """Of this one text."""
    states: NDArray[np.float32]
    """For each column what its two players make of it: see `shapley.py`."""


def explain(model: TriageModel, text: Text) -> Explanation:
    """Some milliseconds, half of them for classifying the text again without its heaviest words."""
    return Explanation(model.identity, tried(text, weigh(model, text), model.verdicts))


def weigh(model: TriageModel, text: Text, between: Mapping[str, Contest] | None = None) -> dict[str, AxisExplanation]:
    """The weights alone: nothing has been left out yet. Of the axes named, between the labels named; else of all."""
    features = extract([text])
    runs = runs_of(text)
    tokens = token_scores(runs, features, model.linear)
    base = forest_inputs(model.linear.bias[None], _empty_surface())[:, 0]
    whole = forest_inputs(model.linear.scores(features), features.surface)[:, 0]
    (verdict,) = model.verdicts([text])
    read = _Read(
        text=text,
        verdict=verdict,
        spans=runs.spans,
        tokens=tokens,
        base=base,
        log_words=log_words_of(features),
        states=_states(base, whole, tokens.adds),
    )
    wanted = contests(verdict) if between is None else between
    return {axis: _weigh_axis(model, axis, labels, read) for axis, labels in wanted.items()}


@cache
def _empty_surface() -> NDArray[np.float32]:
    return extract([Text("", "")]).surface


def _states(base: NDArray[np.float32], whole: NDArray[np.float32], adds: Floats) -> NDArray[np.float32]:
    """A score's players are the tokens that raise it and those that lower it; a surface count has the first alone."""
    raised, lowered = whole.copy(), base.copy()
    up, down = _up(adds).sum(axis=0), _down(adds).sum(axis=0)
    raised[:LABELS] = np.where(up > 0, np.where(down < 0, base[:LABELS] + up, whole[:LABELS]), base[:LABELS])
    lowered[:LABELS] = np.where(down < 0, np.where(up > 0, base[:LABELS] + down, whole[:LABELS]), base[:LABELS])
    states = np.stack([base, lowered, raised, whole], axis=1)
    return states.reshape(-1, 2, 2)


def _up(adds: Floats) -> Floats:
    return np.maximum(adds, 0.0)


def _down(adds: Floats) -> Floats:
    return np.minimum(adds, 0.0)


def _weigh_axis(model: TriageModel, axis: str, between: Contest, read: _Read) -> AxisExplanation:
    label, runner_up = contest(read.verdict, axis, between)
    places = [AXES[axis].index(each.label) for each in (label, runner_up)]
    forest = model.forests[axis]
    temperature = float(model.temperatures[axis].of(read.log_words)[0]) / float(weight_of(read.verdict.evidence))
    found = shares(forest, places[0], places[1], read.states) / temperature
    at_base = forest.margins(read.base[:, None])[0].astype(np.float64) / temperature

    weights, rest = _token_weights(found, read.tokens)
    first = COLUMNS[axis].start
    return AxisExplanation(
        label,
        runner_up,
        margin=margin_between(read.verdict, axis, label.label, runner_up.label),
        base=float(at_base[places[0]] - at_base[places[1]]),
        words=_words(read, weights, first + places[0], first + places[1]),
        surface=_surface(read.states[LABELS:_LISTS, 1, 1], found[LABELS:_LISTS].sum(axis=1)),
        rest=rest,
    )


def _token_weights(found: Floats, tokens: TokenScores) -> tuple[Floats, float]:
    """Of each token its part of what the players have found; and what falls to no token."""
    weights = np.zeros(len(tokens.adds))
    rest = 0.0
    for parts, share in (
        (_up(tokens.adds), found[:LABELS, RAISED]),
        (_down(tokens.adds), found[:LABELS, LOWERED]),
        (tokens.listed, found[_LISTS:].sum(axis=1)),
    ):
        whole = parts.sum(axis=0)
        weights += parts @ np.divide(share, whole, out=np.zeros_like(share), where=whole != 0)
        rest += float(share[whole == 0].sum())
    return weights, rest


def _words(read: _Read, weights: Floats, label: int, runner_up: int) -> tuple[Words, ...]:
    """The heaviest first. `label` and `runner_up` are columns of the scores."""
    seconds = {pair.first: pair.second for pair in phrases(read.tokens, weights, label, runner_up)}
    inside = set(seconds.values())
    found = []
    for token, spans in enumerate(read.spans):
        if token in inside:
            continue
        weight = float(weights[token])
        if token in seconds:
            weight += float(weights[seconds[token]])
            ends = read.spans[seconds[token]]
            spans = tuple(replace(one, end=other.end) for one, other in zip(spans, ends, strict=True))
        written = getattr(read.text, spans[0].field)[spans[0].start : spans[0].end]
        found.append(Words(written, weight, spans))
    return tuple(sorted((each for each in found if each.weight), key=lambda each: -abs(each.weight)))


def phrases(tokens: TokenScores, weights: Floats, label: int, runner_up: int) -> Iterator[Pair]:
    """Pairs that say more as a pair than either word as a word, and the same way as both; a word is in one at most."""

    def towards(adds: Floats) -> float:
        return float(adds[label] - adds[runner_up])

    taken: set[int] = set()
    for pair in sorted(tokens.pairs, key=lambda each: -abs(towards(each.adds))):
        words = {pair.first, pair.second}
        says = towards(pair.adds)
        if (
            not words & taken
            and all(weights[word] * says > 0 for word in words)
            and all(abs(says) > abs(towards(tokens.as_words[word])) for word in words)
        ):
            taken |= words
            yield pair


def _surface(values: NDArray[np.float32], weights: Floats) -> tuple[SurfaceFeature, ...]:
    found = (
        SurfaceFeature(name, float(value), float(weight))
        for name, value, weight in zip(SURFACE, values, weights, strict=False)
        if weight
    )
    return tuple(sorted(found, key=lambda each: -abs(each.weight)))
