"""Plausible values for tests, each made with one call and changed by keyword."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import uuid_utils.compat
from msgspec.structs import replace

from inquiry_svc.inquiries import AXES, Inquiry, Model, Outcome, Prediction, Route, Verdict

NOON: Final = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
"""A Wednesday, within business hours."""

MODEL: Final = Model(name="sample", version="1", digest="5a" * 16)


def sample_inquiry(**changes: Any) -> Inquiry:
    """An inquiry about a double charge, received at `NOON`, with an id of its own."""
    inquiry = Inquiry(
        inquiry_id=str(uuid_utils.compat.uuid7()),
        subject="Charged twice",
        body="My card was charged twice for March.",
        sender_email="ana@example.org",
        received_at=NOON,
    )
    return replace(inquiry, **changes)


def sample_verdict(category: str = "billing", sentiment: str = "negative", urgency: str = "medium") -> Verdict:
    """A verdict that is 0.9 sure of each of the labels named."""
    scores: list[float] = []
    for labels, chosen in zip(AXES.values(), (category, sentiment, urgency), strict=True):
        rest = 0.1 / (len(labels) - 1)
        scores += [0.9 if label == chosen else rest for label in labels]
    return Verdict.from_scores(scores)


def sample_prediction(
    category: str = "billing", sentiment: str = "negative", urgency: str = "medium", **changes: Any
) -> Prediction:
    verdict = sample_verdict(category, sentiment, urgency)
    return replace(Prediction(verdict=verdict, model=MODEL, needs_review=False), **changes)


def sample_outcome(inquiry: Inquiry | None = None, **changes: Any) -> Outcome:
    """A routed outcome: finance, not escalated, due four hours after it was received."""
    inquiry = inquiry or sample_inquiry()
    route = Route(
        department="finance",
        consultant="Finance Team A",
        priority_score=60.0,
        escalated=False,
        reasons=("category billing -> finance",),
        sla_due_at=inquiry.received_at + timedelta(hours=4),
    )
    outcome = Outcome(
        inquiry=inquiry,
        prediction=sample_prediction(),
        route=route,
        processed_at=inquiry.received_at + timedelta(milliseconds=5),
    )
    return replace(outcome, **changes)
