"""From verdicts to figures: by axis, hand, length and category; reliability; and what review would leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.accuracy.systems import Judged
from inquiry_svc.evaluation import ECE_BINS, judge
from inquiry_svc.inquiries import AXES, CATEGORIES, Verdict
from inquiry_svc.labelled import LabelledText
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import ReviewSettings

LENGTHS: Final[Mapping[str, range]] = {
    "under 100 characters": range(100),
    "100 to 299": range(100, 300),
    "300 to 599": range(300, 600),
    "600 and more": range(600, 1_000_000),
}
"""Of subject and body together."""
SHARES: Final = tuple(place / 50 for place in range(31))
"""Of the rows: so many are looked at by a person."""


def figures_of(system: Judged, rows: Sequence[LabelledText]) -> dict[str, Any]:
    """Everything about one system on the judging hands, as it is kept."""
    hands = sorted({row.source for row in rows})
    return {
        "model": system.model,
        "us_per_text": round(system.us_per_text, 1),
        "axes": {axis: _axis(axis, rows, system.verdicts) for axis in AXES},
        "by_hand": {hand: _right(rows, system, [row.source == hand for row in rows]) for hand in hands},
        "by_length": {
            name: _right(rows, system, [_length(row) in within for row in rows]) for name, within in LENGTHS.items()
        },
        "by_category": {
            category: _right(rows, system, [row.category == category for row in rows]) for category in CATEGORIES
        },
        "review_curve": review_curve(rows, system.verdicts),
        "review": _as_configured(rows, system),
    }


def by_source(systems: Sequence[Judged], rows: Sequence[LabelledText]) -> dict[str, Any]:
    """Of each source the rows labelled on an axis, and the accuracy of each system there."""
    found: dict[str, Any] = {}
    for source in sorted({row.source for row in rows}):
        for axis in AXES:
            labelled = sum(row.source == source and row.label(axis) is not None for row in rows)
            if labelled:
                right = {
                    system.name: _right(rows, system, [row.source == source for row in rows])[axis]
                    for system in systems
                }
                found.setdefault(axis, {})[source] = {"rows": labelled, **right}
    return found


def review_curve(rows: Sequence[LabelledText], verdicts: Sequence[Verdict]) -> list[float]:
    """For each of `SHARES` the category accuracy of the rest, when people look at the least sure answers.

    Of equally sure answers any may be among them: each counts as right as all of these together.
    """
    by_confidence: dict[float, list[bool]] = {}
    for row, verdict in zip(rows, verdicts, strict=True):
        by_confidence.setdefault(verdict.category.confidence, []).append(verdict.category.label == row.category)
    right = [sum(found) / len(found) for _, found in sorted(by_confidence.items()) for _ in found]
    rest = [right[int(share * len(right)) :] for share in SHARES]
    return [round(sum(each) / len(each), 4) for each in rest]


def _axis(axis: str, rows: Sequence[LabelledText], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    truths = [row.label(axis) or "" for row in rows]
    given = [(getattr(verdict, axis).label, getattr(verdict, axis).confidence) for verdict in verdicts]
    found = judge(AXES[axis], truths, given)
    return {
        **{name: round(getattr(found, name), 4) for name in ("accuracy", "macro_f1", "mean_confidence", "ece")},
        "confusion": found.confusion,
        "reliability": _reliability(truths, given),
    }


def _reliability(truths: Sequence[str], given: Sequence[tuple[str, float]]) -> list[dict[str, float]]:
    """Of each bin with answers, of the bins of the calibration error: mean confidence, accuracy, answers."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for truth, (label, confidence) in zip(truths, given, strict=True):
        bins.setdefault(min(int(confidence * ECE_BINS), ECE_BINS - 1), []).append((confidence, label == truth))
    return [
        {
            "confidence": round(sum(confidence for confidence, _ in found) / len(found), 4),
            "accuracy": round(sum(right for _, right in found) / len(found), 4),
            "rows": len(found),
        }
        for _, found in sorted(bins.items())
    ]


def _right(rows: Sequence[LabelledText], system: Judged, wanted: Sequence[bool]) -> dict[str, float | None]:
    """The accuracy by axis over the rows that are wanted and labelled."""
    pairs = [(row, verdict) for row, verdict, is_wanted in zip(rows, system.verdicts, wanted, strict=True) if is_wanted]
    return {
        "rows": len(pairs),
        **{
            axis: _mean([getattr(verdict, axis).label == row.label(axis) for row, verdict in pairs if row.label(axis)])
            for axis in AXES
        },
    }


def _as_configured(rows: Sequence[LabelledText], system: Judged) -> dict[str, float | None]:
    """What is reviewed by default, by the thresholds that the model carries, and how right the rest is."""
    policy = ReviewPolicy(ReviewSettings())
    kept = [
        verdict.category.label == row.category
        for row, verdict in zip(rows, system.verdicts, strict=True)
        if not policy.reasons(verdict, system.review_below)
    ]
    return {"share": round(1 - len(kept) / len(rows), 4), "accuracy_of_the_rest": _mean(kept)}


def _length(row: LabelledText) -> int:
    return len(row.text.subject) + len(row.text.body)


def _mean(values: Sequence[bool]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
