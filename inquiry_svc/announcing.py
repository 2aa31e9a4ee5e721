"""The store as the service uses it where notifiers are chosen: what it stores, it stores with the notices of that.

Which notices those are is said here and nowhere else. All other calls go straight to the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import uuid_utils

from inquiry_svc.contracts import Notifier, Store
from inquiry_svc.inquiries import Feedback, Outcome
from inquiry_svc.notices import NOTICE_KINDS, Notice, NoticeKind


class AnnouncingStore:
    """A `Store` around another."""

    def __init__(self, store: Store, notifiers: Mapping[str, Notifier], on_kept: Callable[[], None]) -> None:
        """What they want to hear of is read now; `on_kept` is called when some of it may have been kept."""
        self._store = store
        self._wanted_by = {
            kind: [name for name, notifier in notifiers.items() if kind in notifier.kinds] for kind in NOTICE_KINDS
        }
        self._on_kept = on_kept
        self.get, self.list, self.stats, self.open_inquiries = store.get, store.list, store.stats, store.open_inquiries
        self.erase = store.erase
        self.reviews, self.claim_reviews = store.reviews, store.claim_reviews
        self.return_review, self.review_queue = store.return_review, store.review_queue
        self.claim_notices, self.settle_notices = store.claim_notices, store.settle_notices
        self.notices, self.outbox = store.notices, store.outbox
        self.retry_notices, self.drop_notices = store.retry_notices, store.drop_notices
        self.pools, self.check = store.pools, store.check

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        told = [*notices, *(notice for outcome in outcomes for notice in self._of_new(outcome))]
        stored = await self._store.save(outcomes, told)
        self._kept(told)
        return stored

    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        told = [*notices, *self._notices("reviewed", inquiry_id)]
        outcome = await self._store.add_feedback(inquiry_id, feedback, as_review=as_review, notices=told)
        self._kept(told)
        return outcome

    async def resolve(self, inquiry_id: str, resolved_at: datetime, *, notices: Sequence[Notice] = ()) -> Outcome:
        told = [*notices, *self._notices("resolved", inquiry_id)]
        outcome = await self._store.resolve(inquiry_id, resolved_at, notices=told)
        self._kept(told)
        return outcome

    def _kept(self, notices: Sequence[Notice]) -> None:
        if notices:
            self._on_kept()

    def _of_new(self, outcome: Outcome) -> Iterator[Notice]:
        inquiry_id = outcome.inquiry.inquiry_id
        yield from self._notices("triaged", inquiry_id)
        if outcome.route.escalated:
            yield from self._notices("escalated", inquiry_id)
        if outcome.prediction.needs_review:
            yield from self._notices("needs_review", inquiry_id)

    def _notices(self, kind: NoticeKind, inquiry_id: str) -> Iterator[Notice]:
        for notifier in self._wanted_by[kind]:
            yield Notice(str(uuid_utils.uuid7()), notifier, kind, inquiry_id, datetime.now(UTC))
