"""What every store must do with the review queue, as tests that `StoreContract` inherits.

Time is an argument, so that a claim runs out when a test wants it to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, get_args

import pytest
from msgspec.structs import replace

from inquiry_svc.contracts import Store
from inquiry_svc.errors import InquiryNotFound, ReviewNotYours
from inquiry_svc.inquiries import Feedback, Outcome, ReviewReason
from inquiry_svc.review_queue import Claim, Review, ReviewQueue, Turn, Waiting
from inquiry_svc.testing.outcomes import random_outcomes
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome, sample_prediction

LEASE: Final = timedelta(minutes=15)
_ALL: Final = 1000
"""A limit that no test reaches."""


class ReviewQueueContract:
    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("override the fixture `store`: it gives an empty store to each test")

    # What waits

    async def test_what_needs_review_waits_by_turn_and_pages_have_no_gaps(self, store: Store) -> None:
        seed, outcomes = random_outcomes()
        await store.save(outcomes)
        expected = sorted((each for each in outcomes if each.prediction.needs_review), key=_due)
        assert [review.outcome for review in await store.reviews(limit=_ALL, after=None)] == expected, f"seed {seed}"
        paged: list[Review] = []
        after: Turn | None = None
        while page := await store.reviews(limit=5, after=after):
            assert len(page) <= 5
            paged += page
            after = page[-1].turn
        assert [review.outcome for review in paged] == expected, f"seed {seed}"
        assert {review.claim for review in paged} == {None}

    async def test_an_inquiry_waits_until_there_is_feedback_on_it(self, store: Store) -> None:
        first, second = await waiting(store, 2)
        await store.save([first, sample_outcome()])
        assert await turns(store) == ids([first, second])
        await store.add_feedback(first.inquiry.inquiry_id, feedback_by("Ana"))
        assert await turns(store) == ids([second])
        await store.add_feedback(first.inquiry.inquiry_id, feedback_by("Ben"))
        await store.resolve(second.inquiry.inquiry_id, NOON)
        assert await turns(store) == ids([second]), "what was answered can still be looked at"

    async def test_the_queue_in_numbers_is_what_a_plain_count_finds(self, store: Store) -> None:
        assert await store.review_queue() == ReviewQueue(0, None)
        seed, outcomes = random_outcomes()
        await store.save(outcomes)
        left = sorted((each for each in outcomes if each.prediction.needs_review), key=_received)
        while left:
            assert await store.review_queue() == _counted(left), f"seed {seed}"
            await store.add_feedback(left.pop(0).inquiry.inquiry_id, feedback_by("Ana"))
        assert await store.review_queue() == ReviewQueue(0, None)

    # Claiming

    async def test_the_next_in_turn_are_claimed_and_nobody_else_gets_them(self, store: Store) -> None:
        outcomes = await waiting(store, 5)
        ana, ben = claim_of("Ana"), claim_of("Ben")
        claimed = await store.claim_reviews(ana, now=NOON, limit=2)
        assert [(review.outcome, review.claim) for review in claimed] == [(each, ana) for each in outcomes[:2]]
        assert ids_of(await store.claim_reviews(ben, now=NOON, limit=2)) == ids(outcomes[2:4])
        assert ids_of(await store.claim_reviews(claim_of("Cleo"), now=NOON, limit=9)) == ids(outcomes[4:])
        assert await store.claim_reviews(claim_of("Dan"), now=NOON, limit=9) == []
        assert [review.claim for review in await store.reviews(limit=9, after=None)][:3] == [ana, ana, ben]

    async def test_asking_again_gives_what_one_holds_already_and_for_longer(self, store: Store) -> None:
        outcomes = await waiting(store, 4)
        first = await store.claim_reviews(claim_of("Ana"), now=NOON, limit=2)
        later = NOON + LEASE / 2
        again = await store.claim_reviews(claim_of("Ana", later), now=later, limit=2)
        assert ids_of(again) == ids_of(first)
        assert {review.claim for review in again} == {claim_of("Ana", later)}
        assert ids_of(await store.claim_reviews(claim_of("Ana", later), now=later, limit=3)) == ids(outcomes[:3])
        assert ids_of(await store.claim_reviews(claim_of("Ana", later), now=later, limit=1)) == ids(outcomes[:1])
        assert ids_of(await store.claim_reviews(claim_of("Ben", later), now=later, limit=9)) == ids(outcomes[3:])

    async def test_a_claim_that_ran_out_is_anybodys_and_comes_in_its_turn(self, store: Store) -> None:
        first, second = await waiting(store, 2)
        await store.claim_reviews(claim_of("Ana"), now=NOON, limit=1)
        just_before, then = NOON + LEASE - timedelta(microseconds=1), NOON + LEASE
        assert ids_of(await store.claim_reviews(claim_of("Ben", then), now=just_before, limit=1)) == ids([second])
        held = await store.claim_reviews(claim_of("Cleo", then), now=then, limit=9)
        assert ids_of(held) == ids([first])
        assert held[0].claim == claim_of("Cleo", then)
        assert await store.return_review(first.inquiry.inquiry_id, "Ana", now=then, behind=False) is None

    async def test_a_certain_one_can_be_claimed_out_of_turn_unless_another_holds_it(self, store: Store) -> None:
        first, second, third = await waiting(store, 3)
        wanted = second.inquiry.inquiry_id
        (claimed,) = await store.claim_reviews(claim_of("Ana"), now=NOON, limit=1, inquiry_id=wanted)
        assert claimed.outcome == second
        assert ids_of(await store.claim_reviews(claim_of("Ana"), now=NOON, limit=1, inquiry_id=wanted)) == [wanted]
        assert await store.claim_reviews(claim_of("Ben"), now=NOON, limit=1, inquiry_id=wanted) == []
        assert ids_of(await store.claim_reviews(claim_of("Ben"), now=NOON, limit=9)) == ids([first, third])
        unknown = (sample_inquiry().inquiry_id, "no uuid")
        for other in unknown:
            assert await store.claim_reviews(claim_of("Ben"), now=NOON, limit=1, inquiry_id=other) == []

    async def test_of_many_who_claim_at_once_no_two_hold_one(self, store: Store) -> None:
        await everybody_claims_something_of_their_own(store, store)

    # Giving back

    async def test_what_is_released_stands_where_it_stood(self, store: Store) -> None:
        first, second = await waiting(store, 2)
        await store.claim_reviews(claim_of("Ana"), now=NOON, limit=2)
        released = await store.return_review(first.inquiry.inquiry_id, "Ana", now=NOON, behind=False)
        assert released == Review(first, first.route.sla_due_at, None)
        assert ids_of(await store.claim_reviews(claim_of("Ben"), now=NOON, limit=9)) == ids([first])
        assert await turns(store) == ids([first, second])

    async def test_what_is_skipped_comes_after_all_that_wait_but_not_after_all_that_will(self, store: Store) -> None:
        first, second, third = await waiting(store, 3)
        await store.claim_reviews(claim_of("Ana"), now=NOON, limit=1)
        skipped = await store.return_review(first.inquiry.inquiry_id, "Ana", now=NOON, behind=True)
        assert skipped is not None
        assert (skipped.outcome, skipped.claim) == (first, None)
        assert await turns(store) == ids([second, third, first])
        later = await waiting(store, 2, due_at=skipped.turn_at + timedelta(seconds=1))
        assert await turns(store) == ids([second, third, first, *later])
        await store.return_review(second.inquiry.inquiry_id, "Ana", now=NOON, behind=True)
        await store.return_review(first.inquiry.inquiry_id, "Ana", now=NOON, behind=True)
        assert await turns(store) == ids([third, *later, second, first])

    async def test_only_what_waits_and_nobody_else_holds_can_be_given_back(self, store: Store) -> None:
        (outcome,) = await waiting(store, 1)
        calm = sample_outcome()
        await store.save([calm])
        await store.claim_reviews(claim_of("Ana"), now=NOON, limit=1)
        for inquiry_id in (*ids([outcome, calm]), sample_inquiry().inquiry_id, "no uuid"):
            for behind in (True, False):
                assert await store.return_review(inquiry_id, "Ben", now=NOON, behind=behind) is None
        assert [review.claim for review in await store.reviews(limit=9, after=None)] == [claim_of("Ana")]

    # Deciding

    async def test_a_decision_ends_the_review(self, store: Store) -> None:
        first, second = await waiting(store, 2)
        await store.claim_reviews(claim_of("Ana"), now=NOON, limit=1)
        feedback = feedback_by("Ana")
        decided = await store.add_feedback(first.inquiry.inquiry_id, feedback, as_review=True)
        assert decided == replace(first, prediction=replace(first.prediction, needs_review=False), feedback=feedback)
        assert await store.get(first.inquiry.inquiry_id) == decided
        assert await turns(store) == ids([second])
        assert ids_of(await store.claim_reviews(claim_of("Ana"), now=NOON, limit=9)) == ids([second])

    async def test_what_nobody_holds_is_decided_by_whoever_comes_first(self, store: Store) -> None:
        free, ran_out = await waiting(store, 2)
        await store.claim_reviews(claim_of("Ben", NOON - LEASE), now=NOON - LEASE, limit=9)
        await store.return_review(free.inquiry.inquiry_id, "Ben", now=NOON, behind=False)
        for outcome in (free, ran_out):
            await store.add_feedback(outcome.inquiry.inquiry_id, feedback_by("Ana"), as_review=True)
        assert await turns(store) == []

    async def test_a_decision_on_what_another_holds_or_what_does_not_wait_changes_nothing(self, store: Store) -> None:
        held, calm = (await waiting(store, 1))[0], sample_outcome()
        await store.save([calm])
        await store.claim_reviews(claim_of("Ana"), now=NOON, limit=1)
        for outcome in (held, calm):
            with pytest.raises(ReviewNotYours):
                await store.add_feedback(outcome.inquiry.inquiry_id, feedback_by("Ben"), as_review=True)
            assert await store.get(outcome.inquiry.inquiry_id) == outcome
        with pytest.raises(InquiryNotFound):
            await store.add_feedback(sample_inquiry().inquiry_id, feedback_by("Ben"), as_review=True)
        await store.add_feedback(held.inquiry.inquiry_id, feedback_by("Ana"), as_review=True)
        with pytest.raises(ReviewNotYours):
            await store.add_feedback(held.inquiry.inquiry_id, feedback_by("Ana"), as_review=True)

    async def test_of_many_who_decide_at_once_one_does(self, store: Store) -> None:
        await one_of_many_decides(store, store)


async def everybody_claims_something_of_their_own(one: Store, other: Store) -> None:
    """20 reviewers at two doors claim up to three of 50 at once: each review has one of them, and none is left over."""
    outcomes = await waiting(one, 50)
    reviewers = [f"reviewer {number}" for number in range(20)]
    claims = await asyncio.gather(
        *(
            (one, other)[number % 2].claim_reviews(claim_of(name), now=NOON, limit=3)
            for number, name in enumerate(reviewers)
        )
    )
    for name, claimed in zip(reviewers, claims, strict=True):
        assert len(claimed) <= 3
        assert {review.claim for review in claimed} <= {claim_of(name)}
    held = [each for claimed in claims for each in ids_of(claimed)]
    assert len(held) == len(set(held)), "two reviewers hold one review"
    # Of those who wanted the same at the same moment, some may have got less than there was: it is still there.
    rest = await other.claim_reviews(claim_of("the last"), now=NOON, limit=_ALL)
    assert sorted([*held, *ids_of(rest)]) == sorted(ids(outcomes))
    assert sum(map(len, claims)) >= 40


async def one_of_many_decides(one: Store, other: Store) -> None:
    (outcome,) = await waiting(one, 1)
    inquiry_id, reviewers = outcome.inquiry.inquiry_id, [f"reviewer {number}" for number in range(12)]
    answers = await asyncio.gather(
        *(
            (one, other)[number % 2].add_feedback(inquiry_id, feedback_by(name), as_review=True)
            for number, name in enumerate(reviewers)
        ),
        return_exceptions=True,
    )
    decided = [each for each in answers if isinstance(each, Outcome)]
    assert len(decided) == 1
    assert {type(each) for each in answers} == {Outcome, ReviewNotYours}
    assert await other.get(inquiry_id) == decided[0]


async def waiting(store: Store, count: int, *, due_at: datetime = NOON) -> Sequence[Outcome]:
    """Saved in no order, given by turn: due a minute after one another."""
    prediction = sample_prediction(needs_review=True, review_reasons=("low_confidence",))
    outcomes = [sample_outcome(prediction=prediction) for _ in range(count)]
    outcomes = [
        replace(each, route=replace(each.route, sla_due_at=due_at + timedelta(minutes=number)))
        for number, each in enumerate(reversed(outcomes))
    ]
    await store.save(sorted(outcomes, key=_received))
    return outcomes


def claim_of(reviewer: str, now: datetime = NOON) -> Claim:
    return Claim(reviewer, now + LEASE)


def feedback_by(reviewer: str) -> Feedback:
    return Feedback("sales", None, "high", reviewer, NOON)


async def turns(store: Store) -> list[str]:
    return ids_of(await store.reviews(limit=_ALL, after=None))


def ids_of(reviews: Sequence[Review]) -> list[str]:
    return ids([review.outcome for review in reviews])


def ids(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.inquiry.inquiry_id for outcome in outcomes]


def _due(outcome: Outcome) -> tuple[datetime, str]:
    return outcome.route.sla_due_at, outcome.inquiry.inquiry_id


def _received(outcome: Outcome) -> tuple[datetime, str]:
    return outcome.inquiry.received_at, outcome.inquiry.inquiry_id


def _counted(left: Sequence[Outcome]) -> ReviewQueue:
    """`left` by the time at which they were received."""
    reasons: tuple[ReviewReason, ...] = get_args(ReviewReason)
    by_reason = {reason: [each for each in left if reason in each.prediction.review_reasons] for reason in reasons}
    return ReviewQueue(
        len(left),
        left[0].inquiry.received_at,
        {reason: Waiting(len(some), some[0].inquiry.received_at) for reason, some in by_reason.items() if some},
    )
