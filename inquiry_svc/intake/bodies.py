"""What others send, as types: the one definition that every way in is checked by and that OpenAPI is made of.

Field names and limits are the interface that clients rely on: add to them, don't change them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta, Struct

from inquiry_svc.inquiries import Category, Sentiment, Source, Urgency

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

Reviewer: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="Who reviews, always by the same name.",
        examples=["Ana"],
        extra_json_schema={"pattern": r"\S"},
    ),
]

_BODY: Final = Meta(
    min_length=1,
    max_length=10_000,
    description="1 to 10,000 characters after trimming.",
    examples=["My card was charged twice for March."],
    extra_json_schema={"pattern": r"\S"},
)
_METADATA: Final = Meta(description="An object of yours, at most 4 KiB as JSON, given back untouched.")


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


class ReviewerIn(Incoming, kw_only=True):
    reviewer: Reviewer


class ClaimIn(ReviewerIn, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=50, description="How many to hold at most, with those held already.")] = 1


class DecideIn(ReviewerIn, kw_only=True):
    """What is right: a label that is left out is as the model said."""

    category: Category | None = None
    sentiment: Sentiment | None = None
    urgency: Urgency | None = None


class ResolveIn(Incoming):
    resolved_at: Moment | None = None
