"""Which predictions a person should look at, and why: the one place that decides it.

- `low_confidence`: the category is less sure than its threshold. The classifier may carry thresholds of its own, found
  on mail by authors that it had not seen; the configuration wins.
- `no_evidence`: the classifier found too little in the text to go by.
- `degraded`: the fallback classifier answered, or a classifier had to do without a part of itself.
- `audit`: picked by chance, whatever the answer. What people say of these is right of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from zlib import crc32

from inquiry_svc.contracts import Cautious, Classifier
from inquiry_svc.inquiries import ReviewReason, Verdict
from inquiry_svc.settings import ReviewSettings

BELOW_CONFIDENCE: Final = 0.6
"""For a category of which neither the configuration nor the classifier says more. Source: LowModelConfidence."""


class ReviewPolicy:
    def __init__(self, settings: ReviewSettings) -> None:
        self._below_confidence = settings.below_confidence
        self._below_evidence = settings.below_evidence
        self._audit_share = settings.audit_share

    def reasons(self, verdict: Verdict, review_below: Mapping[str, float]) -> tuple[ReviewReason, ...]:
        """Why a person should look at what a model says; empty where nobody needs to.

        `review_below` are the model's own thresholds, as `own_thresholds` gives them.
        """
        category = verdict.category
        is_unsure = category.confidence < self._threshold(category.label, review_below)
        if not is_unsure and verdict.evidence >= self._below_evidence and not verdict.degraded:
            return ()
        found: list[ReviewReason] = []
        if is_unsure:
            found.append("low_confidence")
        if verdict.evidence < self._below_evidence:
            found.append("no_evidence")
        if verdict.degraded:
            found.append("degraded")
        return tuple(found)

    def _threshold(self, category: str, review_below: Mapping[str, float]) -> float:
        given = self._below_confidence
        if isinstance(given, float):
            return given
        if given is not None and category in given:
            return given[category]
        return review_below.get(category, BELOW_CONFIDENCE)

    def audits(self, inquiry_id: str) -> bool:
        """Whether the inquiry is one of the audit sample: by a checksum of its id alone, so that it stays one."""
        return crc32(inquiry_id.encode()) < self._audit_share * 2**32


def own_thresholds(classifier: Classifier) -> Mapping[str, float]:
    """The confidence by category below which the classifier says that a person should look."""
    return classifier.review_below if isinstance(classifier, Cautious) else {}
