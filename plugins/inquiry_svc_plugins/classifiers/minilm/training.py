"""Makes a model from labelled rows: each is embedded once, then every axis gets its logistic regression.

Softmax over a linear layer, a penalty on the square of the weights, fitted by L-BFGS. It is cross-validated by holding
out whole authors; a temperature for each axis, fitted on those answers, makes the confidence honest, and they give the
figures of the model card and the thresholds of review. The same rows on the same versions give the same bytes.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from inquiry_svc.evaluation import ECE_BINS, judge, review_thresholds
from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import LabelledText
from inquiry_svc.model_folders import Progress
from inquiry_svc_plugins.classifiers.digests import digest_of
from inquiry_svc_plugins.classifiers.holding_out import (
    Floats,
    answers_of,
    check_enough,
    folds_of,
    log_softmax,
    row_weights,
    temperature_of,
)
from inquiry_svc_plugins.classifiers.minilm.encoder import Encoder
from inquiry_svc_plugins.classifiers.minilm.model import CARD, FORMAT, HEAD, MANIFEST, overall_digest
from inquiry_svc_plugins.classifiers.xgboost.writing import REVIEW_ACCURACY, check_folder, corpus_digest

MODEL_VERSION: Final = "2"
PENALTY: Final = 0.3
"""Times half the square of the weights, beside a loss that is a sum over the rows. Of 0.1, 0.3, 1 and 3 the one that is
right most often on held-out authors."""
_EVERY: Final = 50
"""Rows between two tellings."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis, trained."""

    weights: Floats
    """Of shape (labels, width + 1), the bias last."""
    temperature: float
    rows: NDArray[np.int64]
    """The rows labelled on this axis."""
    probabilities: Floats
    """For each of them, by weights that have not seen its fold."""


def make(encoder: Encoder, rows: Sequence[LabelledText], folder: Path, progress: Progress) -> str:
    """See `inquiry_svc.model_folders.ModelFolders.train`."""
    check_folder(folder)
    folds, by_source = folds_of(rows)
    check_enough({axis: answers_of(rows, axis) for axis in AXES}, folds)
    steps = len(rows) // _EVERY + 1 + len(AXES) * 10
    embeddings = []
    for place, row in enumerate(rows):
        embeddings.append(encoder.embed(row.text))
        if place % _EVERY == 0:
            progress(place // _EVERY, steps)
    axes = train(np.array(embeddings), rows)
    progress(steps, steps)
    return write(axes, rows, encoder.files, "sources" if by_source else "groups", folder)


def train(embeddings: NDArray[np.float32], rows: Sequence[LabelledText]) -> dict[str, Axis]:
    """Of embeddings with one row a text."""
    folds, _ = folds_of(rows)
    weights = row_weights(rows)
    inputs = np.hstack([embeddings.astype(np.float64), np.ones((len(rows), 1))])
    with threadpool_limits(1):
        return {axis: _train_axis(axis, inputs, answers_of(rows, axis), weights, folds) for axis in AXES}


def _train_axis(
    axis: str, inputs: Floats, answers: NDArray[np.int64], weights: Floats, folds: NDArray[np.int64]
) -> Axis:
    rows = np.flatnonzero(answers >= 0)
    inputs, answers, weights, folds = inputs[rows], answers[rows], weights[rows], folds[rows]
    labels = len(AXES[axis])
    whole = fit(inputs, answers, weights, labels)
    margins = np.empty((len(rows), labels))
    for fold in np.unique(folds):
        held_out = folds == fold
        part = fit(inputs[~held_out], answers[~held_out], weights[~held_out], labels, start=whole)
        margins[held_out] = inputs[held_out] @ part.T
    temperature = temperature_of(margins, answers, folds)
    return Axis(whole, temperature, rows, np.exp(log_softmax(margins / temperature)))


def fit(
    inputs: Floats, answers: NDArray[np.int64], weights: Floats, labels: int, *, start: Floats | None = None
) -> Floats:
    """The weights of shape (labels, columns of `inputs`); the last column is the bias, which is not penalised."""
    wanted = np.zeros((len(answers), labels))
    wanted[np.arange(len(answers)), answers] = 1.0
    shape = (labels, inputs.shape[1])
    penalised = np.ones(shape)
    penalised[:, -1] = 0.0

    def loss(flat: Floats) -> tuple[float, Floats]:
        found = flat.reshape(shape)
        logs = log_softmax(inputs @ found.T)
        gradient = ((np.exp(logs) - wanted) * weights[:, None]).T @ inputs + PENALTY * penalised * found
        value = -float((weights * (wanted * logs).sum(axis=1)).sum()) + PENALTY / 2 * float(
            (penalised * found**2).sum()
        )
        return value, gradient.ravel()

    began = np.zeros(shape) if start is None else start
    found = minimize(loss, began.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    weights_found: Floats = found.x.reshape(shape)
    return weights_found


def write(
    axes: Mapping[str, Axis], rows: Sequence[LabelledText], encoder: Mapping[str, str], held_out: str, folder: Path
) -> str:
    """Write every file of the model, the manifest last; a line on how right it is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    head = io.BytesIO()
    # Rounded, so that another processor's rounding errors seldom make another model.
    np.savez(
        head,
        allow_pickle=False,
        **{axis: made.weights.round(3).astype(np.float32) for axis, made in axes.items()},
        **{f"{axis}_temperature": np.array(made.temperature, np.float32) for axis, made in axes.items()},
    )
    (folder / HEAD).write_bytes(head.getvalue())
    files = {HEAD: digest_of(head.getvalue())}
    figures = {axis: _figures(axis, made, rows) for axis, made in axes.items()}
    below = _review(axes["category"], rows)
    manifest = {
        "format": FORMAT,
        "version": MODEL_VERSION,
        "digest": overall_digest(files, encoder, below),
        "labels": AXES,
        "files": files,
        "encoder": dict(encoder),
        "corpus": {
            "digest": corpus_digest(rows),
            "rows": len(rows),
            "sources": dict(Counter(row.source for row in rows)),
        },
        "training": {"penalty": PENALTY},
        "made_with": {
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "onnxruntime": version("onnxruntime"),
            "tokenizers": version("tokenizers"),
        },
        "cross_validation": {"held_out": held_out, **figures},
        "review": {"wanted_accuracy": REVIEW_ACCURACY, "below_confidence": below},
    }
    (folder / CARD).write_text(_card(manifest), encoding="utf-8")
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    told = ", ".join(f"{axis} {found['accuracy']:.1%}" for axis, found in figures.items())
    return f"learnt from {len(rows):,} rows (digest {corpus_digest(rows)}); right on held-out {held_out}: {told}"


def _given(axis: str, made: Axis) -> list[tuple[str, float]]:
    return [(AXES[axis][int(scores.argmax())], float(scores.max())) for scores in made.probabilities]


def _figures(axis: str, made: Axis, rows: Sequence[LabelledText]) -> dict[str, Any]:
    truths = [rows[row].label(axis) or "" for row in made.rows]
    found = judge(AXES[axis], truths, _given(axis, made))
    names = ("accuracy", "macro_f1", "mean_confidence", "ece")
    return {
        "rows": found.rows,
        "temperature": made.temperature,
        **{name: round(getattr(found, name), 4) for name in names},
    }


def _review(made: Axis, rows: Sequence[LabelledText]) -> dict[str, float]:
    """The thresholds by category, on held-out answers; each source counts alike."""
    sources = [rows[row].source for row in made.rows]
    sizes = Counter(sources)
    truths = [rows[row].category or "" for row in made.rows]
    weights = [1 / sizes[source] for source in sources]
    return review_thresholds(AXES["category"], truths, _given("category", made), REVIEW_ACCURACY, weights)


def _card(manifest: Mapping[str, Any]) -> str:
    corpus, validation = manifest["corpus"], manifest["cross_validation"]
    return "\n".join(
        [
            "# Model card",
            "",
            f"Triage of customer inquiries in English, model `{manifest['digest']}` (recipe {manifest['version']}).",
            "Logistic regression over embeddings of all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0), which is not",
            "in here: the extra `minilm` brings it. Written by `inquiry-svc train`.",
            "",
            f"Trained on {corpus['rows']:,} rows (corpus digest `{corpus['digest']}`): "
            + ", ".join(f"{name or 'source not given'} {count:,}" for name, count in corpus["sources"].items())
            + ".",
            "",
            f"Cross-validated by holding out whole {validation['held_out']}, at the temperature that was then fitted.",
            f"Calibration error over {ECE_BINS} bins of equal width.",
            "",
            "| axis | rows | accuracy | macro F1 | mean confidence | calibration error |",
            "|---|---|---|---|---|---|",
            *(
                f"| {axis} | {validation[axis]['rows']} | "
                + " | ".join(
                    f"{validation[axis][key]:.3f}" for key in ("accuracy", "macro_f1", "mean_confidence", "ece")
                )
                + " |"
                for axis in AXES
            ),
            "",
            f"For a person: a category below its threshold, so that {REVIEW_ACCURACY:.0%} of the rest are right.",
            "",
            "| category | threshold |",
            "|---|---|",
            *(f"| {category} | {below:.2f} |" for category, below in manifest["review"]["below_confidence"].items()),
            "",
            "It can't tell that a text is no inquiry at all: alone, it is sure of gibberish too. It reads the first",
            "256 tokens. For the rest see the card of the packaged default model.",
            "",
        ]
    )
