"""What every training here needs so that a model is judged on authors it has not seen.

Which rows are held out together, how much a row counts, and the temperature that makes confidence honest on rows held
out. Wants scipy, so only trainings import it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import LabelledText

MAX_FOLDS: Final = 12
EXEMPLARY: Final = frozenset(f"authored-{hand}" for hand in range(1, 9))
"""The sources that say where one label ends and the next begins; who labelled the later ones had rows of theirs as
examples."""
EXEMPLARY_WEIGHT: Final = 3.0
"""Of their rows: each of them held out, .4 points more of the urgencies and .3 of the sentiments are right than with
1; with 5 no more."""

Floats = NDArray[np.float64]


def folds_of(rows: Sequence[LabelledText]) -> tuple[NDArray[np.int64], bool]:
    """The fold of each row: whole sources (and then true), or whole groups where fewer than three sources wrote."""
    sources = sorted({row.source for row in rows})
    by_source = len(sources) >= 3
    keys = [row.source if by_source else row.group or f"row {place}" for place, row in enumerate(rows)]
    places = {key: place % MAX_FOLDS for place, key in enumerate(dict.fromkeys(keys))}
    return np.array([places[key] for key in keys], np.int64), by_source


def answers_of(rows: Sequence[LabelledText], axis: str) -> NDArray[np.int64]:
    """The place of each row's label in `AXES`; -1 where it has none."""
    places: dict[str | None, int] = {label: place for place, label in enumerate(AXES[axis])}
    return np.array([places.get(row.label(axis), -1) for row in rows], np.int64)


def check_enough(answers: dict[str, NDArray[np.int64]], folds: NDArray[np.int64]) -> None:
    """Raise `ConfigurationError` when an axis has too few rows to learn from and to hold out."""
    for axis, answer in answers.items():
        if len(set(folds[answer >= 0])) < 2 or len(set(answer[answer >= 0])) < 2:
            raise ConfigurationError(
                f"too few rows are labelled with {axis}; give rows with at least two labels, of two sources or groups"
            )


def row_weights(rows: Sequence[LabelledText]) -> Floats:
    """1 for each row and for each group of rows, of `EXEMPLARY` sources `EXEMPLARY_WEIGHT`."""
    sizes = Counter((row.source, row.group) for row in rows if row.group is not None)
    shares = np.array([1.0 if row.group is None else 1 / sizes[row.source, row.group] for row in rows])
    return shares * [EXEMPLARY_WEIGHT if row.source in EXEMPLARY else 1.0 for row in rows]


def temperature_of(margins: Floats, answers: NDArray[np.int64], folds: NDArray[np.int64]) -> float:
    """The divisor that makes the answers likeliest, each fold counting alike."""

    def surprise(log_temperature: float) -> float:
        return surprise_of(margins / np.exp(log_temperature), answers, folds)

    found = minimize_scalar(surprise, bounds=(-2.0, 2.0), method="bounded", options={"xatol": 1e-4})
    return round(float(np.exp(found.x)), 3)


def surprise_of(margins: Floats, answers: NDArray[np.int64], folds: NDArray[np.int64]) -> float:
    """How unlikely the answers are by these margins, each fold counting alike."""
    shares = 1 / np.bincount(folds)[folds]
    return -float((shares * log_softmax(margins)[np.arange(len(answers)), answers]).sum())


def log_softmax(margins: Floats) -> Floats:
    """Of each row."""
    shifted = margins - margins.max(axis=1, keepdims=True)
    logs: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs
