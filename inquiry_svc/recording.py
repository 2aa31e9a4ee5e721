"""Turns what happened into the service's own metrics: a watcher like any plugin's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from inquiry_svc import catalogue
from inquiry_svc.events import Classified, Failed, Received, Resolved, Reviewed, Routed, Stored
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import CATEGORIES, SENTIMENTS, URGENCIES, Model, Outcome, Verdict
from inquiry_svc.metrics import Metrics

_SATISFACTION_OVER: Final = 50
"""A new inquiry moves the estimate by one part in so many; until there are so many it is their plain mean."""


def begin_with(model: Model, metrics: Metrics) -> None:
    """Have the series of a model that was opened stand at 0: what is missing can't be divided by."""
    metrics.series(catalogue.MODEL_INFO, model_name=model.name, version=model.version, sha=model.digest).set(1)
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
    for prediction in event.predictions:
        name, category = prediction.model.name, prediction.verdict.category
        metrics.series(catalogue.MODEL_PREDICTIONS, model_name=name, prediction=category.label).inc()
        metrics.series(catalogue.MODEL_CONFIDENCE, model_name=name).observe(category.confidence)


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
    priority_score = metrics.series(catalogue.PRIORITY_SCORE)
    for outcome in event.outcomes:
        verdict, route = outcome.prediction.verdict, outcome.route
        metrics.series(catalogue.CATEGORY, category=verdict.category.label).inc()
        metrics.series(catalogue.SENTIMENT, sentiment=verdict.sentiment.label).inc()
        metrics.series(catalogue.URGENCY, urgency=verdict.urgency.label).inc()
        metrics.series(
            catalogue.ROUTING_DECISIONS,
            department=route.department,
            escalated=_yes_or_no(route.escalated),
        ).inc()
        priority_score.observe(route.priority_score)
        _estimate_satisfaction(outcome, metrics)
    metrics.series(catalogue.NEEDS_REVIEW).inc(sum(o.prediction.needs_review for o in event.outcomes))


@hookimpl
def on_reviewed(event: Reviewed, metrics: Metrics) -> None:
    prediction, feedback = event.outcome.prediction, event.outcome.feedback
    if feedback is None:
        return
    model_name, verdict = prediction.model.name, prediction.verdict
    if feedback.category is not None:
        _count_category(feedback.category, {"model_name": model_name, "category": verdict.category.label}, metrics)
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


def _estimate_satisfaction(outcome: Outcome, metrics: Metrics) -> None:
    score = metrics.series(catalogue.SATISFACTION, department=outcome.route.department)
    count = metrics.series(catalogue.SATISFACTION_COUNT, department=outcome.route.department)
    count.set(count.value + 1)
    weight = 1 / min(count.value, _SATISFACTION_OVER)
    score.set(score.value + weight * (_satisfaction(outcome.prediction.verdict) - score.value))


def _satisfaction(verdict: Verdict) -> float:
    """1 for negative, 3 for neutral, 5 for positive, weighted by their probabilities."""
    positive, neutral = verdict.scores[len(CATEGORIES) : len(CATEGORIES) + 2]
    return min(5.0, 1 + 4 * (positive + neutral / 2))


def _count_category(category: str, labels: Mapping[str, str], metrics: Metrics) -> None:
    correct = metrics.series(catalogue.MODEL_FEEDBACK, correct="true", **labels)
    wrong = metrics.series(catalogue.MODEL_FEEDBACK, correct="false", **labels)
    (correct if category == labels["category"] else wrong).inc()
    metrics.series(catalogue.MODEL_ACCURACY, **labels).set(correct.value / (correct.value + wrong.value))
