"""What every store must do, as tests to inherit. Needs pytest, pytest-asyncio and Hypothesis.

    class TestMyStore(DurableStoreContract):
        @pytest.fixture
        def open_store(self, tmp_path: Path) -> OpenStore:
            return lambda: open_my_store(MySettings(path=tmp_path / "inquiries"))

A store that forgets at exit inherits `StoreContract` and overrides the fixture `store`, which gives an empty store to
each test. Random input prints its seed: `pytest` shows it with a failure.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inquiry_svc.contracts import Filters, Position, Store
from inquiry_svc.errors import AlreadyResolved, InquiryNotFound, StoreUnavailable
from inquiry_svc.inquiries import Feedback, IdempotencyKey, Outcome
from inquiry_svc.testing.erasing import ErasingContract, of_many_who_erase_one_at_once_one_is_given_it, stored
from inquiry_svc.testing.notices import NoticeContract, everybody_claims_notices, kept, notices_of
from inquiry_svc.testing.outcomes import count, each_filter, outcomes, passes, random_outcomes
from inquiry_svc.testing.reviews import (
    ReviewQueueContract,
    everybody_claims_something_of_their_own,
    one_of_many_decides,
)
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome, sample_prediction
from inquiry_svc.testing.undelivered import UndeliveredContract

OpenStore: TypeAlias = Callable[[], AbstractAsyncContextManager[Store]]

_FEEDBACK: Final = Feedback("sales", None, "high", "Ana", NOON + timedelta(hours=1))
_ALL: Final = 1000
"""A limit that no test reaches."""


class StoreContract(ReviewQueueContract, NoticeContract, UndeliveredContract, ErasingContract):
    """Inherit it, and override `store`."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("override the fixture `store`: it gives an empty store to each test")

    # Saving

    async def test_what_was_saved_comes_back_equal(self, store: Store) -> None:
        outcomes = [sample_outcome() for _ in range(5)]
        assert list(await store.save(outcomes)) == outcomes
        assert [await store.get(outcome.inquiry.inquiry_id) for outcome in outcomes] == outcomes

    @given(batch=st.lists(outcomes(), max_size=3))
    @settings(
        max_examples=50,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    async def test_any_outcome_comes_back_to_the_last_bit(self, store: Store, batch: Sequence[Outcome]) -> None:
        await store.save(batch)
        for outcome in batch:
            found = await store.get(outcome.inquiry.inquiry_id)
            assert found == outcome
            assert repr(found) == repr(outcome), f"{found!r} equals but is not {outcome!r}"

    async def test_saving_nothing_is_allowed(self, store: Store) -> None:
        assert list(await store.save([])) == []

    async def test_an_id_that_was_never_saved_gives_none(self, store: Store) -> None:
        assert await store.get(sample_inquiry().inquiry_id) is None
        assert await store.get("no uuid") is None

    async def test_a_batch_is_answered_in_its_own_order(self, store: Store) -> None:
        batch = [sample_outcome() for _ in range(8)]
        await store.save(batch[4:5])
        mixed = list(reversed(batch))
        assert list(await store.save(mixed)) == mixed

    async def test_one_row_that_cannot_be_written_fails_its_whole_batch(self, store: Store) -> None:
        poison = sample_outcome(sample_inquiry(metadata={"x": object()}))
        batch = [sample_outcome(), sample_outcome(), poison, sample_outcome()]
        with pytest.raises(Exception) as failure:  # noqa: PT011 (any error but one)
            await store.save(batch)
        assert not isinstance(failure.value, StoreUnavailable), "StoreUnavailable would stop the search for the bad row"
        assert await stored(store) == []
        rest = [outcome for outcome in batch if outcome is not poison]
        assert list(await store.save(rest)) == rest

    async def test_a_store_goes_on_after_a_caller_was_cancelled(self, store: Store) -> None:
        batch = [sample_outcome() for _ in range(20)]
        saving = asyncio.create_task(store.save(batch))
        await asyncio.sleep(0)
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving
        after = sample_outcome()
        assert list(await store.save([after])) == [after]
        assert await store.get(after.inquiry.inquiry_id) == after
        kept = [await store.get(outcome.inquiry.inquiry_id) for outcome in batch]
        assert kept in (batch, [None] * len(batch)), "half of a batch was kept"

    # Saving twice

    async def test_saving_an_outcome_twice_changes_nothing(self, store: Store) -> None:
        first = sample_outcome()
        again = replace(first, processed_at=NOON + timedelta(hours=3))
        await store.save([first])
        assert list(await store.save([again, again])) == [first, first]
        assert await stored(store) == [first]
        assert (await store.stats(since=NOON, now=NOON)).total_inquiries == 1

    async def test_a_key_stored_before_gives_the_earlier_outcome_as_it_stands_now(self, store: Store) -> None:
        first, second, other = _keyed("k-1", "one"), _keyed("k-1", "two"), _keyed("k-2", "one")
        await store.save([first])
        resolved = await store.resolve(first.inquiry.inquiry_id, NOON + timedelta(hours=1))
        assert list(await store.save([other, second])) == [other, resolved]
        assert await store.get(second.inquiry.inquiry_id) is None
        assert await store.get(first.inquiry.inquiry_id) == resolved

    async def test_of_two_outcomes_of_one_batch_with_one_key_the_first_is_stored(self, store: Store) -> None:
        first, second, plain = _keyed("k-1", "one"), _keyed("k-1", "two"), sample_outcome()
        assert list(await store.save([first, plain, second])) == [first, plain, first]
        assert await _ids(store) == {first.inquiry.inquiry_id, plain.inquiry.inquiry_id}

    async def test_concurrent_saves_of_one_key_store_one_outcome_and_all_are_told_it(self, store: Store) -> None:
        rivals = [_keyed("k-1", str(number)) for number in range(30)]
        answers = await asyncio.gather(*(store.save([rival]) for rival in rivals))
        assert len({answer[0].inquiry.inquiry_id for answer in answers}) == 1
        assert await stored(store) == [answers[0][0]]

    # Listing

    async def test_the_list_is_newest_first_and_the_larger_id_first_among_equals(self, store: Store) -> None:
        seed, outcomes = random_outcomes()
        await store.save(outcomes)
        assert await stored(store) == sorted(outcomes, key=_place, reverse=True), f"seed {seed}"

    async def test_pages_have_no_gaps_and_no_repeats_while_new_inquiries_arrive(self, store: Store) -> None:
        seed, outcomes = random_outcomes()
        await store.save(outcomes)
        paged: list[Outcome] = []
        after: Position | None = None
        while page := await store.list(Filters(), limit=7, after=after):
            assert len(page) <= 7
            paged += page
            after = Position(page[-1].inquiry.received_at, page[-1].inquiry.inquiry_id)
            newer = page[0].inquiry.received_at + timedelta(days=300)
            await store.save([sample_outcome(sample_inquiry(received_at=newer))])
        assert paged == sorted(outcomes, key=_place, reverse=True), f"seed {seed}"

    async def test_each_filter_and_any_mixture_of_them_lets_pass_what_it_says(self, store: Store) -> None:
        seed, outcomes = random_outcomes()
        await store.save(outcomes)
        for filters in each_filter(random.Random(seed)):
            expected = sorted((each for each in outcomes if passes(each, filters)), key=_place, reverse=True)
            found = list(await store.list(filters, limit=_ALL, after=None))
            assert found == expected, f"seed {seed}, {filters}"
            if len(expected) > 3:
                after = Position(expected[1].inquiry.received_at, expected[1].inquiry.inquiry_id)
                assert list(await store.list(filters, limit=2, after=after)) == expected[2:4], f"seed {seed}, {filters}"

    # What people do with an inquiry

    async def test_feedback_is_kept_and_clears_the_need_for_review(self, store: Store) -> None:
        outcome = sample_outcome(prediction=sample_prediction(needs_review=True))
        inquiry_id = outcome.inquiry.inquiry_id
        await store.save([outcome, sample_outcome(prediction=sample_prediction(needs_review=True))])
        reviewed = replace(outcome, prediction=sample_prediction(needs_review=False), feedback=_FEEDBACK)
        assert await store.add_feedback(inquiry_id, _FEEDBACK) == reviewed
        assert await store.get(inquiry_id) == reviewed
        assert inquiry_id not in {
            each.inquiry.inquiry_id for each in await store.list(Filters(needs_review=True), limit=9, after=None)
        }
        assert (await store.stats(since=NOON, now=NOON)).needs_review_inquiries == 1

    async def test_the_last_feedback_given_is_the_one_that_counts(self, store: Store) -> None:
        outcome = sample_outcome()
        await store.save([outcome])
        second = replace(_FEEDBACK, category="legal", given_at=_FEEDBACK.given_at - timedelta(days=1))
        for feedback in (_FEEDBACK, second):
            assert (await store.add_feedback(outcome.inquiry.inquiry_id, feedback)).feedback == feedback
        assert [each.feedback for each in await stored(store)] == [second]

    async def test_an_inquiry_is_resolved_once(self, store: Store) -> None:
        outcome, at = sample_outcome(), NOON + timedelta(hours=2, microseconds=1)
        inquiry_id = outcome.inquiry.inquiry_id
        await store.save([outcome, sample_outcome()])
        assert await store.resolve(inquiry_id, at) == replace(outcome, resolved_at=at)
        with pytest.raises(AlreadyResolved):
            await store.resolve(inquiry_id, at + timedelta(hours=1))
        assert await store.get(inquiry_id) == replace(outcome, resolved_at=at)

    async def test_an_unknown_inquiry_can_be_neither_reviewed_nor_resolved(self, store: Store) -> None:
        known, unknown = sample_outcome(), sample_inquiry().inquiry_id
        await store.save([known])
        with pytest.raises(InquiryNotFound):
            await store.add_feedback(unknown, _FEEDBACK)
        with pytest.raises(InquiryNotFound):
            await store.resolve(unknown, NOON)
        assert await stored(store) == [known]

    # Counting

    async def test_an_empty_store_counts_zeros_and_gives_no_rates(self, store: Store) -> None:
        assert await store.stats(since=NOON, now=NOON) == count([], since=NOON, now=NOON)

    async def test_stats_count_what_a_plain_count_counts(self, store: Store) -> None:
        seed, outcomes = random_outcomes()
        await store.save(outcomes)
        for since, now in (
            (NOON - timedelta(days=400), NOON + timedelta(hours=2)),
            (outcomes[0].inquiry.received_at, NOON),
            (NOON, outcomes[0].route.sla_due_at),
            (NOON + timedelta(days=400), NOON),
        ):
            found, expected = await store.stats(since=since, now=now), count(outcomes, since=since, now=now)
            average = expected.average_priority_score
            if average is not None:
                assert found.average_priority_score == pytest.approx(average), f"seed {seed}"
            assert dataclasses.replace(found, average_priority_score=average) == expected, f"seed {seed}"

    async def test_unresolved_inquiries_are_counted_for_each_consultant(self, store: Store) -> None:
        seed, outcomes = random_outcomes()
        await store.save(outcomes)
        await store.save(outcomes[:20])
        expected = Counter(each.route.consultant for each in outcomes if each.resolved_at is None)
        for outcome in outcomes:
            if outcome.resolved_at is None and outcome.route.escalated:
                await store.resolve(outcome.inquiry.inquiry_id, NOON)
                expected[outcome.route.consultant] -= 1
        del expected[None]
        assert +Counter(await store.open_inquiries()) == +expected, f"seed {seed}"

    async def test_a_pool_has_no_more_connections_than_it_may_and_none_works_when_nobody_asks(
        self, store: Store
    ) -> None:
        asking = [asyncio.create_task(store.list(Filters(), limit=9, after=None)) for _ in range(50)]
        while not all(task.done() for task in asking):
            for pool in store.pools().values():
                assert pool.idle >= 0 <= pool.active
                assert pool.idle + pool.active <= pool.maximum
            await asyncio.sleep(0)
        await asyncio.gather(*asking)
        async with asyncio.timeout(30):
            while any(pool.active for pool in store.pools().values()):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.001)

    async def test_a_store_that_works_passes_its_own_check(self, store: Store) -> None:
        await store.check()
        assert await stored(store) == []


class DurableStoreContract(StoreContract):
    """For a store that outlives its process: override `open_store`."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError("override the fixture `open_store`: each call opens the same place, empty at first")

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> AsyncIterator[Store]:
        async with open_store() as store:
            yield store

    async def test_all_is_there_after_closing_and_opening_again(self, open_store: OpenStore) -> None:
        first, second = _keyed("k-1", "one"), _keyed("k-1", "two")
        notices = notices_of(first, "triaged", "escalated")
        async with open_store() as store:
            await store.save([first], notices)
            await store.resolve(first.inquiry.inquiry_id, NOON)
            expected = await store.add_feedback(first.inquiry.inquiry_id, _FEEDBACK)
        async with open_store() as store:
            assert await stored(store) == [expected]
            assert list(await store.save([second])) == [expected]
            assert await kept(store) == notices

    async def test_closing_waits_for_what_is_being_saved(self, open_store: OpenStore) -> None:
        batch = [sample_outcome() for _ in range(50)]
        async with open_store() as store:
            saving = asyncio.create_task(store.save(batch))
            await asyncio.sleep(0)
        assert list(await saving) == batch
        async with open_store() as store:
            assert await _ids(store) == {outcome.inquiry.inquiry_id for outcome in batch}

    async def test_two_processes_on_one_place_see_each_others_outcomes_and_keys(self, open_store: OpenStore) -> None:
        first, second = _keyed("k-1", "one"), _keyed("k-1", "two")
        async with open_store() as one, open_store() as other:
            await one.save([first])
            assert await other.get(first.inquiry.inquiry_id) == first
            assert list(await other.save([second])) == [first]
            many = [[sample_outcome() for _ in range(4)] for _ in range(20)]
            await asyncio.gather(*((one, other)[turn % 2].save(batch) for turn, batch in enumerate(many)))
            assert len(await stored(one)) == 81

    async def test_two_processes_on_one_place_give_no_review_or_notice_to_two(self, open_store: OpenStore) -> None:
        async with open_store() as one, open_store() as other:
            await everybody_claims_something_of_their_own(one, other)
            await everybody_claims_notices(one, other)

    async def test_of_many_who_decide_at_once_in_two_processes_one_does(self, open_store: OpenStore) -> None:
        async with open_store() as one, open_store() as other:
            await one_of_many_decides(one, other)

    async def test_what_one_of_two_processes_erases_is_erased_for_both(self, open_store: OpenStore) -> None:
        async with open_store() as one, open_store() as other:
            await of_many_who_erase_one_at_once_one_is_given_it(one, other)


async def _ids(store: Store) -> set[str]:
    return {outcome.inquiry.inquiry_id for outcome in await stored(store)}


def _keyed(key: str, fingerprint: str) -> Outcome:
    return sample_outcome(sample_inquiry(idempotency_key=IdempotencyKey(key, fingerprint)))


def _place(outcome: Outcome) -> tuple[datetime, str]:
    return outcome.inquiry.received_at, outcome.inquiry.inquiry_id
