"""The frozen values that travel through the service: what came in, what was decided, what was stored.

Everything else (batching, plugins, HTTP) hands these on. Nothing here knows a database, a model or a web framework.

    Text -> Inquiry -> Prediction (its Verdict) -> Outcome (its Route) -> stored and answered

Structs of msgspec rather than dataclasses: a dozen is made for each inquiry, and to make a frozen dataclass takes four
to seven times as long. `msgspec.structs.replace` gives a copy in which something differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, get_args

from msgspec import Struct, field

Category: TypeAlias = Literal["technical_support", "billing", "sales", "hr", "legal", "product_feedback"]
Sentiment: TypeAlias = Literal["positive", "neutral", "negative"]
Urgency: TypeAlias = Literal["low", "medium", "high", "critical"]
Department: TypeAlias = Literal[
    "technical_support", "finance", "sales", "hr", "legal", "product_management", "escalation"
]
Source: TypeAlias = Literal["api", "email", "web", "chat", "bulk", "other"]
Status: TypeAlias = Literal["routed", "resolved"]
ReviewReason: TypeAlias = Literal["low_confidence", "no_evidence", "degraded", "audit"]

CATEGORIES: Final[tuple[str, ...]] = get_args(Category)
SENTIMENTS: Final[tuple[str, ...]] = get_args(Sentiment)
URGENCIES: Final[tuple[str, ...]] = get_args(Urgency)
DEPARTMENTS: Final[tuple[str, ...]] = get_args(Department)
SOURCES: Final[tuple[str, ...]] = get_args(Source)
REVIEW_REASONS: Final[tuple[ReviewReason, ...]] = get_args(ReviewReason)

AXES: Final[Mapping[str, tuple[str, ...]]] = {
    "category": CATEGORIES,
    "sentiment": SENTIMENTS,
    "urgency": URGENCIES,
}
"""The three decisions, each with its labels in the order in which `Verdict.scores` holds them."""


class Text(Struct, frozen=True):
    """All that a classifier may look at."""

    subject: str
    body: str


class IdempotencyKey(Struct, frozen=True):
    """A caller's promise that two submissions with one `value` are the same submission."""

    value: str
    fingerprint: str
    """Digest of the payload, so that a key used again for another payload is noticed."""


class Inquiry(Text, frozen=True):
    """One customer's mail, validated, as it was sent."""

    inquiry_id: str
    """A UUIDv7: sorts by the time at which the service took the inquiry in."""
    sender_email: str
    received_at: datetime
    """When the team received it, in UTC. The response target counts from here."""
    sender_name: str | None = None
    source: Source = "api"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The caller's own JSON object, given back untouched."""
    idempotency_key: IdempotencyKey | None = None


class Label(Struct, frozen=True):
    label: str
    confidence: float
    """The calibrated probability that the label is right, 0 to 1."""

    def __str__(self) -> str:
        """For people, to whom nothing is shown as certain."""
        return f"{self.label} {min(self.confidence, 0.99):.2f}"


class Verdict(Struct, frozen=True):
    """What a classifier says of one text: the likeliest label on each axis, and every score behind it."""

    category: Label
    sentiment: Label
    urgency: Label
    scores: tuple[float, ...]
    """A probability for each label of `AXES`, axis after axis; each axis sums to 1."""
    evidence: float = 1.0
    """How much of what it needs to judge a text the classifier found in this one: 0 is nothing, 1 enough.

    Another language, chance letters, an empty mail or a bare list of words give little. One that can't tell says 1.
    """
    degraded: tuple[str, ...] = ()
    """What the classifier had to do without, such as `second classifier`. A person should look; nobody remembers it."""

    @classmethod
    def from_scores(cls, scores: Sequence[float], evidence: float = 1.0) -> Verdict:
        """Read the three labels off `scores` (in the order of `AXES`; the first label wins a tie)."""
        categories, sentiments, urgencies = scores[:6], scores[6:9], scores[9:13]
        category, sentiment, urgency = max(categories), max(sentiments), max(urgencies)
        return cls(
            Label(CATEGORIES[categories.index(category)], category),
            Label(SENTIMENTS[sentiments.index(sentiment)], sentiment),
            Label(URGENCIES[urgencies.index(urgency)], urgency),
            tuple(scores),
            evidence,
        )


class Model(Struct, frozen=True):
    """Which model spoke. Two with one digest give the same answer to the same text, and ask for the same reviews."""

    name: str
    version: str
    digest: str
    """Covers the weights, the label order, the preprocessing, and the thresholds of review where it has any."""


class Prediction(Struct, frozen=True):
    """A verdict with what a reader must know to trust it."""

    verdict: Verdict
    model: Model
    needs_review: bool
    """A person should look, and nobody has: `review_reasons` says why."""
    degraded: tuple[str, ...] = ()
    """What had to be stood in for: `("classifier",)` when the fallback classifier answered, or as the verdict says."""
    review_reasons: tuple[ReviewReason, ...] = ()
    """Why a person should look, or should have looked before one did, in the order of `REVIEW_REASONS`.

    Chance alone picks the `audit`: it says nothing against the answer.
    """


class Route(Struct, frozen=True):
    """Who answers, how soon, and why."""

    department: Department
    consultant: str | None
    """None when nobody was free: the department's queue holds it."""
    priority_score: float
    """0 to 100."""
    escalated: bool
    reasons: tuple[str, ...]
    """Each rule that spoke, in words, in the order in which it did."""
    sla_due_at: datetime


class Feedback(Struct, frozen=True):
    """What a reviewer says that it should have been; None where the reviewer did not say."""

    category: Category | None
    sentiment: Sentiment | None
    urgency: Urgency | None
    reviewer: str | None
    given_at: datetime


class Outcome(Struct, frozen=True):
    """A triaged inquiry: what is stored, and what the caller is told."""

    inquiry: Inquiry
    prediction: Prediction
    route: Route
    processed_at: datetime
    feedback: Feedback | None = None
    """The newest; None until somebody gave any."""
    resolved_at: datetime | None = None

    @property
    def status(self) -> Status:
        return "routed" if self.resolved_at is None else "resolved"
