"""An outcome as rows, and back: equal to what was saved, to the last bit of a score and the microsecond of a time.

Knows the columns of `queries.sql` and the view `outcomes`; runs no SQL. An outcome that can't be written raises
`TypeError`, `ValueError` or the like, never `StoreUnavailable`, so that it fails alone.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from inquiry_svc.inquiries import (
    Feedback,
    IdempotencyKey,
    Inquiry,
    Label,
    Model,
    Outcome,
    Prediction,
    Route,
    Verdict,
)

Row: TypeAlias = tuple[Any, ...]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

# The standard library's JSON, not a faster one: it alone holds integers of any size, and refuses NaN.
_to_json: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_from_json: Final = json.JSONDecoder().decode


def to_microseconds(time: datetime) -> int:
    """Since 1970 in UTC. Raises `TypeError` for a time without a zone."""
    return (time - _EPOCH) // _MICROSECOND


def inquiry_row(outcome: Outcome) -> Row:
    inquiry = outcome.inquiry
    return (
        inquiry.inquiry_id,
        to_microseconds(inquiry.received_at),
        to_microseconds(outcome.processed_at),
        inquiry.subject,
        inquiry.body,
        inquiry.sender_email,
        inquiry.sender_name,
        inquiry.source,
        _to_json(dict(inquiry.metadata)),
    )


def prediction_row(outcome: Outcome) -> Row:
    prediction, verdict, model = outcome.prediction, outcome.prediction.verdict, outcome.prediction.model
    return (
        outcome.inquiry.inquiry_id,
        to_microseconds(outcome.inquiry.received_at),
        verdict.category.label,
        verdict.category.confidence,
        verdict.sentiment.label,
        verdict.sentiment.confidence,
        verdict.urgency.label,
        verdict.urgency.confidence,
        struct.pack(f"<{len(verdict.scores)}d", *verdict.scores),
        model.name,
        model.version,
        model.digest,
        prediction.needs_review,
        _to_json(prediction.degraded),
    )


def routing_decision_row(outcome: Outcome) -> Row:
    route, resolved_at = outcome.route, outcome.resolved_at
    return (
        outcome.inquiry.inquiry_id,
        to_microseconds(outcome.inquiry.received_at),
        route.department,
        route.consultant,
        route.priority_score,
        route.escalated,
        _to_json(route.reasons),
        to_microseconds(route.sla_due_at),
        None if resolved_at is None else to_microseconds(resolved_at),
    )


def idempotency_key_rows(outcomes: Sequence[Outcome]) -> list[Row]:
    keys = ((outcome.inquiry.idempotency_key, outcome.inquiry.inquiry_id) for outcome in outcomes)
    return [(key.value, key.fingerprint, inquiry_id) for key, inquiry_id in keys if key is not None]


def feedback_row(inquiry_id: str, feedback: Feedback) -> Row:
    return (
        inquiry_id,
        feedback.category,
        feedback.sentiment,
        feedback.urgency,
        feedback.reviewer,
        to_microseconds(feedback.given_at),
    )


def json_array(values: Sequence[str]) -> str:
    """For `json_each`, which gives a statement a list."""
    return _to_json(values)


def outcome_from_row(row: Row) -> Outcome:
    """From a row of the view `outcomes`."""
    return Outcome(
        inquiry=_inquiry(row[:11]),
        prediction=_prediction(row[11:23]),
        route=_route(row[23:29]),
        processed_at=_from_microseconds(row[2]),
        feedback=_feedback(row[30:35]),
        resolved_at=None if row[29] is None else _from_microseconds(row[29]),
    )


def _inquiry(columns: Row) -> Inquiry:
    (inquiry_id, received_at, _, subject, body, email, name, source, metadata, key, fingerprint) = columns
    return Inquiry(
        subject=subject,
        body=body,
        inquiry_id=inquiry_id,
        sender_email=email,
        received_at=_from_microseconds(received_at),
        sender_name=name,
        source=source,
        metadata=_from_json(metadata),
        idempotency_key=None if key is None else IdempotencyKey(key, fingerprint),
    )


def _prediction(columns: Row) -> Prediction:
    *labels, scores, model_name, model_version, model_digest, needs_review, degraded = columns
    return Prediction(
        verdict=Verdict(
            Label(*labels[0:2]),
            Label(*labels[2:4]),
            Label(*labels[4:6]),
            struct.unpack(f"<{len(scores) // 8}d", scores),
        ),
        model=Model(model_name, model_version, model_digest),
        needs_review=bool(needs_review),
        degraded=tuple(_from_json(degraded)),
    )


def _route(columns: Row) -> Route:
    department, consultant, priority_score, escalated, reasons, sla_due_at = columns
    return Route(
        department=department,
        consultant=consultant,
        priority_score=priority_score,
        escalated=bool(escalated),
        reasons=tuple(_from_json(reasons)),
        sla_due_at=_from_microseconds(sla_due_at),
    )


def _feedback(columns: Row) -> Feedback | None:
    category, sentiment, urgency, reviewer, given_at = columns
    if given_at is None:
        return None
    return Feedback(category, sentiment, urgency, reviewer, _from_microseconds(given_at))


def _from_microseconds(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
