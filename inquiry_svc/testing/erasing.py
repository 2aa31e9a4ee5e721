"""What every store must do when it erases, as tests that `StoreContract` inherits."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from inquiry_svc.contracts import Filters, Store
from inquiry_svc.errors import InquiryNotFound
from inquiry_svc.inquiries import Feedback, IdempotencyKey, Outcome
from inquiry_svc.notices import Notice, NoticeFilters, NoticeKind, Settled
from inquiry_svc.review_queue import Claim
from inquiry_svc.testing.outcomes import count, random_outcomes
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome, sample_prediction

_FEEDBACK: Final = Feedback("sales", None, "high", "Ana", NOON)
_CLAIM: Final = Claim("Ana", NOON + timedelta(minutes=15))
_ALL: Final = 1000
"""A limit that no test reaches."""


class ErasingContract:
    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("override the fixture `store`: it gives an empty store to each test")

    async def test_what_is_erased_is_nowhere_and_the_rest_is_as_it_was(self, store: Store) -> None:
        seed, outcomes = random_outcomes()
        await store.save(outcomes)
        await store.claim_reviews(_CLAIM, now=NOON, limit=5)
        for outcome in outcomes[::5]:
            await store.add_feedback(outcome.inquiry.inquiry_id, _FEEDBACK)
        before = {each.inquiry.inquiry_id: each for each in await stored(store)}
        waiting = await store.reviews(limit=_ALL, after=None)
        gone = {outcome.inquiry.inquiry_id for outcome in outcomes[::2]}
        assert set(await store.erase(sorted(gone))) == gone
        assert [await store.get(each) for each in gone] == [None] * len(gone)
        after = {each.inquiry.inquiry_id: each for each in await stored(store)}
        assert after == {key: each for key, each in before.items() if key not in gone}, f"seed {seed}"
        left = [review for review in waiting if review.turn.inquiry_id not in gone]
        assert await store.reviews(limit=_ALL, after=None) == left, f"seed {seed}"
        assert (await store.review_queue()).size == len(left), f"seed {seed}"

    async def test_what_is_erased_counts_no_more(self, store: Store) -> None:
        seed, outcomes = random_outcomes()
        await store.save(outcomes)
        await store.erase([outcome.inquiry.inquiry_id for outcome in outcomes[:30]])
        left = outcomes[30:]
        open_ones = Counter(each.route.consultant for each in left if each.resolved_at is None)
        del open_ones[None]
        assert +Counter(await store.open_inquiries()) == +open_ones, f"seed {seed}"
        since, now = NOON - timedelta(days=1), NOON + timedelta(hours=2)
        found, expected = await store.stats(since=since, now=now), count(left, since=since, now=now)
        assert found.average_priority_score == pytest.approx(expected.average_priority_score), f"seed {seed}"
        average = expected.average_priority_score
        assert dataclasses.replace(found, average_priority_score=average) == expected, f"seed {seed}"

    async def test_erasing_says_which_were_there_and_what_was_not_changes_nothing(self, store: Store) -> None:
        first, second = sample_outcome(), sample_outcome()
        await store.save([first, second])
        asked = [first.inquiry.inquiry_id, sample_inquiry().inquiry_id, "no uuid", first.inquiry.inquiry_id]
        assert list(await store.erase(asked)) == [first.inquiry.inquiry_id]
        assert list(await store.erase(asked)) == []
        assert list(await store.erase([])) == []
        assert await stored(store) == [second]

    async def test_what_is_erased_can_be_neither_reviewed_nor_resolved(self, store: Store) -> None:
        outcome = sample_outcome(prediction=sample_prediction(needs_review=True))
        inquiry_id = outcome.inquiry.inquiry_id
        await store.save([outcome])
        await store.claim_reviews(_CLAIM, now=NOON, limit=1)
        await store.erase([inquiry_id])
        with pytest.raises(InquiryNotFound):
            await store.add_feedback(inquiry_id, _FEEDBACK)
        with pytest.raises(InquiryNotFound):
            await store.resolve(inquiry_id, NOON)
        assert list(await store.claim_reviews(_CLAIM, now=NOON, limit=1, inquiry_id=inquiry_id)) == []
        assert await store.return_review(inquiry_id, "Ana", now=NOON, behind=True) is None

    async def test_the_key_of_what_is_erased_is_free(self, store: Store) -> None:
        first, second = (
            sample_outcome(sample_inquiry(idempotency_key=IdempotencyKey("k-1", fingerprint)))
            for fingerprint in ("one", "two")
        )
        await store.save([first])
        await store.erase([first.inquiry.inquiry_id])
        assert list(await store.save([second])) == [second]
        assert await stored(store) == [second]

    async def test_nobody_is_told_of_what_is_erased(self, store: Store) -> None:
        first, second = sample_outcome(), sample_outcome()
        told = [_notice("triaged", each.inquiry.inquiry_id) for each in (first, second)]
        await store.save([first, second], told)
        [held] = await store.claim_notices("desk", now=NOON, until=_CLAIM.until, limit=1)
        await store.erase([held.notice.inquiry_id])
        await store.settle_notices([Settled(held, "failed", NOON)])
        assert [each.notice for each in await store.notices(NoticeFilters(), limit=_ALL)] == [
            each for each in told if each != held.notice
        ]

    async def test_of_many_who_erase_one_at_once_one_is_given_it(self, store: Store) -> None:
        await of_many_who_erase_one_at_once_one_is_given_it(store, store)

    async def test_erasing_goes_together_with_whatever_is_done_to_the_same_inquiries(self, store: Store) -> None:
        """Nobody waits for somebody who waits for them, and what is done afterwards finds nothing."""
        outcomes = [sample_outcome(prediction=sample_prediction(needs_review=True)) for _ in range(40)]
        await store.save(outcomes)
        ids = [outcome.inquiry.inquiry_id for outcome in outcomes]
        async with asyncio.timeout(20):
            done = await asyncio.gather(
                *(store.add_feedback(each, _FEEDBACK) for each in reversed(ids)),
                *(store.resolve(each, NOON, notices=[_notice("resolved", each)]) for each in ids),
                *(store.claim_reviews(_CLAIM, now=NOON, limit=9) for _ in range(5)),
                *(store.erase(ids[start : start + 10]) for start in range(0, 40, 10)),
                *(store.save(outcomes[start : start + 8]) for start in range(0, 16, 8)),
                return_exceptions=True,
            )
        failures = [each for each in done if isinstance(each, BaseException)]
        assert all(isinstance(each, InquiryNotFound) for each in failures), failures
        await store.erase(ids)
        assert await stored(store) == []
        assert not +Counter(await store.open_inquiries())
        assert (await store.review_queue()).size == 0
        assert (await store.stats(since=NOON - timedelta(days=1), now=datetime.now(UTC))).total_inquiries == 0


async def of_many_who_erase_one_at_once_one_is_given_it(one: Store, other: Store) -> None:
    """`one` and `other` are open on the same place, or are the same."""
    outcome, kept = sample_outcome(), sample_outcome()
    await one.save([outcome, kept])
    erasing = ((one, other)[turn % 2].erase([outcome.inquiry.inquiry_id]) for turn in range(12))
    assert sorted(map(list, await asyncio.gather(*erasing)))[-2:] == [[], [outcome.inquiry.inquiry_id]]
    for store in (one, other):
        assert await stored(store) == [kept]


def _notice(kind: NoticeKind, inquiry_id: str) -> Notice:
    return Notice(sample_inquiry().inquiry_id, "desk", kind, inquiry_id, NOON)


async def stored(store: Store) -> Sequence[Outcome]:
    return list(await store.list(Filters(), limit=_ALL, after=None))
