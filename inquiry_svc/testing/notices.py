"""What every store must do with notices, as tests that `StoreContract` inherits.

Time is an argument, so that a claim runs out when a test wants it to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import pytest
import uuid_utils.compat
from msgspec.structs import replace

from inquiry_svc.contracts import Filters, Store
from inquiry_svc.errors import AlreadyResolved, InquiryNotFound, ReviewNotYours
from inquiry_svc.inquiries import Feedback, IdempotencyKey, Outcome
from inquiry_svc.notices import Delivery, Notice, NoticeFilters, NoticeKind, Settled
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome

CLAIM: Final = timedelta(seconds=30)
_FEEDBACK: Final = Feedback("sales", None, "high", "Ana", NOON)
EVERYTHING: Final = NoticeFilters()
ALL: Final = 1000
"""A limit that no test reaches."""


class NoticeContract:
    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("override the fixture `store`: it gives an empty store to each test")

    # Keeping

    async def test_what_is_stored_is_stored_with_its_notices(self, store: Store) -> None:
        first, second = sample_outcome(), sample_outcome()
        notices = [*notices_of(first, "triaged", "escalated"), *notices_of(second, "triaged")]
        await store.save([first, second], notices)
        assert await kept(store) == notices
        resolved = notices_of(first, "resolved")
        await store.resolve(ids([first])[0], NOON, notices=resolved)
        reviewed = notices_of(second, "reviewed")
        await store.add_feedback(ids([second])[0], _FEEDBACK, notices=reviewed)
        assert await kept(store) == [*notices, *resolved, *reviewed]

    async def test_what_was_stored_before_makes_no_notice(self, store: Store) -> None:
        first, again, new = _keyed("k-1"), _keyed("k-1"), sample_outcome()
        notices = notices_of(first, "triaged")
        await store.save([first], notices)
        await store.save([first], notices_of(first, "triaged"))
        of_new = notices_of(new, "triaged")
        await store.save([again, new, first], [*notices_of(again, "triaged"), *of_new, *notices_of(first, "triaged")])
        assert await kept(store) == [*notices, *of_new]

    async def test_of_two_outcomes_of_one_batch_with_one_key_the_first_makes_its_notices(self, store: Store) -> None:
        first, second = _keyed("k-1"), _keyed("k-1")
        of_first = notices_of(first, "triaged", "escalated")
        await store.save([first, second], [*of_first, *notices_of(second, "triaged", "escalated")])
        assert await kept(store) == of_first

    async def test_concurrent_saves_of_one_key_make_the_notice_of_the_one_that_is_stored(self, store: Store) -> None:
        rivals = [_keyed("k-1") for _ in range(20)]
        answers = await asyncio.gather(*(store.save([each], notices_of(each, "triaged")) for each in rivals))
        assert [each.inquiry_id for each in await kept(store)] == [answers[0][0].inquiry.inquiry_id]

    async def test_what_could_not_be_stored_makes_no_notice(self, store: Store) -> None:
        good, poison = sample_outcome(), sample_outcome(sample_inquiry(metadata={"x": object()}))
        with pytest.raises(Exception):  # noqa: B017, PT011 (any error)
            await store.save([good, poison], [*notices_of(good, "triaged"), *notices_of(poison, "triaged")])
        unknown = sample_outcome()
        with pytest.raises(InquiryNotFound):
            await store.add_feedback(ids([unknown])[0], _FEEDBACK, notices=notices_of(unknown, "reviewed"))
        with pytest.raises(InquiryNotFound):
            await store.resolve(ids([unknown])[0], NOON, notices=notices_of(unknown, "resolved"))
        await store.save([good])
        await store.resolve(ids([good])[0], NOON)
        with pytest.raises(AlreadyResolved):
            await store.resolve(ids([good])[0], NOON, notices=notices_of(good, "resolved"))
        with pytest.raises(ReviewNotYours):
            await store.add_feedback(ids([good])[0], _FEEDBACK, as_review=True, notices=notices_of(good, "reviewed"))
        assert await kept(store) == []

    async def test_a_caller_who_is_cancelled_leaves_both_or_neither(self, store: Store) -> None:
        for turns in range(12):
            outcome = sample_outcome()
            saving = asyncio.create_task(store.save([outcome], notices_of(outcome, "triaged")))
            for _ in range(turns):
                await asyncio.sleep(0)
            saving.cancel()
            with suppress(asyncio.CancelledError):
                await saving
        last = sample_outcome()
        await store.save([last], notices_of(last))  # after all that was begun
        stored = await store.list(Filters(), limit=ALL, after=None)
        assert sorted(ids(stored)) == sorted(notice.inquiry_id for notice in await kept(store))

    # Claiming

    async def test_a_notice_is_claimed_with_the_outcome_as_it_stands_now(self, store: Store) -> None:
        outcome = sample_outcome()
        (notice,) = notices_of(outcome, "triaged")
        await store.save([outcome], [notice])
        resolved = await store.resolve(ids([outcome])[0], NOON)
        assert await claim(store) == [Delivery(notice, resolved, 0, notice.created_at, NOON + CLAIM)]

    async def test_what_is_due_is_claimed_the_longest_due_first_and_nobody_else_gets_it(self, store: Store) -> None:
        outcomes = [sample_outcome() for _ in range(5)]
        late_first = [
            notice for number, each in enumerate(outcomes) for notice in notices_of(each, at=minutes(-number))
        ]
        not_yet = sample_outcome()
        await store.save([*outcomes, not_yet], [*late_first, *notices_of(not_yet, at=minutes(1))])
        expected = list(reversed(late_first))
        assert notices_in(await claim(store, limit=2)) == expected[:2]
        assert notices_in(await claim(store)) == expected[2:]
        assert await claim(store) == []

    async def test_each_notifier_has_its_own(self, store: Store) -> None:
        outcome = sample_outcome()
        chat, desk = notices_of(outcome, notifier="chat"), notices_of(outcome, notifier="desk")
        await store.save([outcome], [*chat, *desk])
        assert notices_in(await claim(store, "desk")) == desk
        assert await claim(store, "nobody") == []
        assert notices_in(await claim(store, "chat")) == chat

    async def test_of_each_inquiry_the_first_is_claimed_and_the_next_when_that_is_gone(self, store: Store) -> None:
        one, other = sample_outcome(), sample_outcome()
        (first, second), (third,) = notices_of(one, "triaged", "escalated"), notices_of(other, "triaged")
        await store.save([one, other], [first, second, third])
        (fourth,) = notices_of(one, "resolved", at=minutes(-5))  # its clock is behind: it happened after all the same
        await store.resolve(ids([one])[0], NOON, notices=[fourth])
        for expected in ([first, third], [second], [fourth], []):
            claimed = await claim(store)
            assert notices_in(claimed) == expected
            assert await claim(store) == []
            await settle(store, claimed, "delivered")
        assert await kept(store) == []

    async def test_a_claim_that_ran_out_is_anybodys(self, store: Store) -> None:
        outcome = sample_outcome()
        (notice,) = notices_of(outcome, "triaged")
        await store.save([outcome], [notice])
        (lost,) = await claim(store)
        assert await claim(store, now=NOON + CLAIM - timedelta(microseconds=1)) == []
        (found,) = await claim(store, now=NOON + CLAIM)
        assert found == replace(lost, claimed_until=NOON + 2 * CLAIM)

    async def test_of_many_who_claim_at_once_no_two_hold_one_or_two_of_one_inquiry(self, store: Store) -> None:
        await everybody_claims_notices(store, store)

    # Settling

    async def test_what_failed_is_due_again_later_and_holds_up_its_inquiry_alone(self, store: Store) -> None:
        one, other = sample_outcome(), sample_outcome()
        (first, second), (third,) = notices_of(one, "triaged", "escalated"), notices_of(other, "triaged")
        await store.save([one, other], [first, second, third])
        failing, fine = await claim(store)
        await store.settle_notices([settled(failing, "failed", minutes(5), "answered 500")])
        await settle(store, [fine], "delivered")
        (waits, behind) = await store.notices(EVERYTHING, limit=ALL)
        assert (waits.notice, waits.attempts, waits.due_at, waits.reason) == (first, 1, minutes(5), "answered 500")
        assert (waits.waiting_since, waits.claimed_until, waits.set_aside_at) == (first.created_at, None, None)
        assert (behind.notice, behind.attempts, behind.due_at) == (second, 0, minutes(5))
        assert await claim(store, now=minutes(5) - timedelta(microseconds=1)) == []
        (again,) = await claim(store, now=minutes(5))
        assert (again.notice, again.attempts) == (first, 1)
        await settle(store, [again], "delivered")
        assert notices_in(await claim(store, now=minutes(5))) == [second]

    async def test_what_is_set_aside_holds_up_nothing_and_can_be_seen(self, store: Store) -> None:
        outcome = sample_outcome()
        first, second = notices_of(outcome, "triaged", "resolved")
        await store.save([outcome], [first, second])
        (hopeless,) = await claim(store)
        await store.settle_notices([settled(hopeless, "set_aside", minutes(1), "gone")])
        assert notices_in(await claim(store)) == [second]
        (aside,) = await store.notices(NoticeFilters(set_aside=True), limit=ALL)
        assert (aside.notice, aside.attempts, aside.set_aside_at, aside.reason) == (first, 1, minutes(1), "gone")
        await store.drop_notices(NoticeFilters(set_aside=False), limit=ALL)
        assert await claim(store, now=NOON + timedelta(days=365)) == []

    async def test_what_is_returned_is_as_if_it_had_not_been_claimed(self, store: Store) -> None:
        outcome = sample_outcome()
        (notice,) = notices_of(outcome, "triaged")
        await store.save([outcome], [notice])
        (held,) = await claim(store)
        await settle(store, [held], "returned")
        assert await claim(store) == [held]

    async def test_whoever_comes_late_settles_it_unless_somebody_else_has_claimed_it_since(self, store: Store) -> None:
        one, other = sample_outcome(), sample_outcome()
        await store.save([one, other], [*notices_of(one), *notices_of(other)])
        late, very_late = await claim(store)
        (held,) = await claim(store, now=NOON + CLAIM, limit=1)
        assert held.notice == late.notice
        for result in ("failed", "set_aside", "returned", "delivered"):
            await settle(store, [late], result)
            (still, _) = await store.notices(EVERYTHING, limit=ALL)
            assert (still.claimed_until, still.attempts, still.set_aside_at) == (held.claimed_until, 0, None), result
        await settle(store, [held, very_late], "delivered")
        assert await kept(store) == []
        await settle(store, [held, late], "failed")
        assert await kept(store) == [], "what was delivered is gone"


async def everybody_claims_notices(one: Store, other: Store) -> None:
    """20 at two doors claim up to three at once, of 50 inquiries with two notices each: none is held twice or lost."""
    outcomes = [sample_outcome() for _ in range(50)]
    pairs = [notices_of(each, "triaged", "escalated") for each in outcomes]
    await one.save(outcomes, [notice for pair in pairs for notice in pair])
    claims = await asyncio.gather(*(claim((one, other)[number % 2], limit=3) for number in range(20)))
    held = [notice for claimed in claims for notice in notices_in(claimed)]
    assert all(len(claimed) <= 3 for claimed in claims)
    rest = notices_in(await claim(other))
    assert sorted(each.notice_id for each in (*held, *rest)) == sorted(first.notice_id for first, _ in pairs)


def notices_of(outcome: Outcome, *kinds: NoticeKind, notifier: str = "chat", at: datetime = NOON) -> list[Notice]:
    """For one notifier; of `triaged` where no kind is named."""
    return [
        Notice(str(uuid_utils.compat.uuid7()), notifier, kind, outcome.inquiry.inquiry_id, at)
        for kind in kinds or ("triaged",)
    ]


async def claim(store: Store, notifier: str = "chat", *, now: datetime = NOON, limit: int = ALL) -> list[Delivery]:
    return list(await store.claim_notices(notifier, now=now, until=now + CLAIM, limit=limit))


async def settle(store: Store, deliveries: Iterable[Delivery], result: str) -> None:
    await store.settle_notices([settled(each, result, NOON, "why") for each in deliveries])


async def kept(store: Store, filters: NoticeFilters = EVERYTHING) -> list[Notice]:
    return [each.notice for each in await store.notices(filters, limit=ALL)]


def notices_in(deliveries: Sequence[Delivery]) -> list[Notice]:
    return [each.notice for each in deliveries]


def ids(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.inquiry.inquiry_id for outcome in outcomes]


def settled(delivery: Delivery, result: str, at: datetime, reason: str | None) -> Settled:
    return Settled(delivery, result, at, reason)  # type: ignore[arg-type]


def minutes(count: int) -> datetime:
    return NOON + timedelta(minutes=count)


def _keyed(key: str) -> Outcome:
    return sample_outcome(sample_inquiry(idempotency_key=IdempotencyKey(key, "one")))
