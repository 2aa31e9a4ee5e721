"""How right a classifier is, and how honest its confidence: figures over labelled rows, axis by axis.

Works with any `Classifier`; a null label is not judged. It measures only: what a figure must be is said elsewhere.
Judge a model on rows by authors whom it has not seen (hold out a whole `source`): on a random split of the rows that
it learnt from, any model looks right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from inquiry_svc.contracts import Classifier
from inquiry_svc.inquiries import AXES, Verdict
from inquiry_svc.labelled import LabelledText

ECE_BINS: Final = 15
"""Of equal width over 0 to 1."""


@dataclass(frozen=True, slots=True)
class AxisFigures:
    """One axis over the rows labelled on it; a figure is None where there are none."""

    rows: int
    accuracy: float | None
    macro_f1: float | None
    """Mean F1 of the labels that were right or were given at least once."""
    mean_confidence: float | None
    ece: float | None
    """Expected calibration error: the mean gap between confidence and accuracy over `ECE_BINS` bins, by rows."""
    needs_review_share: float | None
    """Of these rows: those whose confidence in their category is below the review threshold."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows by right label, then by given label, both in the order of `AXES`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    rows: int
    axes: Mapping[str, AxisFigures]
    microseconds_per_document: float | None
    """Wall time of `classify` on batches of `batch_size`, after one batch that is not counted."""

    def as_json(self) -> dict[str, Any]:
        """What `inquiry-svc evaluate --json` prints."""
        figures = {axis: asdict(self.axes[axis]) for axis in self.axes}
        for axis in figures.values():
            del axis["confusion"]
        return {"rows": self.rows, **figures, "microseconds_per_document": self.microseconds_per_document}


async def evaluate(
    classifier: Classifier,
    rows: Sequence[LabelledText],
    *,
    review_below: float,
    batch_size: int = 64,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Classify the rows in batches and compare. `on_progress` is told the size of each batch when it is done."""
    texts = [row.text for row in rows]
    if texts:
        await classifier.classify(texts[:batch_size])
    verdicts: list[Verdict] = []
    spent_s = 0.0
    for first in range(0, len(texts), batch_size):
        batch = texts[first : first + batch_size]
        began = time.perf_counter()
        verdicts += await classifier.classify(batch)
        spent_s += time.perf_counter() - began
        on_progress(len(batch))
    review = [verdict.category.confidence < review_below for verdict in verdicts]
    figures = {axis: _judge_rows(axis, rows, verdicts, review) for axis in AXES}
    return Evaluation(len(rows), figures, spent_s / len(rows) * 1e6 if rows else None)


def _judge_rows(
    axis: str, rows: Sequence[LabelledText], verdicts: Sequence[Verdict], review: Sequence[bool]
) -> AxisFigures:
    truths: list[str] = []
    given: list[tuple[str, float]] = []
    reviewed: list[bool] = []
    for row, verdict, flagged in zip(rows, verdicts, review, strict=True):
        truth = row.label(axis)
        if truth is not None:
            answer = getattr(verdict, axis)
            truths.append(truth)
            given.append((answer.label, answer.confidence))
            reviewed.append(flagged)
    return judge(AXES[axis], truths, given, reviewed)


def judge(
    labels: Sequence[str],
    truths: Sequence[str],
    given: Sequence[tuple[str, float]],
    reviewed: Sequence[bool] | None = None,
) -> AxisFigures:
    """The figures of one axis: the right labels, and at the same places the labels given with their confidence."""
    confusion = [[0] * len(labels) for _ in labels]
    for truth, (label, _) in zip(truths, given, strict=True):
        confusion[labels.index(truth)][labels.index(label)] += 1
    matrix = tuple(map(tuple, confusion))
    count = len(truths)
    if not count:
        return AxisFigures(0, None, None, None, None, None, matrix)
    return AxisFigures(
        rows=count,
        accuracy=sum(matrix[place][place] for place in range(len(labels))) / count,
        macro_f1=_macro_f1(matrix),
        mean_confidence=sum(confidence for _, confidence in given) / count,
        ece=_calibration_error(truths, given),
        needs_review_share=None if reviewed is None else sum(reviewed) / count,
        confusion=matrix,
    )


def _macro_f1(confusion: Sequence[Sequence[int]]) -> float:
    scores = []
    for place, row in enumerate(confusion):
        met = sum(row) + sum(other[place] for other in confusion)
        if met:
            scores.append(2 * row[place] / met)
    return sum(scores) / len(scores)


def _calibration_error(truths: Sequence[str], given: Sequence[tuple[str, float]]) -> float:
    gaps = [0.0] * ECE_BINS
    for truth, (label, confidence) in zip(truths, given, strict=True):
        gaps[min(int(confidence * ECE_BINS), ECE_BINS - 1)] += confidence - (truth == label)
    return sum(map(abs, gaps)) / len(truths)
