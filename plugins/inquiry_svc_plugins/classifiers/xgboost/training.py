"""Makes a model from labelled rows: the linear layer, the trees that put it right, and honest confidences.

1. N-grams are weighed and the linear layer is fitted to all 13 labels at once: ridge regression on targets of +1 and
   -1, see `ridge.py`. A row without a label on an axis weighs nothing there; the rows of one `group`
   weigh as much as one row without.
   Beside it a second layer is fitted to what the words mean, from vectors and valences that come with the package:
   see `word_vectors.py`. And a third to the words in their order: see `convolution_training.py`.
2. The scores that the trees learn from are made by layers that have not seen the row's author (out of fold by
   `source`), else the trees would learn to trust scores that only memory makes good. They are brought to the scale on
   which they are log-odds, and the trees learn what is to be put right of them.
3. The trees are cross-validated over the same folds. Temperatures for each axis, fitted on those answers, make the
   confidence fit the accuracy on authors not seen, and the same answers give the figures of the model card.
4. How familiar the spelling of a row is to the rows of the other folds says what to expect of mail: see `evidence.py`.

The same rows on the same versions and a processor of the same kind give the same bytes: seeds are fixed, one thread
computes, no time or path is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import LabelledText
from inquiry_svc_plugins.classifiers.holding_out import (
    Floats,
    answers_of,
    check_enough,
    folds_of,
    log_softmax,
    row_weights,
    surprise_of,
    temperature_of,
)
from inquiry_svc_plugins.classifiers.xgboost.convolution_training import parts_of, train_convolution
from inquiry_svc_plugins.classifiers.xgboost.evidence import (
    SEEN_IN,
    Counts,
    count,
    known_buckets,
    measure,
    take_from_others_words,
)
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, Features, extract
from inquiry_svc_plugins.classifiers.xgboost.linear import (
    CHARACTER_SHARE,
    inverse_document_frequency,
    to_arrays,
)
from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS, LABELS
from inquiry_svc_plugins.classifiers.xgboost.model import forest_inputs
from inquiry_svc_plugins.classifiers.xgboost.ridge import fit
from inquiry_svc_plugins.classifiers.xgboost.temperatures import Temperatures, log_words_of
from inquiry_svc_plugins.classifiers.xgboost.trees import Forest, forest_from_booster
from inquiry_svc_plugins.classifiers.xgboost.word_vectors import read_vectors, train_meanings

ROUNDS: Final = {"category": 20, "sentiment": 20, "urgency": 120}
"""Of urgency the second sixty are worth .3 points. Of the others more are worth next to nothing on hands held out, and
cost half a point on text by people."""
TREES: Final[dict[str, Any]] = {
    "objective": "multi:softprob",
    "base_score": 0.0,
    "max_depth": 2,
    "eta": 0.1,
    "min_child_weight": 5,
    "subsample": 0.7,
    "colsample_bytree": 0.5,
    "tree_method": "hist",
    "nthread": 1,
    "seed": 0,
}
UNFAMILIAR_SHARE: Final = 0.01
"""Of the rows of the source in the middle: so many are spelt less familiarly than is enough. Not of all rows: a hand
that writes in code, or half in another language, would have whatever is spelt like that pass for mail."""
_CHUNK: Final = 256
_SCALED: Final = ("scale", "word_scale", "filter_scale", "bias")
"""Arrays with a column for each label, on which all weights hang."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis, trained."""

    booster: xgboost.Booster
    forest: Forest
    temperatures: Temperatures
    rows: NDArray[np.int64]
    """The rows labelled on this axis."""
    probabilities: Floats
    """For each of them, by trees and linear layers that have not seen its fold."""


@dataclass(frozen=True, slots=True)
class Trained:
    linear: dict[str, NDArray[Any]]
    axes: dict[str, Axis]
    folds: NDArray[np.int64]
    by_source: bool
    """Whether a fold is a whole source (or several), rather than some groups of one."""
    evidence: Floats
    """Of each row, measured against the rows of the other folds."""


def steps(rows: Sequence[LabelledText]) -> int:
    """How often `train` will call `on_step`."""
    folds, _ = folds_of(rows)
    return (1 + len(AXES)) * (1 + int(folds.max() + 1)) + 1 + 1 + parts_of(folds)


def train(rows: Sequence[LabelledText], on_step: Callable[[], None] = lambda: None) -> Trained:
    """Train on all rows. Raises `ConfigurationError` when an axis has too few."""
    folds, by_source = folds_of(rows)
    answers = {axis: answers_of(rows, axis) for axis in AXES}
    check_enough(answers, folds)
    weights = row_weights(rows)
    with threadpool_limits(1):
        features = extract_all(rows)
        on_step()
        linear, scores = train_linear(features, weights, answers, folds, on_step)
        inputs = np.ascontiguousarray(forest_inputs(scores, features.surface).T)
        linear["familiar_from"], evidence = _measure_evidence(rows, features, folds)
        log_words = log_words_of(features)
        axes = {axis: _train_axis(axis, inputs, log_words, answers[axis], weights, folds, on_step) for axis in AXES}
    return Trained(linear, axes, folds, by_source, evidence)


def extract_all(rows: Sequence[LabelledText]) -> Features:
    """The features of every row, read in chunks."""
    chunks = [extract([row.text for row in rows[at : at + _CHUNK]]) for at in range(0, len(rows), _CHUNK)]
    joined: dict[str, NDArray[Any]] = {"surface": np.concatenate([chunk.surface for chunk in chunks])}
    for items, starts in (("buckets", "starts"), ("words", "word_starts"), ("tokens", "token_starts")):
        parts = [getattr(chunk, items) for chunk in chunks]
        before = np.cumsum([0, *map(len, parts[:-1])])
        joined[items] = np.concatenate(parts)
        joined[starts] = np.concatenate([getattr(chunk, starts) + at for chunk, at in zip(chunks, before, strict=True)])
    return Features(**joined)


# The linear layer


def train_linear(
    features: Features,
    weights: Floats,
    answers: dict[str, NDArray[np.int64]],
    folds: NDArray[np.int64],
    on_step: Callable[[], None],
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """The layer as arrays, and for each row the scores of a layer that has not seen its fold. `weights` are those of
    the rows."""
    frequency = np.bincount(features.buckets, minlength=BUCKETS)
    matrix = _matrix(features, frequency, len(weights))
    targets = np.hstack([np.where(answers[axis][:, None] == range(len(AXES[axis])), 1.0, -1.0) for axis in AXES])
    known = np.hstack([np.repeat(answers[axis][:, None] >= 0, len(AXES[axis]), axis=1) for axis in AXES])
    root_weights = np.sqrt(weights)[:, None] * known
    whole = fit(matrix, targets, root_weights, np.zeros_like(targets))
    on_step()
    scores = np.empty((len(weights), LABELS), np.float32)
    for fold in range(int(folds.max()) + 1):
        held_out = folds == fold
        seen = np.where(held_out[:, None], 0.0, root_weights)
        part = fit(matrix, targets, seen, np.where(held_out[:, None], 0.0, whole.coefficients))
        scores[held_out] = matrix[held_out] @ part.weights + part.bias
        on_step()
    words = read_vectors()
    meanings, bias, by_meaning = train_meanings(features, words, targets, root_weights, folds)
    filters, by_filters = train_convolution(features, words, answers, weights, folds, on_step)
    arrays = to_arrays(whole.weights, whole.bias + bias, frequency, len(weights)) | meanings | filters
    return _in_log_odds(arrays, scores + by_meaning + by_filters, answers, folds)


def _in_log_odds(
    arrays: dict[str, NDArray[Any]], scores: Floats, answers: dict[str, NDArray[np.int64]], folds: NDArray[np.int64]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Both on the scale of each axis on which the scores make the answers likeliest."""
    factors = np.empty(LABELS)
    for axis, columns in COLUMNS.items():
        known = answers[axis] >= 0
        factors[columns] = 1 / temperature_of(scores[known, columns], answers[axis][known], folds[known])
    scaled = {name: (arrays[name] * factors).astype(np.float32) for name in _SCALED}
    return arrays | scaled, (scores * factors).astype(np.float32)


def _matrix(features: Features, frequency: NDArray[np.int64], documents: int) -> csr_matrix:
    """One row a text, made of its two vectors as in `LinearLayer`, with a column for each n-gram that has weights."""
    seen = frequency >= SEEN_IN
    values = inverse_document_frequency(frequency * seen, documents)[features.buckets].astype(np.float64)
    squares = np.add.reduceat(values * values, features.starts)
    sizes = np.diff(features.starts, append=len(values))
    squares[0::2] /= CHARACTER_SHARE**2
    values /= np.repeat(np.sqrt(squares), sizes)
    kept = seen[features.buckets]
    columns = (np.cumsum(seen) - 1)[features.buckets[kept]]
    row_starts = np.append(0, np.cumsum(kept))[np.append(features.starts[::2], len(values))]
    return csr_matrix(
        (values[kept], columns.astype(np.int32), row_starts.astype(np.int32)), (len(row_starts) - 1, seen.sum())
    )


# The evidence


def _measure_evidence(
    rows: Sequence[LabelledText], features: Features, folds: NDArray[np.int64]
) -> tuple[NDArray[np.float64], Floats]:
    """`TriageModel.familiar_from`, and the evidence of each row."""
    fold_of = np.repeat(np.repeat(folds, 2), np.diff(features.starts, append=len(features.buckets)))
    counts = []
    for fold in range(int(folds.max()) + 1):
        frequency = np.bincount(features.buckets[fold_of != fold], minlength=BUCKETS)
        known = known_buckets(np.arange(BUCKETS), frequency, int((folds != fold).sum()))
        counts.append(count(known.take(features.buckets), features))

    def held_out(each: Callable[[Counts], Floats]) -> Floats:
        return np.choose(folds, list(map(each, counts)))

    spelling, sources = held_out(lambda each: each.spelling), np.array([row.source for row in rows])
    reached = [np.quantile(spelling[sources == source], UNFAMILIAR_SHARE) for source in dict.fromkeys(sources)]
    familiar_from = round(float(np.median(reached)), 3)
    evidence = held_out(lambda each: measure(each, familiar_from))
    take_from_others_words([row.text for row in rows], evidence)
    return np.array(familiar_from), evidence


# The trees and their confidence


def _train_axis(
    axis: str,
    inputs: NDArray[np.float32],
    log_words: NDArray[np.float32],
    answers: NDArray[np.int64],
    weights: Floats,
    folds: NDArray[np.int64],
    on_step: Callable[[], None],
) -> Axis:
    rows = np.flatnonzero(answers >= 0)
    inputs, log_words, answers = inputs[rows], log_words[rows], answers[rows]
    weights, folds = weights[rows], folds[rows]
    margins = np.empty((len(rows), len(AXES[axis])))
    for fold in np.unique(folds):
        held_out = folds == fold
        booster = _boost(axis, inputs[~held_out], answers[~held_out], weights[~held_out])
        margins[held_out] = margins_of(axis, booster, inputs[held_out])
        on_step()
    temperatures = temperatures_of(margins, answers, folds, log_words)
    booster = _boost(axis, inputs, answers, weights)
    forest = forest_from_booster(booster, axis, TREES["max_depth"])
    _compare(axis, booster, forest, inputs)
    on_step()
    probabilities = np.exp(log_softmax(margins / temperatures.of(log_words)[:, None]))
    return Axis(booster, forest, temperatures, rows, probabilities)


def temperatures_of(
    margins: Floats, answers: NDArray[np.int64], folds: NDArray[np.int64], log_words: NDArray[np.float32]
) -> Temperatures:
    """Those that make the answers likeliest, each fold counting alike. The margins have one row a text."""

    def surprise(logs: Floats) -> float:
        return surprise_of(margins / Temperatures(*np.exp(logs)).of(log_words)[:, None], answers, folds)

    corners = {"initial_simplex": [[0.0, 0.0], [-0.5, 0.0], [0.0, -0.5]], "xatol": 1e-4}
    found = minimize(surprise, np.zeros(2), method="Nelder-Mead", options=corners)
    return Temperatures(*(round(float(each), 3) for each in np.exp(found.x)))


def _boost(axis: str, inputs: NDArray[np.float32], answers: NDArray[np.int64], weights: Floats) -> xgboost.Booster:
    data = xgboost.DMatrix(inputs, answers, weight=weights, base_margin=inputs[:, COLUMNS[axis]], nthread=1)
    return xgboost.train({**TREES, "num_class": len(AXES[axis])}, data, ROUNDS[axis])


def margins_of(axis: str, booster: xgboost.Booster, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """As XGBoost itself adds them up, of inputs with one text a row; the result has a column for each label."""
    data = xgboost.DMatrix(inputs, base_margin=inputs[:, COLUMNS[axis]], nthread=1)
    return booster.predict(data, output_margin=True)


def _compare(axis: str, booster: xgboost.Booster, forest: Forest, inputs: NDArray[np.float32]) -> None:
    """Raise unless the arrays that serve answer as XGBoost does."""
    gap = np.abs(margins_of(axis, booster, inputs) - forest.margins(np.ascontiguousarray(inputs.T))).max()
    if not gap < 1e-4:  # sums in another order: 2e-5 where scores are large
        raise RuntimeError(f"the trees of {axis} as arrays differ from XGBoost's answer by {gap}")
