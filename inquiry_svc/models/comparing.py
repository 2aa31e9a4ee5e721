"""What two models say to the same texts, side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from inquiry_svc.contracts import Classifier
from inquiry_svc.inquiries import AXES, Model, Verdict
from inquiry_svc.labelled import LabelledText
from inquiry_svc.models.limits import Counted, Figures


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model says to each row, asked one at a time."""

    model: Model
    verdicts: Sequence[Verdict | None]
    """None where it raised."""
    took_s: Sequence[float]

    def label(self, row: int, axis: str) -> str | None:
        verdict = self.verdicts[row]
        label: str | None = None if verdict is None else getattr(verdict, axis).label
        return label

    def labels(self, axis: str) -> Sequence[str | None]:
        return [self.label(row, axis) for row in range(len(self.verdicts))]

    def right(self, rows: Sequence[LabelledText], axis: str) -> Counted:
        """Of the rows whose label is known."""
        truths = [row.label(axis) for row in rows]
        known = sum(truth is not None for truth in truths)
        return Counted(
            sum(truth is not None and truth == given for truth, given in zip(truths, self.labels(axis), strict=True)),
            known,
        )


async def answers_of(classifier: Classifier, rows: Sequence[LabelledText]) -> Answers:
    verdicts: list[Verdict | None] = []
    took_s = []
    for row in rows:
        started = time.perf_counter()
        try:
            (verdict,) = await classifier.classify([row.text])
        except Exception:
            verdict = None
        took_s.append(time.perf_counter() - started)
        verdicts.append(verdict)
    return Answers(classifier.model, verdicts, took_s)


def agreement(one: Answers, other: Answers, axis: str) -> Counted:
    pairs = list(zip(one.labels(axis), other.labels(axis), strict=True))
    return Counted(sum(a == b and a is not None for a, b in pairs), len(pairs))


def figures_of(candidate: Answers, champion: Answers, rows: Sequence[LabelledText], *, max_p99_s: float) -> Figures:
    return Figures(
        {axis: candidate.right(rows, axis) for axis in AXES},
        {axis: champion.right(rows, axis) for axis in AXES},
        agreed=agreement(candidate, champion, "category"),
        slow=Counted(sum(each > max_p99_s for each in candidate.took_s), len(rows)),
        failed=Counted(sum(verdict is None for verdict in candidate.verdicts), len(rows)),
    )
