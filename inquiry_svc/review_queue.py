"""The values of the review queue: what waits for a person, whose turn it is, and who holds it.

An inquiry waits from when it was stored with `needs_review` until somebody gives feedback on it. Its turn comes by the
time at which its answer is due, so the most pressing is first; one that was skipped goes behind all that wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from inquiry_svc.inquiries import Outcome, ReviewReason


@dataclass(frozen=True, slots=True)
class Turn:
    """A place in the queue: that of the inquiry named, and just after it for what comes next."""

    at: datetime
    inquiry_id: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A reviewer holds it until then, and nobody else does. After that it is as if nobody did."""

    reviewer: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """An inquiry that waits for a person."""

    outcome: Outcome
    turn_at: datetime
    claim: Claim | None
    """The last one, which may have run out; None where nobody claimed it or it was given back."""

    @property
    def turn(self) -> Turn:
        return Turn(self.turn_at, self.outcome.inquiry.inquiry_id)

    def held_by(self, now: datetime) -> Claim | None:
        """The claim, unless it has run out."""
        return self.claim if self.claim is not None and self.claim.until > now else None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Those that wait for one reason."""

    size: int
    oldest_received_at: datetime


@dataclass(frozen=True, slots=True)
class ReviewQueue:
    """The queue in numbers, whoever holds what."""

    size: int
    """A queue of more than 10,000, which is walked away from rather than worked off, may be said to have so many."""
    oldest_received_at: datetime | None
    """None when it is empty."""
    by_reason: Mapping[ReviewReason, Waiting] = field(default_factory=dict)
    """One inquiry may wait for several; a reason for which none does may be missing."""
