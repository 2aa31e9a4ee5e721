"""What every store must do with what was not delivered, as tests that `StoreContract` inherits."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from inquiry_svc.contracts import Store
from inquiry_svc.notices import Delivery, Notice, NoticeFilters, Outbox, Settled
from inquiry_svc.testing.notices import (
    ALL,
    CLAIM,
    EVERYTHING,
    claim,
    kept,
    minutes,
    notices_in,
    notices_of,
    settle,
    settled,
)
from inquiry_svc.testing.samples import NOON, sample_outcome


class UndeliveredContract:
    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("override the fixture `store`: it gives an empty store to each test")

    # What a person does with them

    async def test_what_is_set_aside_waits_anew_when_it_is_told_again(self, store: Store) -> None:
        outcome, later = sample_outcome(), NOON + timedelta(days=4)
        first, second = notices_of(outcome, "triaged", "resolved")
        await store.save([outcome], [first, second])
        await store.settle_notices([settled((await claim(store))[0], "set_aside", NOON, "gone")])
        assert await store.retry_notices(NoticeFilters(set_aside=True), now=later, limit=ALL) == 1
        assert await store.retry_notices(NoticeFilters(set_aside=True), now=later, limit=ALL) == 0
        (again,) = await claim(store, now=later)
        assert (again.notice, again.attempts, again.waiting_since) == (first, 0, later), "it comes first again"

    async def test_what_waits_for_another_attempt_can_be_told_now(self, store: Store) -> None:
        outcome = sample_outcome()
        first, second = notices_of(outcome, "triaged", "resolved")
        await store.save([outcome], [first, second])
        await store.settle_notices([settled((await claim(store))[0], "failed", minutes(50), "answered 500")])
        assert await store.retry_notices(NoticeFilters(notifier="chat"), now=minutes(1), limit=ALL) == 2
        assert await store.retry_notices(NoticeFilters(notifier="chat"), now=minutes(1), limit=ALL) == 0
        (again,) = await claim(store, now=minutes(1))
        assert (again.notice, again.attempts, again.waiting_since) == (first, 1, first.created_at)

    async def test_what_is_told_again_waits_for_what_is_being_told_of_its_inquiry(self, store: Store) -> None:
        outcome = sample_outcome()
        first, second = notices_of(outcome, "triaged", "resolved")
        await store.save([outcome], [first, second])
        await store.settle_notices([settled((await claim(store))[0], "set_aside", NOON, "gone")])
        (being_told,) = await claim(store)
        assert being_told.notice == second
        await store.retry_notices(EVERYTHING, now=NOON, limit=ALL)
        assert await claim(store) == []
        await settle(store, [being_told], "delivered")
        assert notices_in(await claim(store)) == [first]

    async def test_what_is_dropped_is_never_told(self, store: Store) -> None:
        outcome = sample_outcome()
        first, second, third = notices_of(outcome, "triaged", "escalated", "resolved")
        await store.save([outcome], [first, second, third])
        (held,) = await claim(store)
        assert await store.drop_notices(NoticeFilters(notice_ids=[first.notice_id, second.notice_id]), limit=ALL) == 2
        await settle(store, [held], "failed")
        assert await kept(store) == [third]
        assert notices_in(await claim(store)) == [third]

    async def test_filters_and_limits_choose_what_they_say(self, store: Store) -> None:
        outcomes = [sample_outcome() for _ in range(6)]
        chat = [notice for each in outcomes for notice in notices_of(each, notifier="chat")]
        desk = [notice for each in outcomes for notice in notices_of(each, notifier="desk")]
        await store.save(outcomes, [*chat, *desk])
        aside = await claim(store, "chat", limit=3)
        await settle(store, aside, "set_aside")
        expected = {
            EVERYTHING: [*chat, *desk],
            NoticeFilters(notifier="chat"): chat,
            NoticeFilters(set_aside=True): chat[:3],
            NoticeFilters(set_aside=False): [*chat[3:], *desk],
            NoticeFilters(notifier="desk", set_aside=True): [],
            NoticeFilters(notice_ids=(chat[5].notice_id, desk[0].notice_id, "no uuid")): [chat[5], desk[0]],
            NoticeFilters(notifier="desk", notice_ids=(chat[5].notice_id, desk[0].notice_id)): [desk[0]],
            NoticeFilters(notice_ids=()): [],
        }
        for filters, notices in expected.items():
            assert await kept(store, filters) == notices, filters
            assert [each.notice for each in await store.notices(filters, limit=2)] == notices[:2]
        assert await store.retry_notices(NoticeFilters(set_aside=True), now=NOON, limit=2) == 2
        assert await kept(store, NoticeFilters(set_aside=True)) == chat[2:3]
        assert await store.drop_notices(NoticeFilters(notifier="desk"), limit=4) == 4
        assert await kept(store) == [*chat, *desk[4:]]
        assert await store.drop_notices(EVERYTHING, limit=ALL) == 8

    async def test_the_outbox_in_numbers_is_what_a_plain_count_finds(self, store: Store) -> None:
        assert await store.outbox("chat") == Outbox(0, None, 0)
        outcomes = [sample_outcome() for _ in range(5)]
        notices = [
            notice for number, each in enumerate(outcomes) for notice in notices_of(each, at=minutes(number - 9))
        ]
        await store.save(outcomes, [*notices, *notices_of(outcomes[0], notifier="desk", at=minutes(-99))])
        assert await store.outbox("chat") == Outbox(5, minutes(-9), 0)
        claimed = await claim(store, limit=2)
        assert await store.outbox("chat") == Outbox(5, minutes(-9), 0), "what is being told is not told yet"
        await store.settle_notices(
            [
                settled(claimed[0], "set_aside", NOON, "gone"),
                settled(claimed[1], "failed", minutes(5), "answered 500"),
            ]
        )
        assert await store.outbox("chat") == Outbox(4, minutes(-8), 1)
        await store.retry_notices(NoticeFilters(set_aside=True), now=NOON, limit=ALL)
        assert await store.outbox("chat") == Outbox(5, minutes(-8), 0)

    async def test_whatever_happens_all_is_told_in_order_and_never_two_of_one_inquiry_at_once(
        self, store: Store
    ) -> None:
        seed = random.randrange(2**32)
        print(f"notices of seed {seed}")  # noqa: T201 (pytest shows it with a failure)
        await anything_happens(store, random.Random(seed))


async def anything_happens(store: Store, rng: random.Random) -> None:
    """Three processes tell for a while, with failures, claims that run out, and answers that come too late."""
    outcomes = [sample_outcome() for _ in range(8)]
    expected = {outcome.inquiry.inquiry_id: notices_of(outcome, "triaged", "escalated") for outcome in outcomes}
    await store.save(outcomes, [notice for notices in expected.values() for notice in notices])
    unresolved = list(outcomes)
    now = NOON
    held: list[Delivery] = []
    told: dict[str, list[Notice]] = {inquiry_id: [] for inquiry_id in expected}
    out_of_turn: set[str] = set()
    """Of which one was set aside, and so told after others."""
    turns = 0
    while held or unresolved or await store.notices(EVERYTHING, limit=1):
        turns += 1
        assert turns < 5000, "some are never told"
        now += timedelta(seconds=rng.randrange(20))
        if unresolved and rng.random() < 0.2:
            outcome = unresolved.pop()
            notices = notices_of(outcome, "resolved", at=now)
            expected[outcome.inquiry.inquiry_id] += notices
            await store.resolve(outcome.inquiry.inquiry_id, now, notices=notices)
        claimed = await store.claim_notices("chat", now=now, until=now + CLAIM, limit=rng.randrange(4))
        held += claimed
        running = [each.notice.inquiry_id for each in held if each.claimed_until > now]
        assert len(running) == len(set(running)), "two of one inquiry are told at once"
        for delivery in rng.sample(held, rng.randrange(len(held) + 1)):
            held.remove(delivery)
            result = rng.choice(["delivered", "delivered", "failed", "returned", "set_aside", "lost"])
            if result == "delivered":
                told[delivery.notice.inquiry_id].append(delivery.notice)
            if result == "set_aside":
                out_of_turn.add(delivery.notice.inquiry_id)
            if result != "lost":
                at = now + timedelta(seconds=rng.randrange(60)) if result == "failed" else now
                await store.settle_notices([Settled(delivery, result, at, "why")])  # type: ignore[arg-type]
        if rng.random() < 0.2:
            await store.retry_notices(NoticeFilters(set_aside=rng.choice([True, None])), now=now, limit=ALL)
    for inquiry_id, notices in expected.items():
        in_order = list(dict.fromkeys(each.notice_id for each in told[inquiry_id]))
        wanted = [each.notice_id for each in notices]
        assert sorted(in_order) == sorted(wanted)
        assert in_order == wanted or inquiry_id in out_of_turn
