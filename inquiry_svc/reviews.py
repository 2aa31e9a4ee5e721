"""What reviewers do with the queue: look at it, claim the next or a certain one, give it back, skip it, decide.

A claim keeps others away until it runs out; what nobody holds is for whoever comes first. Of two who want the same, one
gets it and the other `ReviewNotYours`: the store decides, so it holds across processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from inquiry_svc.contracts import Store
from inquiry_svc.errors import InquiryNotFound, ReviewNotYours
from inquiry_svc.inquiries import AXES, Category, Feedback, Outcome, Sentiment, Urgency
from inquiry_svc.metrics import Metrics
from inquiry_svc.review_metrics import REVIEW_ACTIONS, REVIEWS
from inquiry_svc.review_queue import Claim, Review, Turn


@dataclass(frozen=True, slots=True)
class Decision:
    """What is right, by a person; where a label is None, what the model said is."""

    category: Category | None = None
    sentiment: Sentiment | None = None
    urgency: Urgency | None = None


class Reviews:
    def __init__(self, store: Store, metrics: Metrics, *, lease_s: float) -> None:
        self._store = store
        self._lease_s = lease_s
        self._done = {action: metrics.series(REVIEWS, action=action) for action in REVIEW_ACTIONS}

    async def list(self, *, limit: int, after: Turn | None) -> Sequence[Review]:
        """What waits, the most pressing first. See `Store.reviews`."""
        return await self._store.reviews(limit=limit, after=after)

    async def claim(self, reviewer: str, *, limit: int) -> Sequence[Review]:
        """What the reviewer holds now, at most `limit`: what they held already, then the next. Fewer if there are."""
        claimed = await self._claim(reviewer, limit=limit)
        self._done["claimed"].inc(len(claimed))
        return claimed

    async def claim_one(self, inquiry_id: str, reviewer: str) -> Review:
        """Raises `InquiryNotFound`, `ReviewNotYours`."""
        claimed = await self._claim(reviewer, limit=1, inquiry_id=inquiry_id)
        return await self._accounted_for("claimed", inquiry_id, claimed[0] if claimed else None)

    async def release(self, inquiry_id: str, reviewer: str) -> Review:
        """Anybody may have it, where it stood. Raises `InquiryNotFound`, `ReviewNotYours`."""
        return await self._return("released", inquiry_id, reviewer, behind=False)

    async def skip(self, inquiry_id: str, reviewer: str) -> Review:
        """Anybody may have it, after all that wait now. Raises `InquiryNotFound`, `ReviewNotYours`."""
        return await self._return("skipped", inquiry_id, reviewer, behind=True)

    async def decide(self, inquiry_id: str, reviewer: str, decision: Decision) -> Outcome:
        """Feedback on all three axes, after which it waits no more. Raises `InquiryNotFound`, `ReviewNotYours`."""
        outcome = await self._required(inquiry_id)
        verdict = outcome.prediction.verdict
        right: dict[str, Any] = {axis: getattr(decision, axis) or getattr(verdict, axis).label for axis in AXES}
        feedback = Feedback(**right, reviewer=reviewer, given_at=datetime.now(UTC))
        reviewed = await self._store.add_feedback(inquiry_id, feedback, as_review=True)
        self._done["decided"].inc()
        return reviewed

    async def _claim(self, reviewer: str, *, limit: int, inquiry_id: str | None = None) -> Sequence[Review]:
        now = datetime.now(UTC)
        claim = Claim(reviewer, now + timedelta(seconds=self._lease_s))
        return await self._store.claim_reviews(claim, now=now, limit=limit, inquiry_id=inquiry_id)

    async def _return(self, action: str, inquiry_id: str, reviewer: str, *, behind: bool) -> Review:
        returned = await self._store.return_review(inquiry_id, reviewer, now=datetime.now(UTC), behind=behind)
        return await self._accounted_for(action, inquiry_id, returned)

    async def _accounted_for(self, action: str, inquiry_id: str, review: Review | None) -> Review:
        """The review, counted. Raises, where there is none, what became of it."""
        if review is None:
            await self._required(inquiry_id)
            raise ReviewNotYours(f"the review of inquiry {inquiry_id} is held by another, or it does not wait for one")
        self._done[action].inc()
        return review

    async def _required(self, inquiry_id: str) -> Outcome:
        outcome = await self._store.get(inquiry_id)
        if outcome is None:
            raise InquiryNotFound(f"no inquiry has the id {inquiry_id}")
        return outcome
