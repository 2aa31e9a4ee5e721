"""What a receiver gets: the kind of the notice, when it was, and the inquiry as it stands when it is sent.

Fields are named as the HTTP interface names them, and their order means nothing. Within a version fields may be added;
none is taken away or means something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from inquiry_svc.inquiries import (
    Category,
    Feedback,
    Label,
    Model,
    Outcome,
    ReviewReason,
    Route,
    Sentiment,
    Source,
    Status,
    Urgency,
)
from inquiry_svc.notices import Notice

VERSION: Final = 1

_encode: Final = msgspec.json.Encoder().encode


class FeedbackData(Struct, frozen=True):
    category: Category | None
    sentiment: Sentiment | None
    urgency: Urgency | None
    given_at: datetime
    reviewer: str | UnsetType | None = UNSET


class InquiryData(Struct, frozen=True):
    """Without the last five, nothing of it was written by whoever sent the inquiry."""

    inquiry_id: str
    status: Status
    received_at: datetime
    processed_at: datetime
    source: Source
    category: Label
    sentiment: Label
    urgency: Label
    needs_review: bool
    review_reasons: tuple[ReviewReason, ...]
    degraded: tuple[str, ...]
    routing: Route
    model: Model
    feedback: FeedbackData | None
    resolved_at: datetime | None
    subject: str | UnsetType = UNSET
    body: str | UnsetType = UNSET
    sender_email: str | UnsetType = UNSET
    sender_name: str | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType = UNSET


class Payload(Struct, frozen=True):
    type: str
    """`inquiry.` and the kind of the notice, such as inquiry.escalated."""
    version: int
    timestamp: datetime
    """When it happened; not when it is sent."""
    data: InquiryData


def encoded(notice: Notice, outcome: Outcome, *, with_text: bool) -> bytes:
    """JSON. Whatever an inquiry's sender wrote, and the reviewer's name, are in it only `with_text`."""
    data = _with_text(outcome) if with_text else _without_text(outcome)
    return _encode(Payload(f"inquiry.{notice.kind}", VERSION, notice.created_at, data))


def _without_text(outcome: Outcome) -> InquiryData:
    inquiry, prediction = outcome.inquiry, outcome.prediction
    verdict = prediction.verdict
    return InquiryData(
        inquiry_id=inquiry.inquiry_id,
        status=outcome.status,
        received_at=inquiry.received_at,
        processed_at=outcome.processed_at,
        source=inquiry.source,
        category=verdict.category,
        sentiment=verdict.sentiment,
        urgency=verdict.urgency,
        needs_review=prediction.needs_review,
        review_reasons=prediction.review_reasons,
        degraded=prediction.degraded,
        routing=outcome.route,
        model=prediction.model,
        feedback=_feedback(outcome.feedback) if outcome.feedback else None,
        resolved_at=outcome.resolved_at,
    )


def _with_text(outcome: Outcome) -> InquiryData:
    inquiry, feedback, found = outcome.inquiry, outcome.feedback, _without_text(outcome)
    return msgspec.structs.replace(
        found,
        subject=inquiry.subject,
        body=inquiry.body,
        sender_email=inquiry.sender_email,
        sender_name=inquiry.sender_name,
        metadata=inquiry.metadata,
        feedback=msgspec.structs.replace(_feedback(feedback), reviewer=feedback.reviewer) if feedback else None,
    )


def _feedback(feedback: Feedback) -> FeedbackData:
    return FeedbackData(feedback.category, feedback.sentiment, feedback.urgency, feedback.given_at)
