"""Outcomes and predictions as the types of `schemas`, and those as responses.

A `Label` and a `Model` are written as the types of `schemas` that stand for them, which say more of them to a reader of
the OpenAPI document: so they are put in as they are, and `Any` is what says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from aiohttp import web

from inquiry_svc.health import Report
from inquiry_svc.inquiries import AXES, Outcome, Prediction, Route, Verdict
from inquiry_svc.review_queue import Review
from inquiry_svc.service import VERSION
from inquiry_svc.web import schemas as out
from inquiry_svc.web.media_types import JSON

encode: Final = msgspec.json.Encoder().encode


def json_response(answer: out.Outgoing, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=encode(answer), status=status, headers=headers, content_type=JSON)


def json_line(answer: out.Outgoing) -> bytes:
    """For newline-delimited JSON."""
    return encode(answer) + b"\n"


def inquiry_out(outcome: Outcome) -> out.InquiryOut:
    inquiry = outcome.inquiry
    verdict: Any = outcome.prediction.verdict
    model: Any = outcome.prediction.model
    return out.InquiryOut(
        inquiry_id=inquiry.inquiry_id,
        status=outcome.status,
        received_at=inquiry.received_at,
        processed_at=outcome.processed_at,
        subject=inquiry.subject,
        body=inquiry.body,
        sender_email=inquiry.sender_email,
        sender_name=inquiry.sender_name,
        source=inquiry.source,
        metadata=dict(inquiry.metadata),
        category=verdict.category,
        sentiment=verdict.sentiment,
        urgency=verdict.urgency,
        needs_review=outcome.prediction.needs_review,
        review_reasons=outcome.prediction.review_reasons,
        degraded=outcome.prediction.degraded,
        routing=routing_out(outcome.route),
        model=model,
        feedback=_feedback(outcome),
        resolved_at=outcome.resolved_at,
    )


def review_out(review: Review, now: datetime) -> out.ReviewOut:
    claim = review.held_by(now)
    return out.ReviewOut(
        inquiry=inquiry_out(review.outcome),
        turn_at=review.turn_at,
        claimed_by=claim.reviewer if claim else None,
        claimed_until=claim.until if claim else None,
    )


def routing_out(route: Route) -> out.RoutingOut:
    return out.RoutingOut(
        department=route.department,
        consultant=route.consultant,
        priority_score=route.priority_score,
        escalated=route.escalated,
        reasons=route.reasons,
        sla_due_at=route.sla_due_at,
    )


def prediction_out(prediction: Prediction, *, with_scores: bool) -> out.PredictionOut:
    verdict: Any = prediction.verdict
    model: Any = prediction.model
    return out.PredictionOut(
        category=verdict.category,
        sentiment=verdict.sentiment,
        urgency=verdict.urgency,
        needs_review=prediction.needs_review,
        review_reasons=prediction.review_reasons,
        degraded=prediction.degraded,
        model=model,
        scores=_scores(verdict) if with_scores else msgspec.UNSET,
    )


def health_out(report: Report) -> out.HealthOut:
    return out.HealthOut(
        status=report.status,
        version=VERSION,
        components={
            name: out.ComponentOut(status=found.status, provider=found.provider, checked_in_s=found.checked_in_s)
            for name, found in report.components.items()
        },
    )


def _scores(verdict: Verdict) -> out.ScoresOut:
    scores = iter(verdict.scores)
    return out.ScoresOut(**{axis: dict(zip(labels, scores, strict=False)) for axis, labels in AXES.items()})


def _feedback(outcome: Outcome) -> out.FeedbackOut | None:
    feedback = outcome.feedback
    if feedback is None:
        return None
    return out.FeedbackOut(
        category=feedback.category,
        sentiment=feedback.sentiment,
        urgency=feedback.urgency,
        reviewer=feedback.reviewer,
        given_at=feedback.given_at,
    )
