"""XGBoost's trees, read into arrays and evaluated with numpy over a whole batch.

They put right what the linear scores say: a label's margin is its score and what its trees add to it. So what the
trees have not learnt is left as it is, where trees by themselves would make steps of it.

XGBoost trains the trees, and its own file of them (`<axis>.ubj`) is stored beside these arrays as the reference: a
test, and each training, holds both to the same margins within 1e-4. Serving uses the arrays because `import xgboost`
alone takes up to 3 s (it imports scipy, and scikit-learn where that is installed) and because shallow trees over few
columns are cheaper this way, above all for a batch of one.

Each tree is laid out as a complete binary tree of `depth` levels; where XGBoost stopped splitting early, the leaf is
repeated below splits that send everything left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS

if TYPE_CHECKING:
    from xgboost import Booster


@dataclass(frozen=True, slots=True)
class Forest:
    """The trees of one axis; tree `t` adds to the margin of label `t % labels`."""

    score_columns: slice
    """Those of the inputs that are the scores of the axis's labels."""
    columns: NDArray[np.int32]
    """(splits of a tree, trees): which column a split looks at; splits level by level."""
    thresholds: NDArray[np.float32]
    """Alike: below it, left."""
    leaves: NDArray[np.float32]
    """(trees, leaves of a tree), from left to right."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], axis: str) -> Forest:
        return cls(COLUMNS[axis], arrays[f"{axis}_columns"], arrays[f"{axis}_thresholds"], arrays[f"{axis}_leaves"])

    @property
    def labels(self) -> int:
        return self.score_columns.stop - self.score_columns.start  # type: ignore[no-any-return]

    def to_arrays(self, axis: str) -> dict[str, NDArray[Any]]:
        return {
            f"{axis}_columns": self.columns,
            f"{axis}_thresholds": self.thresholds,
            f"{axis}_leaves": self.leaves,
        }

    def margins(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of inputs with one text a column; the result has one text a row, one label a column."""
        splits, trees = self.columns.shape
        texts = inputs.shape[1]
        right = inputs.take(self.columns.ravel(), axis=0) >= self.thresholds.reshape(-1, 1)
        right = right.reshape(splits, trees, texts)
        place = right[0].astype(np.intp)
        width, first = 2, 1
        while first < splits:
            place = place * 2 + _choose(right[first : first + width], place)
            first, width = first + width, width * 2
        place += np.arange(0, trees * width, width)[:, None]
        values = self.leaves.ravel().take(place).reshape(-1, self.labels, texts)
        margins: NDArray[np.float32] = (np.add.reduce(values, axis=0) + inputs[self.score_columns]).T
        return margins


def _choose(right: NDArray[np.bool_], place: NDArray[np.intp]) -> NDArray[np.bool_]:
    """For each tree and text, the answer of the split at `place` of its level."""
    if len(right) == 2:
        return np.where(place, right[1], right[0])  # type: ignore[no-any-return]
    return np.take_along_axis(right, place[None], axis=0)[0]  # type: ignore[no-any-return]


def forest_from_booster(booster: Booster, axis: str, depth: int) -> Forest:
    """The trees of a booster that was trained with at most `depth` levels, the scores of the axis as `base_margin`."""
    dump = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    splits = (1 << depth) - 1
    columns = np.zeros((splits, len(dump)), np.int32)
    thresholds = np.full((splits, len(dump)), np.inf, np.float32)
    leaves = np.empty((len(dump), splits + 1), np.float32)
    for number, tree in enumerate(dump):
        # Nodes of the complete tree, level by level: node n has the children 2n + 1 and 2n + 2.
        nodes = [0] * (2 * splits + 1)
        for node in range(splits):
            own = nodes[node]
            if tree["left_children"][own] < 0:
                nodes[2 * node + 1] = nodes[2 * node + 2] = own
                continue
            columns[node, number] = tree["split_indices"][own]
            thresholds[node, number] = tree["split_conditions"][own]
            nodes[2 * node + 1], nodes[2 * node + 2] = tree["left_children"][own], tree["right_children"][own]
        # XGBoost keeps a leaf's value where a split keeps its threshold.
        leaves[number] = [tree["split_conditions"][own] for own in nodes[splits:]]
    return Forest(COLUMNS[axis], columns, thresholds, leaves)
