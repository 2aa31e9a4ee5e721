"""Offers the store `memory`: all that a store promises but durability, in plain Python, to read and to test with.

Each call walks everything there is. Not for production: it forgets at exit, and nothing bounds it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from msgspec.structs import replace

from inquiry_svc.contracts import (
    Filters,
    Host,
    NoSettings,
    Pool,
    PoolKind,
    Position,
    Provider,
    Stats,
    Store,
)
from inquiry_svc.errors import AlreadyResolved, InquiryNotFound, ReviewNotYours
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import CATEGORIES, DEPARTMENTS, SENTIMENTS, URGENCIES, Feedback, Outcome, ReviewReason
from inquiry_svc.notices import Delivery, Notice, NoticeFilters, Outbox, Settled, Undelivered
from inquiry_svc.review_queue import Claim, Review, ReviewQueue, Turn, Waiting
from inquiry_svc.upkeep import Upkeep
from inquiry_svc_plugins.stores.memory_notices import MemoryNotices


class MemoryStore:
    """Keeps outcomes in a dictionary."""

    def __init__(self) -> None:
        self._outcomes: dict[str, Outcome] = {}
        self._ids_of_keys: dict[str, str] = {}
        self._turns: dict[str, datetime] = {}
        """Of those that were skipped; the others' is at their due time."""
        self._claims: dict[str, Claim] = {}
        self._notices = MemoryNotices()

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        for outcome in outcomes:  # all or none: refuse before the first is kept
            json.dumps(dict(outcome.inquiry.metadata), allow_nan=False)
        known = self._outcomes.keys() & {outcome.inquiry.inquiry_id for outcome in outcomes}
        stored = [self._keep(outcome) for outcome in outcomes]
        self._notices.keep(
            each for each in notices if each.inquiry_id in self._outcomes and each.inquiry_id not in known
        )
        return stored

    async def get(self, inquiry_id: str) -> Outcome | None:
        return self._outcomes.get(inquiry_id)

    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        found = [outcome for outcome in self._outcomes.values() if _passes(outcome, filters)]
        if after is not None:
            found = [outcome for outcome in found if _place(outcome) < (after.received_at, after.inquiry_id)]
        return sorted(found, key=_place, reverse=True)[:limit]

    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        outcome = self._required(inquiry_id)
        if as_review and not self._may_have(inquiry_id, feedback.reviewer, feedback.given_at):
            raise ReviewNotYours(f"the review of inquiry {inquiry_id} is held by another, or it does not wait for one")
        self._turns.pop(inquiry_id, None)
        self._claims.pop(inquiry_id, None)
        self._notices.keep(notices)
        reviewed = replace(outcome.prediction, needs_review=False)
        self._outcomes[inquiry_id] = replace(outcome, prediction=reviewed, feedback=feedback)
        return self._outcomes[inquiry_id]

    async def resolve(self, inquiry_id: str, resolved_at: datetime, *, notices: Sequence[Notice] = ()) -> Outcome:
        outcome = self._required(inquiry_id)
        if outcome.resolved_at is not None:
            raise AlreadyResolved(f"inquiry {inquiry_id} was resolved before")
        self._notices.keep(notices)
        self._outcomes[inquiry_id] = replace(outcome, resolved_at=resolved_at)
        return self._outcomes[inquiry_id]

    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        erased = [each for each in dict.fromkeys(inquiry_ids) if each in self._outcomes]
        for each in erased:
            key = self._outcomes.pop(each).inquiry.idempotency_key
            if key is not None:
                del self._ids_of_keys[key.value]
            self._turns.pop(each, None)
            self._claims.pop(each, None)
        self._notices.erase(erased)
        return erased

    async def stats(self, *, since: datetime, now: datetime) -> Stats:
        """The distributions hold every label of the closed sets, those that do not occur with 0."""
        found = [outcome for outcome in self._outcomes.values() if outcome.inquiry.received_at >= since]
        verdicts = [outcome.prediction.verdict for outcome in found]
        routes = [outcome.route for outcome in found]
        escalated = sum(route.escalated for route in routes)
        in_time = [_in_time(outcome, now) for outcome in found]
        due = [answered for answered in in_time if answered is not None]
        return Stats(
            total_inquiries=len(found),
            processed_inquiries=len(found),
            escalated_inquiries=escalated,
            escalation_rate=escalated / len(found) if found else None,
            needs_review_inquiries=sum(outcome.prediction.needs_review for outcome in found),
            category_distribution=_distribution(CATEGORIES, (verdict.category.label for verdict in verdicts)),
            department_distribution=_distribution(DEPARTMENTS, (route.department for route in routes)),
            urgency_distribution=_distribution(URGENCIES, (verdict.urgency.label for verdict in verdicts)),
            sentiment_distribution=_distribution(SENTIMENTS, (verdict.sentiment.label for verdict in verdicts)),
            average_priority_score=sum(route.priority_score for route in routes) / len(found) if found else None,
            within_sla_rate=sum(due) / len(due) if due else None,
        )

    async def open_inquiries(self) -> Mapping[str, int]:
        unresolved = (outcome.route for outcome in self._outcomes.values() if outcome.resolved_at is None)
        return Counter(route.consultant for route in unresolved if route.consultant is not None)

    async def reviews(self, *, limit: int, after: Turn | None) -> Sequence[Review]:
        waiting = self._waiting()
        return [each for each in waiting if after is None or _turn(each) > (after.at, after.inquiry_id)][:limit]

    async def claim_reviews(
        self, claim: Claim, *, now: datetime, limit: int, inquiry_id: str | None = None
    ) -> Sequence[Review]:
        def not_mine(review: Review) -> bool:
            return review.held_by(now) is None

        may_have = [
            each
            for each in self._waiting()
            if inquiry_id in (None, each.turn.inquiry_id) and self._may_have(each.turn.inquiry_id, claim.reviewer, now)
        ]
        claimed = sorted(may_have, key=not_mine)[:limit]
        self._claims.update({each.turn.inquiry_id: claim for each in claimed})
        return [Review(each.outcome, each.turn_at, claim) for each in claimed]

    async def return_review(self, inquiry_id: str, reviewer: str, *, now: datetime, behind: bool) -> Review | None:
        if not self._may_have(inquiry_id, reviewer, now):
            return None
        self._claims.pop(inquiry_id, None)
        if behind:
            self._turns[inquiry_id] = self._waiting()[-1].turn_at + timedelta(microseconds=1)
        return self._review(self._outcomes[inquiry_id])

    async def review_queue(self) -> ReviewQueue:
        waiting = [review.outcome for review in self._waiting()]
        by_reason: dict[ReviewReason, list[datetime]] = {}
        for outcome in waiting:
            for reason in outcome.prediction.review_reasons:
                by_reason.setdefault(reason, []).append(outcome.inquiry.received_at)
        return ReviewQueue(
            len(waiting),
            min((outcome.inquiry.received_at for outcome in waiting), default=None),
            {reason: Waiting(len(received), min(received)) for reason, received in by_reason.items()},
        )

    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        return [
            Delivery(each.notice, self._outcomes[each.notice.inquiry_id], each.attempts, each.waiting_since, until)
            for each in self._notices.claim(notifier, now, until, limit)
        ]

    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        for each in settled:
            self._notices.settle(each)

    async def notices(self, filters: NoticeFilters, *, limit: int) -> Sequence[Undelivered]:
        return self._notices.list(filters)[:limit]

    async def retry_notices(self, filters: NoticeFilters, *, now: datetime, limit: int) -> int:
        return self._notices.retry(filters, now, limit)

    async def drop_notices(self, filters: NoticeFilters, *, limit: int) -> int:
        return self._notices.drop(filters, limit)

    async def outbox(self, notifier: str) -> Outbox:
        return self._notices.outbox(notifier)

    def pools(self) -> Mapping[PoolKind, Pool]:
        return {}

    async def check(self) -> None:
        """Memory can always be written."""

    def _keep(self, outcome: Outcome) -> Outcome:
        inquiry_id, key = outcome.inquiry.inquiry_id, outcome.inquiry.idempotency_key
        if key is not None and key.value in self._ids_of_keys:
            return self._outcomes[self._ids_of_keys[key.value]]
        if inquiry_id in self._outcomes:
            return self._outcomes[inquiry_id]
        self._outcomes[inquiry_id] = outcome
        if key is not None:
            self._ids_of_keys[key.value] = inquiry_id
        return outcome

    def _waiting(self) -> Sequence[Review]:
        """By turn."""
        return sorted(map(self._review, filter(_needs_review, self._outcomes.values())), key=_turn)

    def _review(self, outcome: Outcome) -> Review:
        inquiry_id = outcome.inquiry.inquiry_id
        turn_at = self._turns.get(inquiry_id, outcome.route.sla_due_at)
        return Review(outcome, turn_at, self._claims.get(inquiry_id))

    def _may_have(self, inquiry_id: str, reviewer: str | None, now: datetime) -> bool:
        """Whether it waits and nobody else holds it."""
        outcome = self._outcomes.get(inquiry_id)
        if outcome is None or not _needs_review(outcome):
            return False
        held = self._review(outcome).held_by(now)
        return held is None or held.reviewer == reviewer

    def _required(self, inquiry_id: str) -> Outcome:
        if inquiry_id not in self._outcomes:
            raise InquiryNotFound(f"no inquiry has the id {inquiry_id}")
        return self._outcomes[inquiry_id]


def _place(outcome: Outcome) -> tuple[datetime, str]:
    """Where it stands in a list; the largest comes first."""
    return outcome.inquiry.received_at, outcome.inquiry.inquiry_id


def _turn(review: Review) -> tuple[datetime, str]:
    return review.turn.at, review.turn.inquiry_id


def _needs_review(outcome: Outcome) -> bool:
    return outcome.prediction.needs_review


def _passes(outcome: Outcome, filters: Filters) -> bool:
    verdict, received_at = outcome.prediction.verdict, outcome.inquiry.received_at
    return (
        filters.category in (None, verdict.category.label)
        and filters.department in (None, outcome.route.department)
        and filters.urgency in (None, verdict.urgency.label)
        and filters.sentiment in (None, verdict.sentiment.label)
        and filters.status in (None, outcome.status)
        and filters.escalated in (None, outcome.route.escalated)
        and filters.needs_review in (None, outcome.prediction.needs_review)
        and (filters.since is None or filters.since <= received_at)
        and (filters.until is None or received_at < filters.until)
    )


def _in_time(outcome: Outcome, now: datetime) -> bool | None:
    """Whether it was answered by its due time; None while it is open and not overdue."""
    if outcome.resolved_at is not None:
        return outcome.resolved_at <= outcome.route.sla_due_at
    return False if outcome.route.sla_due_at < now else None


def _distribution(labels: Iterable[str], found: Iterable[str]) -> Mapping[str, int]:
    return dict.fromkeys(labels, 0) | Counter(found)


@asynccontextmanager
async def open_memory(settings: NoSettings, host: Host) -> AsyncIterator[Store]:
    yield MemoryStore()


@hookimpl
def register_stores() -> Iterable[Provider[Store]]:
    upkeep = Upkeep(backups_instead="it forgets at exit; choose sqlite or postgres to keep anything")
    return [Provider("memory", open_memory, one_process=True, upkeep=upkeep)]
