"""How right a classifier is, and how honest its confidence: figures over labelled rows, axis by axis.

Works with any `Classifier`; a null label is not judged. It measures only: what a figure must be is said elsewhere.
Judge a model on rows by authors whom it has not seen (hold out a whole `source`): on a random split of the rows that
it learnt from, any model looks right.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from inquiry_svc.contracts import Classifier
from inquiry_svc.inquiries import AXES, Verdict
from inquiry_svc.labelled import LabelledText
from inquiry_svc.reviewing import ReviewPolicy, own_thresholds

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
    """Of these rows: those that a person should look at, by what is said of their category and their evidence."""
    accuracy_without_review: float | None
    """Of the others: what is right though nobody looks."""
    confusion: tuple[tuple[int, ...], ...]
    """Rows by right label, then by given label, both in the order of `AXES`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    rows: int
    axes: Mapping[str, AxisFigures]
    microseconds_per_document: float | None
    """Wall time of `classify` on batches of `batch_size`, after one batch that is not counted."""
    verdicts: Sequence[Verdict]
    """Of each row."""

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
    policy: ReviewPolicy,
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
    review_below = own_thresholds(classifier)
    review = [bool(policy.reasons(verdict, review_below)) for verdict in verdicts]
    figures = {axis: _judge_rows(axis, rows, verdicts, review) for axis in AXES}
    return Evaluation(len(rows), figures, spent_s / len(rows) * 1e6 if rows else None, verdicts)


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
        return AxisFigures(0, None, None, None, None, None, None, matrix)
    kept = [truth == label for truth, (label, _), look in zip(truths, given, reviewed or (), strict=False) if not look]
    return AxisFigures(
        rows=count,
        accuracy=sum(matrix[place][place] for place in range(len(labels))) / count,
        macro_f1=_macro_f1(matrix),
        mean_confidence=sum(confidence for _, confidence in given) / count,
        ece=_calibration_error(truths, given),
        needs_review_share=None if reviewed is None else sum(reviewed) / count,
        accuracy_without_review=sum(kept) / len(kept) if kept else None,
        confusion=matrix,
    )


def review_thresholds(
    labels: Sequence[str],
    truths: Sequence[str],
    given: Sequence[tuple[str, float]],
    accuracy: float,
    weights: Sequence[float] | None = None,
) -> dict[str, float]:
    """Of each label the least confidence from which on so many of the answers are right, in full hundredths.

    That is for answers on texts that the classifier had not seen. A label that never gets so far has 1. `weights` say
    how much each answer counts.
    """
    found = dict.fromkeys(labels, 1.0)
    for label in labels:
        answers = [
            (confidence, weight, weight * (truth == label))
            for truth, (said, confidence), weight in zip(truths, given, weights or [1.0] * len(truths), strict=True)
            if said == label
        ]
        answers.sort(reverse=True)
        total = right = 0.0
        for place, (confidence, weight, counted) in enumerate(answers, start=1):
            total, right = total + weight, right + counted
            last_of_its_hundredth = place == len(answers) or _hundredth(answers[place][0]) < _hundredth(confidence)
            if last_of_its_hundredth and right >= accuracy * total:
                found[label] = _hundredth(confidence)
    return found


def _hundredth(confidence: float) -> float:
    return math.floor(confidence * 100) / 100


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
