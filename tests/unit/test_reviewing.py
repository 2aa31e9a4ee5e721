"""Which predictions a person should look at: by confidence, by evidence, or by chance."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import uuid_utils.compat
from msgspec.structs import replace

from inquiry_svc.inquiries import AXES, Verdict
from inquiry_svc.reviewing import ReviewPolicy, own_thresholds
from inquiry_svc.settings import ReviewSettings
from inquiry_svc.testing.providers import FunctionClassifier
from inquiry_svc.testing.samples import sample_verdict


class CautiousClassifier(FunctionClassifier):
    def __init__(self, review_below: Mapping[str, float]) -> None:
        super().__init__()
        self.review_below = review_below


def sure_of(category: str, confidence: float) -> Verdict:
    scores = [confidence if label == category else (1 - confidence) / 5 for label in AXES["category"]]
    return Verdict.from_scores([*scores, *sample_verdict().scores[6:]])


@pytest.mark.parametrize(
    ("given", "carried", "billing", "legal"),
    [
        (None, {}, 0.6, 0.6),
        (None, {"billing": 0.8}, 0.8, 0.6),
        (0.5, {"billing": 0.8}, 0.5, 0.5),
        ({"legal": 0.9}, {"billing": 0.8}, 0.8, 0.9),
        ({"billing": 0.3}, {"billing": 0.8, "legal": 0.7}, 0.3, 0.7),
    ],
)
def test_the_configuration_wins_over_what_the_classifier_carries(
    given: float | dict[str, float] | None, carried: Mapping[str, float], billing: float, legal: float
) -> None:
    policy = ReviewPolicy(ReviewSettings(below_confidence=given))  # type: ignore[arg-type]
    own = own_thresholds(CautiousClassifier(carried))
    for category, below in (("billing", billing), ("legal", legal)):
        assert policy.reasons(sure_of(category, below), own) == ()
        assert policy.reasons(sure_of(category, below - 0.01), own) == ("low_confidence",)


def test_a_classifier_that_says_nothing_of_itself_has_no_thresholds() -> None:
    assert own_thresholds(FunctionClassifier()) == {}


def test_a_text_with_too_little_to_go_by_is_looked_at_however_sure_the_answer() -> None:
    policy, sure = ReviewPolicy(ReviewSettings()), sample_verdict()
    assert policy.reasons(sure, {}) == policy.reasons(replace(sure, evidence=0.5), {}) == ()
    assert policy.reasons(replace(sure, evidence=0.49), {}) == ("no_evidence",)
    assert policy.reasons(replace(sure_of("billing", 0.2), evidence=0.0), {}) == ("low_confidence", "no_evidence")


def test_an_answer_that_had_to_do_without_a_part_of_the_classifier_is_looked_at() -> None:
    policy, sure = ReviewPolicy(ReviewSettings()), sample_verdict()
    assert policy.reasons(replace(sure, degraded=("second classifier",)), {}) == ("degraded",)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_chance_picks_the_share_that_is_set_and_the_same_ones_again(share: float) -> None:
    policy = ReviewPolicy(ReviewSettings(audit_share=share))
    ids = [str(uuid_utils.compat.uuid7()) for _ in range(10_000)]
    audited = [policy.audits(inquiry_id) for inquiry_id in ids]
    assert abs(sum(audited) / len(ids) - share) <= 5 * (share * (1 - share) / len(ids)) ** 0.5
    assert audited == [policy.audits(inquiry_id) for inquiry_id in ids]
