"""Shares an axis's margin out among what makes it: exact Shapley values over the scores and the array forest.

The game: each column of the trees' input stands at its base value, and two players can move it, one that raises it and
one that lowers it; both together make it what it is. (A score is raised by some words and lowered by others. Had a
column one player only, a score that hardly moved because its words cancel out would have to be shared out among them
in huge weights of either sign.) A player's share is its Shapley value: what it adds to the margin, averaged over all
orders in which the players may join. The shares add up to the margin less the base margin.

Sources: two players for a score, after RevealCancel (Shrikumar, Greenside and Kundaje, "Learning important features
through propagating activation differences", 2017); one base for all players (Sundararajan and Najmi, "The many Shapley
values for model explanation", 2020); the Shapley value as the mean of the gradient of the game's multilinear extension
along its diagonal (Owen, "Multilinear extensions of games", 1972). A leaf is a product of one factor for each column on
its path, so that its extension is a polynomial, which Gauss-Legendre quadrature integrates exactly.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from inquiry_svc_plugins.classifiers.xgboost.trees import Forest

Floats = NDArray[np.float64]

RAISED, LOWERED = 0, 1
"""The two players of a column."""


def shares(forest: Forest, label: int, runner_up: int, states: NDArray[np.float32]) -> Floats:
    """(columns, 2): what each player adds to the margin of `label` less that of `runner_up`, before the temperature.

    `states[column, raised, lowered]` is the column's value when its players have joined or not (1 or 0).
    """
    trees = np.flatnonzero(np.isin(np.arange(forest.columns.shape[1]) % forest.labels, (label, runner_up)))
    signs = np.where(trees % forest.labels == label, 1.0, -1.0)
    columns, lets_pass = _paths(forest, trees, states)
    depth = len(columns)
    leaves = forest.leaves[trees].T * signs
    found = np.zeros((len(states), 2))
    for place, sign in ((label, 1.0), (runner_up, -1.0)):
        column = forest.score_columns.start + place
        found[column] += sign * _alone(states[column])
    for chance, weight in _chances(depth):
        # Of each factor: its value when every player has joined with this chance, and its slope in either player.
        factors = [_mixed(_mixed(each, chance), chance) for each in lets_pass]
        for level in range(depth):
            others = leaves * weight
            for other in range(depth):
                if other != level:
                    others = others * factors[other]
            slopes = (
                _mixed(lets_pass[level][..., 1, :] - lets_pass[level][..., 0, :], chance),
                _mixed(lets_pass[level][..., 1] - lets_pass[level][..., 0], chance),
            )
            for player, slope in zip((RAISED, LOWERED), slopes, strict=True):
                at = columns[level].ravel()
                found[:, player] += np.bincount(at, (others * slope).ravel(), minlength=len(states))
    return found


def _alone(states: NDArray[np.float32]) -> Floats:
    """What each player of a column adds to its value, in the mean of both orders."""
    raising, lowering = states[1] - states[0], states[:, 1] - states[:, 0]
    return np.array([_mixed(each.astype(np.float64), 0.5) for each in (raising, lowering)])  # as RAISED and LOWERED


def _paths(
    forest: Forest, trees: NDArray[np.intp], states: NDArray[np.float32]
) -> tuple[list[NDArray[np.int32]], list[Floats]]:
    """For each level, of each leaf and tree: the column asked, and whether its state (the last two axes) lets pass.

    Where a path asks one column twice, the upper answer holds both and the lower lets everything pass.
    """
    count = forest.leaves.shape[1]
    depth = count.bit_length() - 1
    leaves = np.arange(count)
    right = states[forest.columns[:, trees]] >= forest.thresholds[:, trees, None, None]
    columns, lets_pass = [], []
    for level in range(depth):
        splits = (1 << level) - 1 + (leaves >> (depth - level))
        goes_right = (leaves >> (depth - level - 1)) & 1
        columns.append(forest.columns[splits][:, trees])
        lets_pass.append((right[splits] == (goes_right == 1)[:, None, None, None]).astype(np.float64))
    for lower in range(1, depth):
        for upper in range(lower):
            twice = (columns[upper] == columns[lower])[..., None, None]
            lets_pass[upper] = np.where(twice, lets_pass[upper] * lets_pass[lower], lets_pass[upper])
            lets_pass[lower] = np.where(twice, 1.0, lets_pass[lower])
    return columns, lets_pass


@cache
def _chances(depth: int) -> list[tuple[float, float]]:
    """Where to look at the diagonal from 0 to 1, and how much each look weighs: exact for 2 `depth` - 1 powers."""
    nodes, weights = np.polynomial.legendre.leggauss(depth)
    return list(zip(((nodes + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))


def _mixed(values: Floats, chance: float) -> Floats:
    """The mean over the last axis, where 1 has this chance."""
    mean: Floats = values[..., 0] * (1 - chance) + values[..., 1] * chance
    return mean
