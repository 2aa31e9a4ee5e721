"""What people and batches did becomes the service's own numbers, to the digit."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from inquiry_svc.catalogue import (
    FOR_REVIEW,
    MODEL_ACCURACY,
    MODEL_FEEDBACK,
    NEEDS_REVIEW,
    OWN_METRICS,
    RESOLUTION,
    RESOLVED,
    SATISFACTION,
    SATISFACTION_COUNT,
    SENTIMENT_FEEDBACK,
    URGENCY_FEEDBACK,
)
from inquiry_svc.events import Resolved, Reviewed, Stored
from inquiry_svc.inquiries import Category, Feedback, ReviewReason, Verdict
from inquiry_svc.metrics import Metric, Metrics
from inquiry_svc.recording import begin_with, on_resolved, on_reviewed, on_stored
from inquiry_svc.testing.samples import MODEL, NOON, sample_outcome, sample_prediction

CERTAIN = {"positive": (1.0, 0.0, 0.0), "neutral": (0.0, 1.0, 0.0), "negative": (0.0, 0.0, 1.0)}


def reviewed(category: Category | None) -> Reviewed:
    """The model had said billing."""
    return Reviewed(sample_outcome(feedback=Feedback(category, "neutral", None, None, NOON)))


def stored(*sentiments: tuple[float, float, float]) -> Stored:
    """An outcome for finance with each of these probabilities of positive, neutral and negative."""
    verdicts = [Verdict.from_scores([1, 0, 0, 0, 0, 0, *scores, 1, 0, 0, 0]) for scores in sentiments]
    return Stored([sample_outcome(prediction=replace(sample_prediction(), verdict=each)) for each in verdicts], 0, 0.0)


def values(metrics: Metrics, metric: Metric) -> dict[tuple[str, ...], object]:
    return next(dict(family.values) for family in metrics.snapshot() if family.metric is metric)


def test_feedback_counts_under_what_the_model_had_said_and_only_where_it_names_a_category() -> None:
    metrics = Metrics(OWN_METRICS)
    for category in ("billing", "billing", "sales", None, "billing", None):
        on_reviewed(reviewed(category), metrics)
    found = values(metrics, MODEL_FEEDBACK)
    assert found == {(MODEL.name, "billing", "true"): 3, (MODEL.name, "billing", "false"): 1}
    assert values(metrics, MODEL_ACCURACY) == {(MODEL.name, "billing"): 0.75}


def test_feedback_on_sentiment_and_urgency_counts_under_what_the_model_had_said() -> None:
    metrics = Metrics(OWN_METRICS)
    for sentiment, urgency in (("negative", "medium"), ("neutral", None), (None, "high"), ("negative", "low")):
        feedback = Feedback(None, sentiment, urgency, None, NOON)  # type: ignore[arg-type]
        on_reviewed(Reviewed(sample_outcome(feedback=feedback)), metrics)
    said_negative, said_medium = (MODEL.name, "negative"), (MODEL.name, "medium")
    assert values(metrics, SENTIMENT_FEEDBACK) == {(*said_negative, "true"): 2, (*said_negative, "false"): 1}
    assert values(metrics, URGENCY_FEEDBACK) == {(*said_medium, "true"): 1, (*said_medium, "false"): 2}
    assert values(metrics, MODEL_FEEDBACK) == {}


def test_nothing_is_said_of_accuracy_before_anybody_said_anything() -> None:
    metrics = Metrics(OWN_METRICS)
    begin_with(MODEL, metrics, role="classifier")
    assert values(metrics, MODEL_ACCURACY) == {}
    assert set(values(metrics, MODEL_FEEDBACK).values()) == {0}
    assert [len(values(metrics, each)) for each in (MODEL_FEEDBACK, SENTIMENT_FEEDBACK, URGENCY_FEEDBACK)] == [12, 6, 8]


def test_each_reason_for_review_counts_and_an_audit_is_no_doubt() -> None:
    metrics = Metrics(OWN_METRICS)
    reasons: list[tuple[ReviewReason, ...]] = [("low_confidence", "no_evidence"), ("audit",), ("no_evidence", "audit")]
    predictions = [sample_prediction(needs_review=True, review_reasons=each) for each in reasons]
    predictions.append(sample_prediction())
    on_stored(Stored([sample_outcome(prediction=each) for each in predictions], 0, 0.0), metrics)
    found = {"low_confidence": 1, "no_evidence": 2, "degraded": 0, "audit": 2}
    assert values(metrics, FOR_REVIEW) == {(reason,): count for reason, count in found.items()}
    assert metrics.series(NEEDS_REVIEW).value == 2


@pytest.mark.parametrize(("sentiment", "score"), [("positive", 5), ("neutral", 3), ("negative", 1)])
def test_a_sentiment_that_is_certain_has_its_score(sentiment: str, score: float) -> None:
    metrics = Metrics(OWN_METRICS)
    on_stored(stored(CERTAIN[sentiment]), metrics)
    assert values(metrics, SATISFACTION) == {("finance",): score}


def test_probabilities_weigh_the_score_and_the_first_inquiries_make_a_plain_mean() -> None:
    metrics = Metrics(OWN_METRICS)
    on_stored(stored((0.5, 0.25, 0.25), (0.0, 0.5, 0.5), (0.25, 0.5, 0.25)), metrics)
    score = metrics.series(SATISFACTION, department="finance").value
    assert score == pytest.approx((3.5 + 2 + 3) / 3)
    assert metrics.series(SATISFACTION_COUNT, department="finance").value == 3
    assert metrics.series(SATISFACTION_COUNT, department="legal").value == 0


def test_what_is_long_ago_fades_and_what_is_new_is_seen() -> None:
    metrics = Metrics(OWN_METRICS)
    on_stored(stored(*[CERTAIN["positive"]] * 1000), metrics)
    before = metrics.series(SATISFACTION, department="finance").value
    on_stored(stored(*[CERTAIN["negative"]] * 35), metrics)
    half_way = metrics.series(SATISFACTION, department="finance").value
    on_stored(stored(*[CERTAIN["negative"]] * 300), metrics)
    assert before == pytest.approx(5)
    assert half_way == pytest.approx(3, abs=0.05), "a fiftieth each time: half of it after 35"
    assert metrics.series(SATISFACTION, department="finance").value == pytest.approx(1, abs=0.01)


def test_rounding_of_a_classifier_takes_no_score_off_the_scale() -> None:
    metrics = Metrics(OWN_METRICS)
    on_stored(stored((1.009, 0.0, 0.0)), metrics)
    assert metrics.series(SATISFACTION, department="finance").value == 5


def test_a_resolution_is_timed_from_the_receipt_and_judged_by_its_due_time() -> None:
    metrics = Metrics(OWN_METRICS)
    due_s = 4 * 3600
    for after_s in (60, due_s, due_s + 1, 86_401, -5):
        outcome = sample_outcome(resolved_at=NOON + timedelta(seconds=after_s))
        on_resolved(Resolved(outcome), metrics)
    finance = metrics.series(RESOLUTION, department="finance")
    assert finance.cumulative() == (2, 2, 2, 2, 3, 4, 5, 5)
    assert finance.sum == 60 + due_s + due_s + 1 + 86_401
    assert values(metrics, RESOLVED) == {("true",): 3, ("false",): 2}
