"""What a second model is worth beside the shipped one: as the second of a cascade, and joined to it everywhere.

    python -m benchmarks.accuracy.second_opinions                 # a quarter of an hour: MiniLM reads the whole corpus
    python -m benchmarks.accuracy.second_opinions --kept FOLDER   # keeps the embeddings there for the next time

Both models are trained again, for the answers that they give to hands held out of the training: by those the threshold
of the cascade is chosen, and the weights by which it joins both answers are fitted, axis by axis, so that the right
answers become likeliest. The judging hands, and rows of your own, then judge both with the weights that the cascade has
by default. Writes `results/second_opinions.json`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.__main__ import CORPUS
from benchmarks.results_file import write_results
from benchmarks.servers import SERVER_CORE, use_core
from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc_plugins.classifiers.cascade import ENOUGH_EVIDENCE, CascadeSettings, pooled
from inquiry_svc_plugins.classifiers.holding_out import Floats, answers_of, log_softmax, row_weights
from inquiry_svc_plugins.classifiers.minilm import PACKAGED_MODEL as MINILM
from inquiry_svc_plugins.classifiers.minilm import training as minilm_training
from inquiry_svc_plugins.classifiers.minilm.encoder import Encoder, open_encoder
from inquiry_svc_plugins.classifiers.minilm.model import MinilmModel
from inquiry_svc_plugins.classifiers.minilm.model import load_model as load_minilm
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL
from inquiry_svc_plugins.classifiers.xgboost import training as xgboost_training
from inquiry_svc_plugins.classifiers.xgboost.fast import quickened
from inquiry_svc_plugins.classifiers.xgboost.model import load_model

BELOW: Final = (0.0, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.01)
"""Thresholds of the cascade; the last sends everything on."""
ASKED: Final = ("category", "sentiment")
_LEAST: Final = 1e-6

Probabilities = Mapping[str, Floats]


@click.command()
@click.option("--public", type=click.Path(path_type=Path), multiple=True, help="Rows of your own, judged besides.")
@click.option("--kept", type=click.Path(path_type=Path, file_okay=False), help="Where embeddings are kept.")
def main(public: tuple[Path, ...], kept: Path | None) -> None:
    """Train, judge, and write `results/second_opinions.json`."""
    use_core(SERVER_CORE)
    encoder = open_encoder("", 1)
    corpus = read_labelled(sorted(CORPUS.glob("*.jsonl")))
    judging = read_labelled(sorted((CORPUS / "judging").glob("judging-*.jsonl")))
    others = [row for row in read_labelled(public) if not row.source.startswith("authored")]
    trained = xgboost_training.train(corpus)
    first = {axis: _all_rows(made.rows, made.probabilities, len(corpus)) for axis, made in trained.axes.items()}
    click.echo("the shipped model is trained", err=True)
    embeddings, _ = _embedded("corpus", corpus, encoder, kept)
    again = minilm_training.train(embeddings, corpus)
    second = {axis: _all_rows(made.rows, made.probabilities, len(corpus)) for axis, made in again.items()}
    click.echo("MiniLM is trained", err=True)
    fitted = {axis: _weights(axis, first[axis], second[axis], corpus) for axis in AXES}

    shipped, minilm = quickened(load_model(PACKAGED_MODEL)), load_minilm(MINILM, encoder)
    found: dict[str, Any] = {"held_out": _judged(corpus, first, second, trained.evidence)}
    costs_us = {}
    for name, rows in {"judging": judging, "public": others}.items():
        if rows:
            began = time.process_time()
            probabilities, evidence = shipped.judge([row.text for row in rows])
            first_us = (time.process_time() - began) / len(rows) * 1e6
            embeddings, second_us = _embedded(name, rows, encoder, kept)
            costs_us[name] = {"first": round(first_us, 1), "second": round(second_us, 1)}
            by_minilm = _by_minilm(minilm, embeddings)
            found[name] = _judged(rows, _by_axis(probabilities), by_minilm, evidence)
    write_results(
        "second_opinions",
        below=BELOW,
        asked=ASKED,
        weights=CascadeSettings().weights,
        fitted_weights=fitted,
        us_per_text=costs_us,
        **found,
    )


def _embedded(
    name: str, rows: Sequence[LabelledText], encoder: Encoder, kept: Path | None
) -> tuple[NDArray[np.float32], float]:
    """The embeddings, and microseconds of processor time a text: of all, or of the first 200 where they were kept."""
    file = kept / f"{name}.npy" if kept else None
    began = time.process_time()
    if file is None or not file.exists():
        embeddings = np.array([encoder.embed(row.text) for row in rows])
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, embeddings)
        return embeddings, (time.process_time() - began) / len(rows) * 1e6
    embeddings = np.load(file)
    some = np.linspace(0, len(rows) - 1, 200).astype(int).tolist()
    if any((encoder.embed(rows[place].text) != embeddings[place]).any() for place in some):
        raise click.ClickException(f"{file} holds the embeddings of other rows, or by another encoder; remove it")
    return embeddings, (time.process_time() - began) / len(some) * 1e6


def _all_rows(rows: NDArray[np.int64], probabilities: Floats, count: int) -> Floats:
    """NaN where a row is not labelled: no model that was held out of it has judged it."""
    whole = np.full((count, probabilities.shape[1]), np.nan)
    whole[rows] = probabilities
    return whole


def _by_axis(probabilities: Floats) -> Probabilities:
    ends = np.cumsum([len(labels) for labels in AXES.values()])[:-1]
    return dict(zip(AXES, np.split(probabilities, ends, axis=1), strict=True))


def _by_minilm(model: MinilmModel, embeddings: NDArray[np.float32]) -> Probabilities:
    inputs = np.hstack([embeddings, np.ones((len(embeddings), 1), np.float32)])
    return {axis: np.exp(log_softmax((inputs @ model.weights[axis].T).astype(float))) for axis in AXES}


def _weights(axis: str, first: Floats, second: Floats, rows: Sequence[LabelledText]) -> tuple[float, float]:
    """The weights of `pooled` with which the right answers about hands held out of both trainings are likeliest."""
    answers, counts = answers_of(rows, axis), row_weights(rows)
    labelled = np.flatnonzero(answers >= 0)

    def surprise(weights: Floats) -> float:
        joined = log_softmax(weights[0] * np.log(first + _LEAST) + weights[1] * np.log(second + _LEAST))
        return -float((counts[labelled] * joined[labelled, answers[labelled]]).sum())

    found = minimize(surprise, np.array([1.0, 0.0]), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-2})
    return round(float(found.x[0]), 3), round(float(found.x[1]), 3)


def _joined(first: Floats, second: Floats) -> Floats:
    """As the cascade joins them by default, of each row."""
    weights = CascadeSettings().weights
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    return np.array([pooled(one, other, weights) for one, other in pairs])


def _judged(
    rows: Sequence[LabelledText],
    first: Probabilities,
    second: Probabilities,
    evidence: Floats,
) -> dict[str, Any]:
    """Accuracies: each alone, joined, and for each threshold the cascade's with the share that goes on."""
    alone: dict[str, Any] = {}
    both = {axis: _joined(first[axis], second[axis]) for axis in AXES}
    for axis in AXES:
        alone[axis] = {
            "rows": sum(row.label(axis) is not None for row in rows),
            "shipped": _accuracy(rows, axis, first[axis]),
            "MiniLM": _accuracy(rows, axis, second[axis]),
            "joined": _accuracy(rows, axis, both[axis]),
        }
    return {"alone": alone, "cascade": [_cascade(rows, first, both, evidence, below) for below in BELOW]}


def _cascade(
    rows: Sequence[LabelledText], first: Probabilities, both: Probabilities, evidence: Floats, below: float
) -> dict[str, Any]:
    unsure = {axis: (first[axis].max(axis=1) < below) & (evidence >= ENOUGH_EVIDENCE) for axis in AXES}
    goes_on = np.logical_or.reduce([unsure[axis] for axis in ASKED])
    judged = np.logical_and.reduce([~np.isnan(first[axis]).any(axis=1) for axis in ASKED])
    accuracy = {axis: _accuracy(rows, axis, np.where(unsure[axis][:, None], both[axis], first[axis])) for axis in AXES}
    return {"below": below, "share": _mean_of_sources(list(compress(rows, judged)), goes_on[judged]), **accuracy}


def _accuracy(rows: Sequence[LabelledText], axis: str, scores: Floats) -> float | None:
    answers = answers_of(rows, axis)
    labelled = answers >= 0
    right = scores.argmax(axis=1) == answers
    kept = [row for row, is_labelled in zip(rows, labelled, strict=True) if is_labelled]
    return _mean_of_sources(kept, right[labelled]) if kept else None


def _mean_of_sources(rows: Sequence[LabelledText], values: NDArray[np.bool_]) -> float:
    """Each source counts alike."""
    sources = np.array([row.source for row in rows])
    return round(float(np.mean([values[sources == source].mean() for source in sorted(set(sources))])), 4)


if __name__ == "__main__":
    main()
