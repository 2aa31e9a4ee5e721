"""The contract suite of stores, tried on stores that are broken on purpose: each must fail it where it is broken.

`BrokenStores` is the suite over all of them. It runs once, in a process in which pytest is told to collect it; here it
is not collected, as its name does not begin with `Test`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from inquiry_svc.contracts import Filters, Host, NoSettings, Pool, PoolKind, Position, Stats, Store
from inquiry_svc.errors import InquiryNotFound, ReviewNotYours, StoreUnavailable
from inquiry_svc.inquiries import Feedback, Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc.notices import Delivery, Notice, NoticeFilters, Outbox, Settled, Undelivered
from inquiry_svc.review_queue import Claim, Review, ReviewQueue, Turn
from inquiry_svc.testing.stores import DurableStoreContract, OpenStore, StoreContract
from inquiry_svc_plugins.stores.memory import MemoryStore, open_memory
from tests.plugins.suite_failures import names_of_tests, suite_failures


class LosesARow(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        await super().save(outcomes[:-1] if len(outcomes) > 1 else outcomes, notices)
        return outcomes


class KeepsHalfABatch(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        answers: list[Outcome] = []
        for outcome in outcomes:
            answers += await super().save([outcome], notices)
        return answers


class SwallowsAnError(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        with suppress(TypeError):
            return await super().save(outcomes, notices)
        return outcomes


class CallsABadRowAnOutage(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        try:
            return await super().save(outcomes, notices)
        except TypeError as error:
            raise StoreUnavailable("try again later") from error


class AnswersOutOfOrder(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        answers = await super().save(outcomes, notices)
        return sorted(answers, key=lambda outcome: outcome.inquiry.inquiry_id)


class AnswersNothingToAnEmptyBatch(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        if not outcomes:
            raise ValueError("nothing to save")
        return await super().save(outcomes, notices)


class ForgetsTheKey(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        answers = await super().save(outcomes, notices)
        self._ids_of_keys.clear()
        return answers


class AnswersAReplayWithWhatWasSent(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        await super().save(outcomes, notices)
        return outcomes


class OverwritesOnReplay(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        answers = await super().save(outcomes, notices)
        again = [outcome for outcome in outcomes if outcome.inquiry.inquiry_id in self._outcomes]
        self._outcomes.update({outcome.inquiry.inquiry_id: outcome for outcome in again})
        return answers


class StaysLockedAfterACancelledCaller(MemoryStore):
    locked = False

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        if self.locked:
            raise StoreUnavailable("locked")
        self.locked = True
        await asyncio.sleep(0)  # a lock that is not released when the wait is cancelled
        self.locked = False
        return await super().save(outcomes, notices)


class LooksForTheKeyBeforeItsTurn(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        known = dict(self._ids_of_keys)
        await asyncio.sleep(0)
        self._ids_of_keys = known
        return await super().save(outcomes, notices)


class RoundsTimesToMilliseconds(MemoryStore):
    async def resolve(self, inquiry_id: str, resolved_at: datetime, *, notices: Sequence[Notice] = ()) -> Outcome:
        milliseconds = resolved_at.microsecond // 1000
        return await super().resolve(inquiry_id, resolved_at.replace(microsecond=milliseconds * 1000), notices=notices)


class RoundsScoresToSinglePrecision(MemoryStore):
    async def get(self, inquiry_id: str) -> Outcome | None:
        outcome = await super().get(inquiry_id)
        if outcome is None:
            return None
        scores = outcome.prediction.verdict.scores
        rounded = struct.unpack(f"{len(scores)}f", struct.pack(f"{len(scores)}f", *scores))
        verdict = replace(outcome.prediction.verdict, scores=rounded)
        return replace(outcome, prediction=replace(outcome.prediction, verdict=verdict))


class GivesAnErrorForAnUnknownId(MemoryStore):
    async def get(self, inquiry_id: str) -> Outcome | None:
        return self._outcomes[inquiry_id]


class ListsOldestFirst(MemoryStore):
    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        found = await super().list(filters, limit=10**9, after=after)
        return list(reversed(found))[:limit]


class SkipsTiesBetweenPages(MemoryStore):
    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        found = await super().list(filters, limit=10**9, after=after)
        return [each for each in found if after is None or each.inquiry.received_at < after.received_at][:limit]


class PagesByCountingRows(MemoryStore):
    """What an OFFSET does: new rows push the old ones onto the next page again."""

    seen = 0

    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        self.seen = 0 if after is None else self.seen + limit
        return (await super().list(filters, limit=10**9, after=None))[self.seen :][:limit]


class TakesUntilAsInclusive(MemoryStore):
    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        if filters.until is not None:
            filters = dataclasses.replace(filters, until=filters.until.replace(microsecond=1))
        return await super().list(filters, limit=limit, after=after)


class IgnoresAFilterThatIsFalse(MemoryStore):
    async def list(self, filters: Filters, *, limit: int, after: Position | None) -> Sequence[Outcome]:
        return await super().list(
            dataclasses.replace(filters, escalated=filters.escalated or None), limit=limit, after=after
        )


class LeavesTheNeedForReview(MemoryStore):
    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        outcome = self._required(inquiry_id)
        self._outcomes[inquiry_id] = replace(outcome, feedback=feedback)
        return self._outcomes[inquiry_id]


class KeepsTheFirstFeedback(MemoryStore):
    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        kept = self._required(inquiry_id).feedback or feedback
        return await super().add_feedback(inquiry_id, kept, as_review=as_review, notices=notices)


class ResolvesTwice(MemoryStore):
    async def resolve(self, inquiry_id: str, resolved_at: datetime, *, notices: Sequence[Notice] = ()) -> Outcome:
        self._outcomes[inquiry_id] = replace(self._required(inquiry_id), resolved_at=resolved_at)
        return self._outcomes[inquiry_id]


class MakesUpAnInquiryToResolve(MemoryStore):
    async def resolve(self, inquiry_id: str, resolved_at: datetime, *, notices: Sequence[Notice] = ()) -> Outcome:
        try:
            return await super().resolve(inquiry_id, resolved_at, notices=notices)
        except InquiryNotFound:
            return next(iter(self._outcomes.values()))


class CountsOldInquiriesToo(MemoryStore):
    async def stats(self, *, since: datetime, now: datetime) -> Stats:
        return await super().stats(since=datetime(1, 1, 1, tzinfo=UTC), now=now)


class LeavesOutLabelsThatDoNotOccur(MemoryStore):
    async def stats(self, *, since: datetime, now: datetime) -> Stats:
        stats = await super().stats(since=since, now=now)
        occurring = {label: count for label, count in stats.urgency_distribution.items() if count}
        return dataclasses.replace(stats, urgency_distribution=occurring)


class CountsResolvedInquiriesAsOpen(MemoryStore):
    async def open_inquiries(self) -> Mapping[str, int]:
        outcomes = self._outcomes
        self._outcomes = {name: replace(outcome, resolved_at=None) for name, outcome in outcomes.items()}
        try:
            return await super().open_inquiries()
        finally:
            self._outcomes = outcomes


class ForgetsTheOldestInTheReviewQueue(MemoryStore):
    async def review_queue(self) -> ReviewQueue:
        queue = await super().review_queue()
        return ReviewQueue(queue.size, queue.oldest_received_at and datetime.now(UTC))


class ListsReviewsAsTheyCame(MemoryStore):
    async def reviews(self, *, limit: int, after: Turn | None) -> Sequence[Review]:
        reviews = await super().reviews(limit=10**9, after=after)
        return sorted(reviews, key=lambda review: review.outcome.inquiry.received_at)[:limit]


class ClaimsForEverybody(MemoryStore):
    def _may_have(self, inquiry_id: str, reviewer: str | None, now: datetime) -> bool:
        return self._outcomes[inquiry_id].prediction.needs_review


class ClaimsAnewEachTime(MemoryStore):
    async def claim_reviews(
        self, claim: Claim, *, now: datetime, limit: int, inquiry_id: str | None = None
    ) -> Sequence[Review]:
        nobody = Claim("nobody", claim.until)
        claimed = await super().claim_reviews(nobody, now=now, limit=limit, inquiry_id=inquiry_id)
        self._claims = {each: claim if held is nobody else held for each, held in self._claims.items()}
        return [dataclasses.replace(review, claim=claim) for review in claimed]


class LetsNoClaimRunOut(MemoryStore):
    def _may_have(self, inquiry_id: str, reviewer: str | None, now: datetime) -> bool:
        return super()._may_have(inquiry_id, reviewer, datetime(1, 1, 1, tzinfo=UTC))


class ClaimsTheNextWhicheverIsNamed(MemoryStore):
    async def claim_reviews(
        self, claim: Claim, *, now: datetime, limit: int, inquiry_id: str | None = None
    ) -> Sequence[Review]:
        return await super().claim_reviews(claim, now=now, limit=limit)


class LooksBeforeItClaims(MemoryStore):
    async def claim_reviews(
        self, claim: Claim, *, now: datetime, limit: int, inquiry_id: str | None = None
    ) -> Sequence[Review]:
        claims = dict(self._claims)
        claimed = await super().claim_reviews(claim, now=now, limit=limit, inquiry_id=inquiry_id)
        self._claims = claims
        await asyncio.sleep(0)
        self._claims.update({review.turn.inquiry_id: claim for review in claimed})
        return claimed


class AlwaysPutsBehind(MemoryStore):
    async def return_review(self, inquiry_id: str, reviewer: str, *, now: datetime, behind: bool) -> Review | None:
        return await super().return_review(inquiry_id, reviewer, now=now, behind=True)


class NeverPutsBehind(MemoryStore):
    async def return_review(self, inquiry_id: str, reviewer: str, *, now: datetime, behind: bool) -> Review | None:
        return await super().return_review(inquiry_id, reviewer, now=now, behind=False)


class GivesBackForAnybody(MemoryStore):
    async def return_review(self, inquiry_id: str, reviewer: str, *, now: datetime, behind: bool) -> Review | None:
        self._claims.pop(inquiry_id, None)
        return await super().return_review(inquiry_id, reviewer, now=now, behind=behind)


class WantsAClaimBeforeADecision(MemoryStore):
    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        claim = self._claims.get(inquiry_id)
        if as_review and (claim is None or claim.reviewer != feedback.reviewer):
            raise ReviewNotYours
        return await super().add_feedback(inquiry_id, feedback, as_review=as_review, notices=notices)


class DecidesForAnybody(MemoryStore):
    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        return await super().add_feedback(inquiry_id, feedback, notices=notices)


class KeepsNoNotice(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        return await super().save(outcomes)


class KeepsNoticesOfReplaysToo(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        answers = await super().save(outcomes)
        self._notices.keep(notices)
        return answers


class KeepsNoticesOfEachOfABatch(MemoryStore):
    """Of what is stored now under the id or the key."""

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        known = set(self._outcomes) | set(self._ids_of_keys)
        answers = await super().save(outcomes)
        new = {
            outcome.inquiry.inquiry_id
            for outcome in outcomes
            if outcome.inquiry.inquiry_id not in known
            and (outcome.inquiry.idempotency_key is None or outcome.inquiry.idempotency_key.value not in known)
        }
        self._notices.keep(notice for notice in notices if notice.inquiry_id in new)
        return answers


class KeepsNoticesFirst(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        self._notices.keep(notices)
        return await super().save(outcomes)


class KeepsNoticesALittleLater(MemoryStore):
    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        known = set(self._outcomes)
        answers = await super().save(outcomes)
        await asyncio.sleep(0)
        self._notices.keep(notice for notice in notices if notice.inquiry_id in set(self._outcomes) - known)
        return answers


class TellsTheOutcomeAsItWas(MemoryStore):
    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        claimed = await super().claim_notices(notifier, now=now, until=until, limit=limit)
        return [replace(each, outcome=replace(each.outcome, resolved_at=None)) for each in claimed]


class ClaimsTheNewestFirst(MemoryStore):
    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        waiting = dict(self._notices._undelivered)
        claimed = await super().claim_notices(notifier, now=now, until=until, limit=10**9)
        kept = list(reversed(claimed))[:limit]
        ids = {each.notice.notice_id for each in kept}
        self._notices._undelivered.update({name: each for name, each in waiting.items() if name not in ids})
        return kept


class ClaimsForEveryNotifier(MemoryStore):
    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        names = {each.notice.notifier for each in await self.notices(NoticeFilters(), limit=10**9)}
        claimed = [
            await super(ClaimsForEveryNotifier, self).claim_notices(name, now=now, until=until, limit=limit)
            for name in names
        ]
        return [delivery for each in claimed for delivery in each][:limit]


class ClaimsAllOfAnInquiry(MemoryStore):
    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        due = [
            each
            for each in await self.notices(NoticeFilters(notifier, set_aside=False), limit=10**9)
            if each.due_at <= now and (each.claimed_until is None or each.claimed_until <= now)
        ]
        for each in due[:limit]:
            self._notices._put(replace(each, claimed_until=until))
        return [
            Delivery(each.notice, self._outcomes[each.notice.inquiry_id], each.attempts, each.waiting_since, until)
            for each in due[:limit]
        ]


class LetsNoClaimOfANoticeRunOut(MemoryStore):
    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        for_ever = datetime.max.replace(tzinfo=UTC)
        return await super().claim_notices(notifier, now=now, until=for_ever, limit=limit)


class LooksBeforeItClaimsANotice(MemoryStore):
    async def claim_notices(self, notifier: str, *, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        waiting = dict(self._notices._undelivered)
        claimed = await super().claim_notices(notifier, now=now, until=until, limit=limit)
        self._notices._undelivered = waiting
        await asyncio.sleep(0)
        for each in claimed:
            self._notices._put(replace(waiting[each.notice.notice_id], claimed_until=until))
        return claimed


class FailsNothingElseOfTheInquiry(MemoryStore):
    """What comes after what failed goes ahead of it."""

    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        await super().settle_notices(settled)
        for each in settled:
            if each.result == "failed":
                found = self._notices._undelivered.pop(each.delivery.notice.notice_id, None)
                if found is not None:
                    self._notices._put(found)


class SetsNothingAside(MemoryStore):
    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        await super().settle_notices(
            [replace(each, result="failed") if each.result == "set_aside" else each for each in settled]
        )


class CountsWhatIsReturned(MemoryStore):
    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        await super().settle_notices(
            [replace(each, result="failed") if each.result == "returned" else each for each in settled]
        )


class SettlesForAnybody(MemoryStore):
    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        waiting = self._notices._undelivered
        for each in settled:
            found = waiting.get(each.delivery.notice.notice_id)
            if found is not None and found.claimed_until is not None:
                each = replace(each, delivery=replace(each.delivery, claimed_until=found.claimed_until))
            await super().settle_notices([each])


class RetriesWithTheOldAge(MemoryStore):
    async def retry_notices(self, filters: NoticeFilters, *, now: datetime, limit: int) -> int:
        before = dict(self._notices._undelivered)
        count = await super().retry_notices(filters, now=now, limit=limit)
        for name, each in self._notices._undelivered.items():
            self._notices._undelivered[name] = replace(each, waiting_since=before[name].waiting_since)
        return count


class RetriesOnlyWhatIsSetAside(MemoryStore):
    async def retry_notices(self, filters: NoticeFilters, *, now: datetime, limit: int) -> int:
        return await super().retry_notices(replace(filters, set_aside=True), now=now, limit=limit)


class RetriesBesideWhatIsBeingTold(MemoryStore):
    async def retry_notices(self, filters: NoticeFilters, *, now: datetime, limit: int) -> int:
        count = await super().retry_notices(filters, now=now, limit=limit)
        for name, each in self._notices._undelivered.items():
            self._notices._undelivered[name] = replace(each, claimed_until=None)
        return count


class SetsAsideWhatIsDropped(MemoryStore):
    async def drop_notices(self, filters: NoticeFilters, *, limit: int) -> int:
        chosen = await self.notices(filters, limit=limit)
        for each in chosen:
            self._notices._put(replace(each, set_aside_at=each.due_at))
        return len(chosen)


class ListsNoticesOfAnyNotifier(MemoryStore):
    async def notices(self, filters: NoticeFilters, *, limit: int) -> Sequence[Undelivered]:
        return await super().notices(replace(filters, notifier=None), limit=limit)


class CountsWhatIsSetAsideAsWaiting(MemoryStore):
    async def outbox(self, notifier: str) -> Outbox:
        outbox = await super().outbox(notifier)
        return replace(outbox, waiting=outbox.waiting + outbox.set_aside)


class LeavesWhatIsErasedInTheQueue(MemoryStore):
    ghosts = 0

    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        waiting = (await super().review_queue()).size
        erased = await super().erase(inquiry_ids)
        self.ghosts += waiting - (await super().review_queue()).size
        return erased

    async def review_queue(self) -> ReviewQueue:
        queue = await super().review_queue()
        return dataclasses.replace(queue, size=queue.size + self.ghosts)


class GoesOnCountingWhatIsErased(MemoryStore):
    erased: tuple[Outcome, ...] = ()

    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        self.erased += tuple(self._outcomes[each] for each in inquiry_ids if each in self._outcomes)
        return await super().erase(inquiry_ids)

    async def open_inquiries(self) -> Mapping[str, int]:
        loads = Counter(await super().open_inquiries())
        loads.update(each.route.consultant for each in self.erased if each.route.consultant)
        return loads


class SaysItErasedWhatItWasGiven(MemoryStore):
    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        await super().erase(inquiry_ids)
        return inquiry_ids


class HidesWhatIsErased(MemoryStore):
    """From those who look, not from those who do something."""

    hidden: frozenset[str] = frozenset()

    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        fresh = {each for each in inquiry_ids if each in self._outcomes and each not in self.hidden}
        self.hidden |= fresh
        return sorted(fresh)

    async def get(self, inquiry_id: str) -> Outcome | None:
        return None if inquiry_id in self.hidden else await super().get(inquiry_id)


class KeepsTheKeyOfWhatIsErased(MemoryStore):
    kept: tuple[tuple[str, Outcome], ...] = ()

    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        gone = [self._outcomes[each] for each in inquiry_ids if each in self._outcomes]
        self.kept += tuple((each.inquiry.idempotency_key.value, each) for each in gone if each.inquiry.idempotency_key)
        return await super().erase(inquiry_ids)

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        known = dict(self.kept)
        keys = [each.inquiry.idempotency_key for each in outcomes]
        found = [known.get(key.value) if key else None for key in keys]
        saved = await super().save(outcomes, notices)
        return [earlier or later for earlier, later in zip(found, saved, strict=True)]


class TellsOfWhatIsErased(MemoryStore):
    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        waiting = self._notices._undelivered
        erased = await super().erase(inquiry_ids)
        self._notices._undelivered = waiting
        return erased


class LooksBeforeItErases(MemoryStore):
    async def erase(self, inquiry_ids: Sequence[str]) -> Sequence[str]:
        there = [each for each in dict.fromkeys(inquiry_ids) if each in self._outcomes]
        await asyncio.sleep(0)
        await super().erase(inquiry_ids)
        return there


class TripsOverWhatIsErasedMeanwhile(MemoryStore):
    async def add_feedback(
        self, inquiry_id: str, feedback: Feedback, *, as_review: bool = False, notices: Sequence[Notice] = ()
    ) -> Outcome:
        self._required(inquiry_id)
        await asyncio.sleep(0)
        if inquiry_id not in self._outcomes:
            raise KeyError(inquiry_id)
        return await super().add_feedback(inquiry_id, feedback, as_review=as_review, notices=notices)


class KeepsAConnectionBusy(MemoryStore):
    def pools(self) -> Mapping[PoolKind, Pool]:
        return {"writer": Pool(idle=0, active=1, maximum=1)}


class FailsItsOwnCheck(MemoryStore):
    async def check(self) -> None:
        raise StoreUnavailable("never well")


BROKEN = {
    LosesARow: "test_what_was_saved_comes_back_equal",
    KeepsHalfABatch: "test_one_row_that_cannot_be_written_fails_its_whole_batch",
    SwallowsAnError: "test_one_row_that_cannot_be_written_fails_its_whole_batch",
    CallsABadRowAnOutage: "test_one_row_that_cannot_be_written_fails_its_whole_batch",
    AnswersOutOfOrder: "test_a_batch_is_answered_in_its_own_order",
    AnswersNothingToAnEmptyBatch: "test_saving_nothing_is_allowed",
    ForgetsTheKey: "test_a_key_stored_before_gives_the_earlier_outcome_as_it_stands_now",
    AnswersAReplayWithWhatWasSent: "test_of_two_outcomes_of_one_batch_with_one_key_the_first_is_stored",
    OverwritesOnReplay: "test_saving_an_outcome_twice_changes_nothing",
    StaysLockedAfterACancelledCaller: "test_a_store_goes_on_after_a_caller_was_cancelled",
    LooksForTheKeyBeforeItsTurn: "test_concurrent_saves_of_one_key_store_one_outcome_and_all_are_told_it",
    RoundsTimesToMilliseconds: "test_an_inquiry_is_resolved_once",
    RoundsScoresToSinglePrecision: "test_any_outcome_comes_back_to_the_last_bit",
    GivesAnErrorForAnUnknownId: "test_an_id_that_was_never_saved_gives_none",
    ListsOldestFirst: "test_the_list_is_newest_first_and_the_larger_id_first_among_equals",
    SkipsTiesBetweenPages: "test_pages_have_no_gaps_and_no_repeats_while_new_inquiries_arrive",
    PagesByCountingRows: "test_pages_have_no_gaps_and_no_repeats_while_new_inquiries_arrive",
    TakesUntilAsInclusive: "test_each_filter_and_any_mixture_of_them_lets_pass_what_it_says",
    IgnoresAFilterThatIsFalse: "test_each_filter_and_any_mixture_of_them_lets_pass_what_it_says",
    LeavesTheNeedForReview: "test_feedback_is_kept_and_clears_the_need_for_review",
    KeepsTheFirstFeedback: "test_the_last_feedback_given_is_the_one_that_counts",
    ResolvesTwice: "test_an_inquiry_is_resolved_once",
    MakesUpAnInquiryToResolve: "test_an_unknown_inquiry_can_be_neither_reviewed_nor_resolved",
    CountsOldInquiriesToo: "test_stats_count_what_a_plain_count_counts",
    LeavesOutLabelsThatDoNotOccur: "test_an_empty_store_counts_zeros_and_gives_no_rates",
    CountsResolvedInquiriesAsOpen: "test_unresolved_inquiries_are_counted_for_each_consultant",
    ForgetsTheOldestInTheReviewQueue: "test_the_queue_in_numbers_is_what_a_plain_count_finds",
    ListsReviewsAsTheyCame: "test_what_needs_review_waits_by_turn_and_pages_have_no_gaps",
    ClaimsForEverybody: "test_the_next_in_turn_are_claimed_and_nobody_else_gets_them",
    ClaimsAnewEachTime: "test_asking_again_gives_what_one_holds_already_and_for_longer",
    LetsNoClaimRunOut: "test_a_claim_that_ran_out_is_anybodys_and_comes_in_its_turn",
    ClaimsTheNextWhicheverIsNamed: "test_a_certain_one_can_be_claimed_out_of_turn_unless_another_holds_it",
    LooksBeforeItClaims: "test_of_many_who_claim_at_once_no_two_hold_one",
    AlwaysPutsBehind: "test_what_is_released_stands_where_it_stood",
    NeverPutsBehind: "test_what_is_skipped_comes_after_all_that_wait_but_not_after_all_that_will",
    GivesBackForAnybody: "test_only_what_waits_and_nobody_else_holds_can_be_given_back",
    WantsAClaimBeforeADecision: "test_what_nobody_holds_is_decided_by_whoever_comes_first",
    DecidesForAnybody: "test_a_decision_on_what_another_holds_or_what_does_not_wait_changes_nothing",
    KeepsNoNotice: "test_what_is_stored_is_stored_with_its_notices",
    KeepsNoticesOfReplaysToo: "test_what_was_stored_before_makes_no_notice",
    KeepsNoticesOfEachOfABatch: "test_of_two_outcomes_of_one_batch_with_one_key_the_first_makes_its_notices",
    KeepsNoticesFirst: "test_what_could_not_be_stored_makes_no_notice",
    KeepsNoticesALittleLater: "test_a_caller_who_is_cancelled_leaves_both_or_neither",
    TellsTheOutcomeAsItWas: "test_a_notice_is_claimed_with_the_outcome_as_it_stands_now",
    ClaimsTheNewestFirst: "test_what_is_due_is_claimed_the_longest_due_first_and_nobody_else_gets_it",
    ClaimsForEveryNotifier: "test_each_notifier_has_its_own",
    ClaimsAllOfAnInquiry: "test_of_each_inquiry_the_first_is_claimed_and_the_next_when_that_is_gone",
    LetsNoClaimOfANoticeRunOut: "test_a_claim_that_ran_out_is_anybodys",
    LooksBeforeItClaimsANotice: "test_of_many_who_claim_at_once_no_two_hold_one_or_two_of_one_inquiry",
    FailsNothingElseOfTheInquiry: "test_what_failed_is_due_again_later_and_holds_up_its_inquiry_alone",
    SetsNothingAside: "test_what_is_set_aside_holds_up_nothing_and_can_be_seen",
    CountsWhatIsReturned: "test_what_is_returned_is_as_if_it_had_not_been_claimed",
    SettlesForAnybody: "test_whoever_comes_late_settles_it_unless_somebody_else_has_claimed_it_since",
    RetriesWithTheOldAge: "test_what_is_set_aside_waits_anew_when_it_is_told_again",
    RetriesOnlyWhatIsSetAside: "test_what_waits_for_another_attempt_can_be_told_now",
    RetriesBesideWhatIsBeingTold: "test_what_is_told_again_waits_for_what_is_being_told_of_its_inquiry",
    SetsAsideWhatIsDropped: "test_what_is_dropped_is_never_told",
    ListsNoticesOfAnyNotifier: "test_filters_and_limits_choose_what_they_say",
    CountsWhatIsSetAsideAsWaiting: "test_the_outbox_in_numbers_is_what_a_plain_count_finds",
    LeavesWhatIsErasedInTheQueue: "test_what_is_erased_is_nowhere_and_the_rest_is_as_it_was",
    GoesOnCountingWhatIsErased: "test_what_is_erased_counts_no_more",
    SaysItErasedWhatItWasGiven: "test_erasing_says_which_were_there_and_what_was_not_changes_nothing",
    HidesWhatIsErased: "test_what_is_erased_can_be_neither_reviewed_nor_resolved",
    KeepsTheKeyOfWhatIsErased: "test_the_key_of_what_is_erased_is_free",
    TellsOfWhatIsErased: "test_nobody_is_told_of_what_is_erased",
    LooksBeforeItErases: "test_of_many_who_erase_one_at_once_one_is_given_it",
    TripsOverWhatIsErasedMeanwhile: "test_erasing_goes_together_with_whatever_is_done_to_the_same_inquiries",
    KeepsAConnectionBusy: ("test_a_pool_has_no_more_connections_than_it_may_and_none_works_when_nobody_asks"),
    FailsItsOwnCheck: "test_a_store_that_works_passes_its_own_check",
}
"""Each broken store, and the test that must fail over it."""


class BrokenStores(StoreContract):
    @pytest.fixture(params=[MemoryStore, *BROKEN], ids=lambda store_type: store_type.__name__)
    def store(self, request: pytest.FixtureRequest) -> Store:
        store: Store = request.param()
        return store


class BrokenForgetsAtExit(DurableStoreContract):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        return lambda: open_memory(NoSettings(), Host(Path(), Metrics()))


@pytest.fixture(scope="module")
def failed() -> set[tuple[str, str]]:
    # One store is enough for the slowest test, which tries many values.
    return suite_failures(__file__, "(BrokenStores and (not last_bit or RoundsScores)) or BrokenForgets")


@pytest.mark.parametrize(("store_type", "test"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", "in"))
def test_the_suite_fails_over(failed: set[tuple[str, str]], store_type: type[Store], test: str) -> None:
    assert (test, store_type.__name__) in failed


def test_a_store_that_forgets_at_exit_is_not_durable(failed: set[tuple[str, str]]) -> None:
    assert {test for test, store in failed if not store} >= names_of_tests(DurableStoreContract) - names_of_tests(
        StoreContract
    )


def test_a_store_that_is_whole_fails_nothing(failed: set[tuple[str, str]]) -> None:
    assert [test for test, store in failed if store == MemoryStore.__name__] == []


def test_each_test_of_the_suite_fails_over_some_broken_store(failed: set[tuple[str, str]]) -> None:
    assert {test for test, _ in failed} == names_of_tests(DurableStoreContract)
