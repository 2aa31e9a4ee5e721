"""Turns what happened into the service's own metrics: a watcher like any plugin's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from inquiry_svc import catalogue
from inquiry_svc.events import Classified, Failed, Received, Resolved, Reviewed, Routed, Stored
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import CATEGORIES, SENTIMENTS, URGENCIES, Model, Outcome, Prediction, Route
from inquiry_svc.metrics import Metrics
from inquiry_svc.review_metrics import REVIEW_DECISIONS

_SATISFACTION_OVER: Final = 50
"""A new inquiry moves the estimate by one part in so many; until there are so many it is their plain mean."""

_POSITIVE: Final = len(CATEGORIES) + SENTIMENTS.index("positive")
_NEUTRAL: Final = len(CATEGORIES) + SENTIMENTS.index("neutral")


def begin_with(model: Model, metrics: Metrics, *, role: Literal["classifier", "fallback"]) -> None:
    """Have the series of a model that was opened stand at 0: what is missing can't be divided by."""
    known = {"model_name": model.name, "version": model.version, "sha": model.digest}
    metrics.series(catalogue.MODEL_INFO, **known, role=role).set(1)
    metrics.series(catalogue.MODEL_CONFIDENCE, model_name=model.name)
    for category in CATEGORIES:
        metrics.series(catalogue.MODEL_PREDICTIONS, model_name=model.name, prediction=category)
    for correct in ("true", "false"):
        said = {"model_name": model.name, "correct": correct}
        for category in CATEGORIES:
            metrics.series(catalogue.MODEL_FEEDBACK, category=category, **said)
        for sentiment in SENTIMENTS:
            metrics.series(catalogue.SENTIMENT_FEEDBACK, sentiment=sentiment, **said)
        for urgency in URGENCIES:
            metrics.series(catalogue.URGENCY_FEEDBACK, urgency=urgency, **said)


@hookimpl
def on_received(event: Received, metrics: Metrics) -> None:
    metrics.series(catalogue.TEXTS_RECEIVED).inc(len(event.texts))


@hookimpl
def on_classified(event: Classified, metrics: Metrics) -> None:
    said = Counter((each.model.name, each.verdict.category.label) for each in event.predictions)
    for (name, category), count in said.items():
        metrics.series(catalogue.MODEL_PREDICTIONS, model_name=name, prediction=category).inc(count)
    for model_name in {name for name, _ in said}:
        metrics.series(catalogue.MODEL_CONFIDENCE, model_name=model_name).observe_all(
            [each.verdict.category.confidence for each in event.predictions if each.model.name == model_name]
        )


@hookimpl
def on_routed(event: Routed, metrics: Metrics) -> None:
    metrics.series(catalogue.UNASSIGNED).inc(sum(outcome.route.consultant is None for outcome in event.outcomes))


@hookimpl
def on_failed(event: Failed, metrics: Metrics) -> None:
    metrics.series(catalogue.TRIAGE_FAILURES, stage=event.stage).inc(event.count)


@hookimpl
def on_stored(event: Stored, metrics: Metrics) -> None:
    metrics.series(catalogue.INQUIRIES_PROCESSED, status="success").inc(len(event.outcomes))
    metrics.series(catalogue.INQUIRIES_REPLAYED).inc(event.replayed)
    verdicts = [outcome.prediction.verdict for outcome in event.outcomes]
    for category, count in Counter(verdict.category.label for verdict in verdicts).items():
        metrics.series(catalogue.CATEGORY, category=category).inc(count)
    for sentiment, count in Counter(verdict.sentiment.label for verdict in verdicts).items():
        metrics.series(catalogue.SENTIMENT, sentiment=sentiment).inc(count)
    for urgency, count in Counter(verdict.urgency.label for verdict in verdicts).items():
        metrics.series(catalogue.URGENCY, urgency=urgency).inc(count)
    _count_reviews([outcome.prediction for outcome in event.outcomes], metrics)
    _count_routes([outcome.route for outcome in event.outcomes], metrics)
    _estimate_satisfaction(event.outcomes, metrics)


@hookimpl
def on_reviewed(event: Reviewed, metrics: Metrics) -> None:
    prediction, feedback = event.outcome.prediction, event.outcome.feedback
    if feedback is None:
        return
    model_name, verdict = prediction.model.name, prediction.verdict
    if feedback.category is not None:
        _count_category(feedback.category, {"model_name": model_name, "category": verdict.category.label}, metrics)
        right = _yes_or_no(feedback.category == verdict.category.label)
        for reason in prediction.review_reasons:
            metrics.series(REVIEW_DECISIONS, reason=reason, correct=right).inc()
    if feedback.sentiment is not None:
        said, right = verdict.sentiment.label, _yes_or_no(feedback.sentiment == verdict.sentiment.label)
        metrics.series(catalogue.SENTIMENT_FEEDBACK, model_name=model_name, sentiment=said, correct=right).inc()
    if feedback.urgency is not None:
        said, right = verdict.urgency.label, _yes_or_no(feedback.urgency == verdict.urgency.label)
        metrics.series(catalogue.URGENCY_FEEDBACK, model_name=model_name, urgency=said, correct=right).inc()


@hookimpl
def on_resolved(event: Resolved, metrics: Metrics) -> None:
    received_at, resolved_at = event.outcome.inquiry.received_at, event.outcome.resolved_at
    if resolved_at is None:
        return
    # Both moments may be the caller's: an answer from before the question takes no time, not less.
    took_s = max(0.0, (resolved_at - received_at).total_seconds())
    metrics.series(catalogue.RESOLUTION, department=event.outcome.route.department).observe(took_s)
    within_sla = _yes_or_no(resolved_at <= event.outcome.route.sla_due_at)
    metrics.series(catalogue.RESOLVED, within_sla=within_sla).inc()


def _yes_or_no(answer: bool) -> str:
    return "true" if answer else "false"


def _count_reviews(predictions: Sequence[Prediction], metrics: Metrics) -> None:
    unsure = sum(each.needs_review and each.review_reasons != ("audit",) for each in predictions)
    metrics.series(catalogue.NEEDS_REVIEW).inc(unsure)
    for reason, count in Counter(reason for each in predictions for reason in each.review_reasons).items():
        metrics.series(catalogue.FOR_REVIEW, reason=reason).inc(count)


def _count_routes(routes: Sequence[Route], metrics: Metrics) -> None:
    for (department, escalated), count in Counter((route.department, route.escalated) for route in routes).items():
        labels = {"department": department, "escalated": _yes_or_no(escalated)}
        metrics.series(catalogue.ROUTING_DECISIONS, **labels).inc(count)
    metrics.series(catalogue.PRIORITY_SCORE).observe_all([route.priority_score for route in routes])


def _estimate_satisfaction(outcomes: Sequence[Outcome], metrics: Metrics) -> None:
    """Of an inquiry it is 1 for negative, 3 for neutral, 5 for positive, weighted by their probabilities."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.route.department, []).append(outcome.prediction.verdict.scores)
    for department, all_scores in found.items():
        score = metrics.series(catalogue.SATISFACTION, department=department)
        count = metrics.series(catalogue.SATISFACTION_COUNT, department=department)
        mean, inquiries = score.value, count.value
        for scores in all_scores:
            inquiries += 1
            satisfaction = 1 + 4 * scores[_POSITIVE] + 2 * scores[_NEUTRAL]
            mean += (satisfaction - mean) / (inquiries if inquiries < _SATISFACTION_OVER else _SATISFACTION_OVER)
        score.set(min(mean, 5.0))
        count.set(inquiries)


def _count_category(category: str, labels: Mapping[str, str], metrics: Metrics) -> None:
    correct = metrics.series(catalogue.MODEL_FEEDBACK, correct="true", **labels)
    wrong = metrics.series(catalogue.MODEL_FEEDBACK, correct="false", **labels)
    (correct if category == labels["category"] else wrong).inc()
    metrics.series(catalogue.MODEL_ACCURACY, **labels).set(correct.value / (correct.value + wrong.value))
