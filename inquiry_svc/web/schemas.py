"""What clients ask with in a URL and what they get, as types. The OpenAPI document is made of them, too.

What they send in a body is in `intake.bodies`. Field names and limits are the interface that clients rely on: add to
them, don't change them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from inquiry_svc.explanations import Field
from inquiry_svc.inquiries import Category, Department, ReviewReason, Sentiment, Source, Status, Urgency
from inquiry_svc.intake.bodies import Incoming, Moment

Confidence: TypeAlias = Annotated[float, Meta(ge=0, le=1, description="The calibrated probability of being right.")]
Weight: TypeAlias = Annotated[
    float, Meta(description="A share of the margin: above 0 it speaks for the label, below 0 for the runner-up.")
]
Rate: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
NeedsReview: TypeAlias = Annotated[bool, Meta(description="A person should look and nobody has given feedback yet.")]


# What clients ask with


class ClassifyQuery(Incoming):
    include_all_scores: bool = False
    explain: Annotated[bool, Meta(description="Say why: some milliseconds more.")] = False


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


class ReviewsQuery(Incoming):
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
    needs_review: NeedsReview
    review_reasons: Annotated[
        tuple[ReviewReason, ...],
        Meta(description="Why a person should look; they stay when one has. Chance alone picks the audit."),
    ]
    degraded: Annotated[tuple[str, ...], Meta(description="What had to be stood in for, such as the classifier.")]
    routing: RoutingOut
    model: ModelOut
    feedback: FeedbackOut | None
    resolved_at: Moment | None


class ScoresOut(Outgoing):
    category: dict[str, Confidence]
    sentiment: dict[str, Confidence]
    urgency: dict[str, Confidence]


class SpanOut(Outgoing):
    """Characters `start` to before `end`, counted in Unicode code points (in JavaScript: of `Array.from(text)`)."""

    field: Field
    start: Annotated[int, Meta(ge=0)]
    end: Annotated[int, Meta(ge=0)]


class WordsOut(Outgoing):
    """A word or a phrase, all its places together."""

    text: str
    weight: Weight
    alone: Annotated[
        float | None,
        Meta(description="By how much the margin really falls without this alone; null where that was not tried."),
    ]
    spans: tuple[SpanOut, ...]


class SurfaceFeatureOut(Outgoing):
    """A count or a share that belongs to no word."""

    name: str
    value: float
    weight: Weight


class FlipOut(Outgoing):
    """A small cut after which another label wins."""

    left_out: tuple[str, ...]
    spans: tuple[SpanOut, ...]
    label: str
    confidence: Confidence


class OpinionOut(Outgoing):
    """What one of several models said by itself; the weights of all of them make up the margin."""

    model: ModelOut
    label: str
    confidence: Confidence
    weight: Weight


class AxisExplanationOut(Outgoing):
    """margin = base + weights of the words + weights of the surface features + rest."""

    label: str
    confidence: Confidence
    runner_up: str
    runner_up_confidence: Confidence
    margin: Annotated[float, Meta(description="The natural logarithm of confidence / runner_up_confidence.")]
    base: Annotated[float, Meta(description="The margin before anything is read.")]
    words: Annotated[tuple[WordsOut, ...], Meta(description="The heaviest first, at most 50.")]
    surface: tuple[SurfaceFeatureOut, ...]
    rest: Annotated[float, Meta(description="What can be laid on no word, and the words that are not listed.")]
    flip: FlipOut | None
    opinions: Annotated[
        tuple[OpinionOut, ...],
        Meta(description="Whose answer it is where a model asks others: one whose stands, or those joined."),
    ]


class ExplanationOut(Outgoing):
    model: Annotated[ModelOut, Meta(description="Which model explains.")]
    subject: Annotated[str, Meta(description="As it was read, that is trimmed: what the spans count in.")]
    body: str
    category: AxisExplanationOut
    sentiment: AxisExplanationOut
    urgency: AxisExplanationOut


class InquiryExplanationOut(Outgoing):
    inquiry_id: str
    category: CategoryOut
    sentiment: SentimentOut
    urgency: UrgencyOut
    needs_review: NeedsReview
    review_reasons: tuple[ReviewReason, ...]
    degraded: tuple[str, ...]
    model: Annotated[ModelOut, Meta(description="Which model decided.")]
    routing: RoutingOut
    explained_by_same_model: Annotated[
        bool, Meta(description="If false, the explanation is what another model, now in use, says of the same text.")
    ]
    explanation: ExplanationOut


class PredictionOut(Outgoing, omit_defaults=True):
    category: CategoryOut
    sentiment: SentimentOut
    urgency: UrgencyOut
    needs_review: bool
    review_reasons: tuple[ReviewReason, ...]
    degraded: tuple[str, ...]
    model: ModelOut
    scores: ScoresOut | UnsetType = UNSET
    explanation: ExplanationOut | UnsetType = UNSET


class PageOut(Outgoing):
    items: list[InquiryOut]
    next_cursor: Annotated[str, Meta(description="Give it as `cursor` for the next, older page.")] | None


class ReviewOut(Outgoing):
    """An inquiry that waits for a person."""

    inquiry: InquiryOut
    turn_at: Annotated[Moment, Meta(description="When its answer is due; later once it was skipped.")]
    claimed_by: Annotated[str, Meta(description="Who holds it now.")] | None
    claimed_until: Moment | None


class ReviewPageOut(Outgoing):
    items: list[ReviewOut]
    next_cursor: Annotated[str, Meta(description="Give it as `cursor` for the next page.")] | None


class ClaimedOut(Outgoing):
    items: Annotated[list[ReviewOut], Meta(description="All that the reviewer holds now, up to the limit.")]


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
    trace_id: Annotated[str, Meta(description="Where requests are traced.")] | UnsetType = UNSET
    errors: list[FieldErrorOut] | UnsetType = UNSET
    line: Annotated[int, Meta(description="In a bulk answer: which line, from 1.")] | UnsetType = UNSET
