"""The regression that gives n-grams their weights: ridge, with a hold on each weight of its own.

The less an n-gram by itself says of a label, the more its weight is held down. What it says is the log-ratio of naive
Bayes: how much more often rows with the label have it than rows without. (Wang and Manning, "Baselines and bigrams",
2012, scale the inputs of a classifier by it; so do the variances here, one for each n-gram and label.) With one hold
for all, sentiment of hands held out was right half a point to a point less often, category nearly a point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_matrix

from inquiry_svc_plugins.classifiers.holding_out import Floats

RIDGE: Final = 1.0
"""Strength of the regularisation."""
LEAST: Final = 0.1
"""Added to what an n-gram says, so that none is silenced."""
_TOLERANCE: Final = 1e-3
_MAX_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Fitted:
    weights: Floats
    """(n-grams, labels)."""
    bias: Floats
    coefficients: Floats
    """Of the rows, one column a label: where the fit to fewer of the rows may start."""


def fit(matrix: csr_matrix, targets: Floats, root_weights: Floats, start: Floats) -> Fitted:
    """For what each is see `variances` and `solve`."""
    free = variances(matrix, targets, root_weights)
    coefficients = solve(matrix, free, targets, root_weights, start)
    weighted = coefficients * root_weights
    return Fitted(free * (matrix.T @ weighted), weighted.sum(axis=0), coefficients)


def variances(matrix: csr_matrix, targets: Floats, root_weights: Floats) -> Floats:
    """How freely each weight may leave 0, of shape (n-grams, labels); for each label 1 in the mean of all inputs.

    `matrix` has one row a text and a column for each n-gram; `targets` (+1 and -1) and `root_weights` one row a text
    and a column for each label. Rows of no weight are as though they were not there.
    """
    weights = root_weights**2
    has = csr_matrix((np.ones_like(matrix.data), matrix.indices, matrix.indptr), matrix.shape).T.tocsr()
    labelled = weights * (targets > 0)
    inside, whole = labelled.sum(axis=0), weights.sum(axis=0)
    # as though one more row had each n-gram, and the label as often as rows have it
    share = (inside + 0.5) / (whole + 1)
    having_both, having = has @ labelled, has @ weights
    among = (having_both + share) / (inside + 1)
    elsewhere = (having - having_both + 1 - share) / (whole - inside + 1)
    says = LEAST + np.abs(np.log(among / elsewhere))
    sizes = matrix.power(2).T @ weights
    found: Floats = says * (sizes.sum(axis=0) / np.maximum((says * sizes).sum(axis=0), 1e-300))
    return found


def solve(matrix: csr_matrix, free: Floats, targets: Floats, root_weights: Floats, start: Floats) -> Floats:
    """Row coefficients c of the ridge regression, one column a label; weights are free * matrix' (root_weights * c).

    Conjugate gradients on (R (X F X' + 1) R + ridge) c = R targets, where R holds the roots of the rows' weights, F
    the variances and the 1 is the bias, seen as one more column of X. Each label is a system of its own; they only
    share the work.
    """
    transposed = matrix.T.tocsr()

    def apply(vector: Floats) -> Floats:
        weighted = root_weights * vector
        product = matrix @ (free * (transposed @ weighted)) + weighted.sum(axis=0)
        return root_weights * product + RIDGE * vector  # type: ignore[no-any-return]

    solution = start.copy()
    wanted = root_weights * targets
    residual = wanted - apply(solution)
    direction = residual.copy()
    size = (residual**2).sum(axis=0)
    goal = (_TOLERANCE**2) * (wanted**2).sum(axis=0)
    for _ in range(_MAX_STEPS):
        if (size <= goal).all():
            break
        applied = apply(direction)
        stride = size / np.maximum((direction * applied).sum(axis=0), 1e-300)
        solution += stride * direction
        residual -= stride * applied
        smaller = (residual**2).sum(axis=0)
        direction = residual + smaller / np.maximum(size, 1e-300) * direction
        size = smaller
    return solution
