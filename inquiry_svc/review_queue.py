"""The review queue: what waits for a person, whose turn it is, who holds it; and what a store does with it.

An inquiry waits from when it was stored with `needs_review` until somebody gives feedback on it. Its turn comes by the
time at which its answer is due, so the most pressing is first; one that was skipped goes behind all that wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

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


class ReviewStore(Protocol):
    """What a `Store` does for reviewers."""

    async def reviews(self, *, limit: int, after: Turn | None) -> Sequence[Review]:
        """What waits for a person, whoever holds it: by turn (ties: smaller id first), at most `limit`, after `after`.

        An inquiry's first turn is at its `sla_due_at`.
        """

    async def claim_reviews(
        self, claim: Claim, *, now: datetime, limit: int, inquiry_id: str | None = None
    ) -> Sequence[Review]:
        """Have the reviewer hold up to `limit` until `claim.until`: no two reviewers ever hold one.

        Those that they hold at `now` come first, then the first that nobody does, each by turn; so asking again gives
        the same. With `inquiry_id`, that one or none.
        """

    async def return_review(self, inquiry_id: str, reviewer: str, *, now: datetime, behind: bool) -> Review | None:
        """Let go of it; if `behind`, its turn is then after that of all that wait.

        None, and nothing done, where it does not wait or somebody else holds it at `now`.
        """

    async def review_queue(self) -> ReviewQueue:
        """What waits for a person now. Asked every few seconds, so it must be quick however much is stored."""
