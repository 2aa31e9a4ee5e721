"""Parts of the shipped model, each by itself, trained on the same corpus and made honest on the same held-out hands.

- `linear alone`: the ridge regressions over hashed n-grams and over what words mean, and the convolution, without
  trees. Its scores are log-odds already, by those of layers that had not seen the row's fold.
- `XGBoost alone`: trees straight over the n-grams and the surface features, without linear scores between. N-grams in
  fewer than `SEEN_IN` rows are left out and the trees are larger than the model's, since there are thousands of columns
  to choose from. Its temperature is fitted by trees trained without a quarter of the folds, on those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from threadpoolctl import threadpool_limits

from inquiry_svc.inquiries import AXES, Text, Verdict
from inquiry_svc.labelled import LabelledText
from inquiry_svc_plugins.classifiers.holding_out import (
    Floats,
    answers_of,
    folds_of,
    log_softmax,
    row_weights,
    temperature_of,
)
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, Features, extract
from inquiry_svc_plugins.classifiers.xgboost.linear import LinearLayer
from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS
from inquiry_svc_plugins.classifiers.xgboost.training import TREES, extract_all, train_linear

Answer = Callable[[Sequence[Text]], list[Verdict]]

SEEN_IN: Final = 20
ROUNDS: Final = 60
ALONE: Final[Mapping[str, Any]] = {
    **TREES,
    "max_depth": 4,
    "eta": 0.2,
    "min_child_weight": 2,
    "max_bin": 16,
    "colsample_bytree": 0.1,
}
"""Deeper trees (6), more columns a tree (a fifth) and n-grams in 5 rows: half a point more category at three times the
cost of training."""


def linear_alone(rows: Sequence[LabelledText]) -> Answer:
    folds, _ = folds_of(rows)
    answers = {axis: answers_of(rows, axis) for axis in AXES}
    with threadpool_limits(1):
        arrays, _ = train_linear(extract_all(rows), row_weights(rows), answers, folds, lambda: None)
    layer = LinearLayer.from_arrays(arrays)

    def answer(texts: Sequence[Text]) -> list[Verdict]:
        found = layer.scores(extract(texts)).astype(float)
        return _verdicts([found[:, columns] for columns in COLUMNS.values()])

    return answer


def trees_alone(rows: Sequence[LabelledText]) -> Answer:
    features = extract_all(rows)
    frequency = np.bincount(features.buckets, minlength=BUCKETS)
    kept = np.flatnonzero(frequency >= SEEN_IN)
    inputs, weights = _inputs(features, kept), row_weights(rows)
    folds, _ = folds_of(rows)
    boosters, temperatures = {}, {}
    for axis in AXES:
        answers = answers_of(rows, axis)
        known = answers >= 0
        seen, held_out = known & (folds % 4 != 0), known & (folds % 4 == 0)
        without = _boost(axis, inputs[seen], answers[seen], weights[seen])
        margins = _margins(without, inputs[held_out])
        temperatures[axis] = temperature_of(margins, answers[held_out], folds[held_out] // 4)
        boosters[axis] = _boost(axis, inputs[known], answers[known], weights[known])

    def answer(texts: Sequence[Text]) -> list[Verdict]:
        found = _inputs(extract(texts), kept)
        return _verdicts([_margins(boosters[axis], found) / temperatures[axis] for axis in AXES])

    return answer


def _inputs(features: Features, kept: NDArray[np.intp]) -> csr_matrix:
    """Which of the kept n-grams a text has, and its surface features."""
    starts = np.append(features.starts[::2], len(features.buckets))
    has = csr_matrix(
        (np.ones(len(features.buckets), np.float32), features.buckets.astype(np.int32), starts.astype(np.int32)),
        (len(starts) - 1, BUCKETS),
    )
    return hstack([has[:, kept], csr_matrix(features.surface)]).tocsr()


def _boost(axis: str, inputs: csr_matrix, answers: NDArray[np.int64], weights: Floats) -> xgboost.Booster:
    data = xgboost.DMatrix(inputs, answers, weight=weights, nthread=1)
    return xgboost.train({**ALONE, "num_class": len(AXES[axis])}, data, ROUNDS)


def _margins(booster: xgboost.Booster, inputs: csr_matrix) -> Floats:
    found: Floats = booster.predict(xgboost.DMatrix(inputs, nthread=1), output_margin=True).astype(float)
    return found


def _verdicts(margins: Sequence[Floats]) -> list[Verdict]:
    return [Verdict.from_scores(scores) for scores in np.exp(np.hstack([*map(log_softmax, margins)])).tolist()]
