"""Turns what happened to a batch into the service's own metrics: a watcher like any plugin's."""

from __future__ import annotations

from inquiry_svc import catalogue
from inquiry_svc.events import Classified, Failed, Received, Routed, Stored
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Metrics


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
            escalated="true" if route.escalated else "false",
        ).inc()
        priority_score.observe(route.priority_score)
    metrics.series(catalogue.NEEDS_REVIEW).inc(sum(o.prediction.needs_review for o in event.outcomes))
