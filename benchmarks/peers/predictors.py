"""The two predictors that each peer is measured with. Both are the shipped model, and give the same answers.

`stock` is what one would write by hand: the scores in numpy, then XGBoost's `inplace_predict` for each axis. `ours`
is what the service answers with: the compiled kernel. Which one, `PEER_PREDICTOR` says: servers that import an
application by its name can't be handed an argument.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.inquiries import AXES, Text, Verdict
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL
from inquiry_svc_plugins.classifiers.xgboost.fast import FastModel, quickened
from inquiry_svc_plugins.classifiers.xgboost.model import TriageModel, load_model
from inquiry_svc_plugins.classifiers.xgboost.trees import Forest

VARIABLE: Final = "PEER_PREDICTOR"
Predict: TypeAlias = Callable[[Sequence[Text]], Sequence[Verdict]]


def predictor() -> Predict:
    """Of one or more texts the verdicts, in order. Raises `RuntimeError` where the kernel is asked for and missing."""
    model = {"stock": _stock, "ours": _ours}[os.environ[VARIABLE]]()
    model.verdicts([Text("Warm-up", "The first call builds the tables.")])
    return model.verdicts


def answer(verdict: Verdict) -> dict[str, dict[str, Any]]:
    """The least that answers: less than the service says."""
    found = {axis: getattr(verdict, axis) for axis in AXES}
    return {axis: {"label": each.label, "confidence": each.confidence} for axis, each in found.items()}


def _ours() -> TriageModel:
    model = quickened(load_model(PACKAGED_MODEL))
    if not isinstance(model, FastModel):
        raise RuntimeError("the compiled kernel is not there; see the warning, then `make` again")
    return model


def _stock() -> TriageModel:
    import xgboost

    model = load_model(PACKAGED_MODEL)
    forests: dict[str, Forest] = {}
    for axis, forest in model.forests.items():
        booster = xgboost.Booster({"nthread": 1}, model_file=PACKAGED_MODEL / f"{axis}.ubj")
        forests[axis] = _Boosted(forest.score_columns, forest.columns, forest.thresholds, forest.leaves, booster)
    return replace(model, forests=forests)


@dataclass(frozen=True, slots=True)
class _Boosted(Forest):
    """The trees of one axis, asked of XGBoost."""

    booster: Any

    def margins(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.ascontiguousarray(inputs.T)
        found: NDArray[np.float32] = self.booster.inplace_predict(
            rows, predict_type="margin", base_margin=rows[:, self.score_columns]
        )
        return found
