"""The regression of the n-grams: its solution is exact, and what says nothing of a label is held down."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from inquiry_svc_plugins.classifiers.xgboost.ridge import LEAST, RIDGE, fit, solve, variances


def test_the_solution_is_the_exact_one() -> None:
    chance = np.random.default_rng(1)
    matrix = csr_matrix(chance.normal(size=(30, 50)) * (chance.random((30, 50)) < 0.3))
    free = chance.random((50, 4)) + 0.1
    targets = np.sign(chance.normal(size=(30, 4)))
    roots = np.sqrt(chance.random((30, 4))) * (chance.random((30, 4)) < 0.8)
    found = solve(matrix, free, targets, roots, np.zeros_like(targets))
    dense = matrix.toarray()
    for label in range(4):
        root = np.diag(roots[:, label])
        system = root @ (dense @ np.diag(free[:, label]) @ dense.T + 1) @ root + RIDGE * np.eye(30)
        exact = np.linalg.solve(system, roots[:, label] * targets[:, label])
        assert found[:, label] == pytest.approx(exact, abs=2e-3)


def test_neither_weights_nor_bias_can_be_moved_for_the_better() -> None:
    chance = np.random.default_rng(4)
    matrix = csr_matrix(chance.normal(size=(30, 50)) * (chance.random((30, 50)) < 0.3))
    targets = np.sign(chance.normal(size=(30, 4)))
    roots, start = np.sqrt(chance.random((30, 4))), np.zeros_like(targets)
    found = fit(matrix, targets, roots, start)
    missed = roots**2 * (targets - matrix @ found.weights - found.bias)
    free = variances(matrix, targets, roots)
    assert RIDGE * found.weights == pytest.approx(free * (matrix.T @ missed), abs=0.02)
    assert RIDGE * found.bias == pytest.approx(missed.sum(axis=0), abs=0.02)


def test_an_ngram_is_the_freer_the_more_often_rows_with_the_label_have_it_than_others() -> None:
    # of eight rows, half with the label: the first n-gram is in all of them, the next in those with the label alone,
    # the third in those without, the last in three with and one without
    has = [
        [1, 1, 0, 1],
        [1, 1, 0, 1],
        [1, 1, 0, 1],
        [1, 1, 0, 0],
        [1, 0, 1, 1],
        [1, 0, 1, 0],
        [1, 0, 1, 0],
        [1, 0, 1, 0],
    ]
    targets = np.array([[1.0]] * 4 + [[-1.0]] * 4)
    free = variances(csr_matrix(np.array(has, float)), targets, np.ones((8, 1)))[:, 0]
    only, three_to_one = np.log((4.5 / 5) / (0.5 / 5)), np.log((3.5 / 5) / (1.5 / 5))
    assert free / free[0] == pytest.approx((LEAST + np.array([0, only, only, three_to_one])) / LEAST)
    assert (free * np.sum(has, axis=0)).sum() == pytest.approx(np.sum(has))


def test_rows_of_no_weight_say_nothing() -> None:
    chance = np.random.default_rng(2)
    matrix = csr_matrix((chance.random((20, 6)) < 0.4) * chance.random((20, 6)))
    targets, roots = np.sign(chance.normal(size=(20, 3))), chance.random((20, 3))
    roots[12:] = 0
    found = variances(matrix, targets, roots)
    assert found == pytest.approx(variances(matrix[:12], targets[:12], roots[:12]))


def test_a_label_that_no_row_has_or_every_row_holds_down_no_ngram_without_bound() -> None:
    chance = np.random.default_rng(3)
    matrix = csr_matrix((chance.random((20, 6)) < 0.4) * chance.random((20, 6)))
    found = variances(matrix, np.array([[-1.0, 1.0]] * 20), np.ones((20, 2)))
    assert np.isfinite(found).all()
    assert (found > 0).all()


def test_rows_without_any_ngram_of_enough_rows_have_nothing_to_hold_down() -> None:
    assert variances(csr_matrix((5, 0)), np.ones((5, 2)), np.ones((5, 2))).shape == (0, 2)
