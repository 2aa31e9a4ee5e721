"""Outcomes and predictions as the types of `schemas`, and those as responses.

A `Label`, a `Model` and a `Route` are written as the types of `schemas` that stand for them, which say more of them to
a reader of the OpenAPI document: so they are put in as they are, and `Any` is what says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from aiohttp import web

from inquiry_svc.health import Report
from inquiry_svc.inquiries import AXES, Outcome, Prediction, Verdict
from inquiry_svc.release import VERSION
from inquiry_svc.review_queue import Review
from inquiry_svc.web import schemas as out
from inquiry_svc.web.media_types import JSON

encode: Final = msgspec.json.Encoder().encode


def json_response(answer: out.Outgoing, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=encode(answer), status=status, headers=headers, content_type=JSON)


def json_line(answer: out.Outgoing) -> bytes:
    """For newline-delimited JSON."""
    return encode(answer) + b"\n"


def inquiry_out(outcome: Outcome) -> out.InquiryOut:
    inquiry, prediction = outcome.inquiry, outcome.prediction
    verdict: Any = prediction.verdict
    model: Any = prediction.model
    route: Any = outcome.route
    return out.InquiryOut(  # in the order of the fields: to name twenty takes five times as long
        inquiry.inquiry_id,
        outcome.status,
        inquiry.received_at,
        outcome.processed_at,
        inquiry.subject,
        inquiry.body,
        inquiry.sender_email,
        inquiry.sender_name,
        inquiry.source,
        dict(inquiry.metadata),
        verdict.category,
        verdict.sentiment,
        verdict.urgency,
        prediction.needs_review,
        prediction.review_reasons,
        prediction.degraded,
        route,
        model,
        _feedback(outcome),
        outcome.resolved_at,
    )


def review_out(review: Review, now: datetime) -> out.ReviewOut:
    claim = review.held_by(now)
    return out.ReviewOut(
        inquiry=inquiry_out(review.outcome),
        turn_at=review.turn_at,
        claimed_by=claim.reviewer if claim else None,
        claimed_until=claim.until if claim else None,
    )


def prediction_out(prediction: Prediction, *, with_scores: bool) -> out.PredictionOut:
    verdict: Any = prediction.verdict
    model: Any = prediction.model
    return out.PredictionOut(
        verdict.category,
        verdict.sentiment,
        verdict.urgency,
        prediction.needs_review,
        prediction.review_reasons,
        prediction.degraded,
        model,
        _scores(verdict) if with_scores else msgspec.UNSET,
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
