"""The metrics of reviews: what waits for a person, and what was done with it. `catalogue.py` has all."""

from __future__ import annotations

from typing import Final

from inquiry_svc.inquiries import REVIEW_REASONS
from inquiry_svc.metrics import Counter, Gauge

REVIEW_ACTIONS: Final = ("claimed", "released", "skipped", "decided")
REVIEW_QUEUE_SIZE: Final = Gauge(
    "review_queue_size",
    "Inquiries in the store that a person should look at and nobody has, counted up to 10,000.",
    across="max",
)
REVIEW_QUEUE_AGE: Final = Gauge(
    "review_queue_oldest_age_seconds",
    "Time since the inquiry that has waited longest for a person was received; 0 when none waits.",
    across="max",
)
REVIEW_QUEUE_SIZE_BY_REASON: Final = Gauge(
    "review_queue_size_by_reason",
    "The same as review_queue_size, by each reason for which they wait; one may have several.",
    {"reason": REVIEW_REASONS},
    across="max",
)
REVIEW_QUEUE_AGE_BY_REASON: Final = Gauge(
    "review_queue_oldest_age_by_reason_seconds",
    "The same as review_queue_oldest_age_seconds, by each reason for which they wait.",
    {"reason": REVIEW_REASONS},
    across="max",
)
REVIEWS: Final = Counter(
    "review_actions_total",
    "What reviewers did with what waits; claiming again what one holds counts again.",
    {"action": REVIEW_ACTIONS},
)
REVIEW_DECISIONS: Final = Counter(
    "review_decisions_total",
    "Times that a person said the right category of an inquiry, by each reason for which it was to be looked at and "
    "whether the model had it right. Chance picks the audit: what is right of those is right of all.",
    {"reason": REVIEW_REASONS, "correct": ("true", "false")},
)
