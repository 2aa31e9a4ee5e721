"""What clients send and get, as types. Handlers check and answer with these; the OpenAPI document is made of them.

Field names and limits are the interface that clients rely on: add to them, don't change them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from inquiry_svc.inquiries import Category, Department, Sentiment, Source, Status, Urgency

Moment: TypeAlias = Annotated[
    datetime, Meta(tz=True, description="RFC 3339, of the years 1971 to 8999; answers are in UTC.")
]
Email: TypeAlias = Annotated[
    str,
    Meta(
        max_length=254,
        description="A valid address, at most 254 characters.",
        examples=["ana@example.org"],
        extra_json_schema={"format": "idn-email"},
    ),
]
Confidence: TypeAlias = Annotated[float, Meta(ge=0, le=1, description="The calibrated probability of being right.")]
Rate: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


_BODY: Final = Meta(
    min_length=1,
    max_length=10_000,
    description="1 to 10,000 characters after trimming.",
    examples=["My card was charged twice for March."],
    extra_json_schema={"pattern": r"\S"},
)
_METADATA: Final = Meta(description="An object of yours, at most 4 KiB as JSON, given back untouched.")


# What clients send


class Incoming(Struct, forbid_unknown_fields=True):
    """Something that a client sends. Text fields are trimmed before they are checked."""


class TextIn(Incoming, kw_only=True):
    subject: Annotated[str, Meta(max_length=500, examples=["Charged twice"])] = ""
    body: Annotated[str, _BODY]


class SubmitIn(TextIn, kw_only=True):
    sender_email: Email
    sender_name: Annotated[str, Meta(max_length=200)] | None = None
    source: Source = "api"
    received_at: Moment | None = None
    metadata: Annotated[dict[str, Any], _METADATA] = {}


class FeedbackIn(Incoming):
    """What it should have been: at least one label."""

    category: Category | None = None
    sentiment: Sentiment | None = None
    urgency: Urgency | None = None
    reviewer: Annotated[str, Meta(max_length=200)] | None = None


class ResolveIn(Incoming):
    resolved_at: Moment | None = None


class ClassifyQuery(Incoming):
    include_all_scores: bool = False


class StatsQuery(Incoming):
    days: Annotated[int, Meta(ge=1, le=3650)] = 7


class ListQuery(Incoming):
    category: Category | None = None
    department: Department | None = None
    urgency: Urgency | None = None
    sentiment: Sentiment | None = None
    status: Status | None = None
    escalated: bool | None = None
    needs_review: bool | None = None
    since: Annotated[Moment, Meta(description="Received then or later.")] | None = None
    until: Annotated[Moment, Meta(description="Received before then.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=200, description="`next_cursor` of the page before.")] | None = None


# What clients get


class Outgoing(Struct):
    """Something that a client gets."""


class CategoryOut(Outgoing):
    label: Category
    confidence: Confidence


class SentimentOut(Outgoing):
    label: Sentiment
    confidence: Confidence


class UrgencyOut(Outgoing):
    label: Urgency
    confidence: Confidence


class ModelOut(Outgoing):
    name: str
    version: str
    digest: str


class RoutingOut(Outgoing):
    department: Department
    consultant: str | None
    priority_score: Annotated[float, Meta(ge=0, le=100)]
    escalated: bool
    reasons: tuple[str, ...]
    sla_due_at: Moment


class FeedbackOut(Outgoing):
    category: Category | None
    sentiment: Sentiment | None
    urgency: Urgency | None
    reviewer: str | None
    given_at: Moment


class InquiryOut(Outgoing):
    inquiry_id: Annotated[str, Meta(description="A UUIDv7.")]
    status: Status
    received_at: Moment
    processed_at: Moment
    subject: str
    body: str
    sender_email: str
    sender_name: str | None
    source: Source
    metadata: dict[str, Any]
    category: CategoryOut
    sentiment: SentimentOut
    urgency: UrgencyOut
    needs_review: Annotated[bool, Meta(description="The model is unsure and nobody has given feedback yet.")]
    degraded: Annotated[tuple[str, ...], Meta(description="What had to be stood in for, such as the classifier.")]
    routing: RoutingOut
    model: ModelOut
    feedback: FeedbackOut | None
    resolved_at: Moment | None


class ScoresOut(Outgoing):
    category: dict[str, Confidence]
    sentiment: dict[str, Confidence]
    urgency: dict[str, Confidence]


class PredictionOut(Outgoing, omit_defaults=True):
    category: CategoryOut
    sentiment: SentimentOut
    urgency: UrgencyOut
    needs_review: bool
    degraded: tuple[str, ...]
    model: ModelOut
    scores: ScoresOut | UnsetType = UNSET


class PageOut(Outgoing):
    items: list[InquiryOut]
    next_cursor: Annotated[str, Meta(description="Give it as `cursor` for the next, older page.")] | None


class StatsOut(Outgoing):
    days: int
    total_inquiries: int
    processed_inquiries: int
    escalated_inquiries: int
    escalation_rate: Rate | None
    needs_review_inquiries: int
    category_distribution: dict[str, int]
    department_distribution: dict[str, int]
    urgency_distribution: dict[str, int]
    sentiment_distribution: dict[str, int]
    average_priority_score: float | None
    within_sla_rate: Annotated[Rate, Meta(description="Of those answered or overdue.")] | None


class ComponentOut(Outgoing):
    status: Literal["healthy", "degraded", "unhealthy"]
    provider: str
    checked_in_s: float


class HealthOut(Outgoing):
    status: Literal["healthy", "degraded", "unhealthy"]
    version: str
    components: dict[str, ComponentOut]


class ProbeOut(Outgoing):
    status: Literal["live", "ready", "stopping", "unhealthy"]


class FieldErrorOut(Outgoing):
    field: Annotated[str, Meta(description="A JSON pointer into the body, or the name of a parameter or header.")]
    message: str


class ProblemOut(Outgoing, omit_defaults=True):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldErrorOut] | UnsetType = UNSET
    line: Annotated[int, Meta(description="In a bulk answer: which line, from 1.")] | UnsetType = UNSET
