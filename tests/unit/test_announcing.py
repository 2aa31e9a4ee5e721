"""What is stored makes notices for those who want to hear of it, and none for those who don't."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from inquiry_svc.announcing import AnnouncingStore
from inquiry_svc.errors import AlreadyResolved
from inquiry_svc.inquiries import Feedback, IdempotencyKey, Outcome
from inquiry_svc.notices import NoticeFilters
from inquiry_svc.testing.providers import FunctionNotifier
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome, sample_prediction
from inquiry_svc_plugins.stores.memory import MemoryStore

FEEDBACK = Feedback("sales", None, None, "Ana", NOON)


class Announced:
    """A store with three notifiers, and how often these were woken."""

    def __init__(self) -> None:
        self.inside = MemoryStore()
        self.woken = 0
        notifiers = {
            "all": FunctionNotifier(),
            "desk": FunctionNotifier(kinds=["escalated", "resolved"]),
            "deaf": FunctionNotifier(kinds=[]),
        }
        self.store = AnnouncingStore(self.inside, notifiers, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    async def told(self) -> list[tuple[str, str, str]]:
        undelivered = await self.inside.notices(NoticeFilters(), limit=100)
        return [(each.notice.notifier, each.notice.kind, each.notice.inquiry_id) for each in undelivered]


def escalated() -> Outcome:
    outcome = sample_outcome(prediction=sample_prediction(needs_review=True))
    return replace(outcome, route=replace(outcome.route, escalated=True))


async def test_each_notifier_hears_of_what_it_wants_in_the_order_in_which_it_happened() -> None:
    announced, plain, urgent = Announced(), sample_outcome(), escalated()
    before = datetime.now(UTC)
    await announced.store.save([plain, urgent])
    await announced.store.add_feedback(urgent.inquiry.inquiry_id, FEEDBACK, as_review=True)
    await announced.store.resolve(urgent.inquiry.inquiry_id, NOON)
    calm, pressing = plain.inquiry.inquiry_id, urgent.inquiry.inquiry_id
    assert await announced.told() == [
        ("all", "triaged", calm),
        ("all", "triaged", pressing),
        ("all", "escalated", pressing),
        ("desk", "escalated", pressing),
        ("all", "needs_review", pressing),
        ("all", "reviewed", pressing),
        ("all", "resolved", pressing),
        ("desk", "resolved", pressing),
    ]
    assert announced.woken == 3
    undelivered = await announced.inside.notices(NoticeFilters(), limit=100)
    assert max(Counter(each.notice.notice_id for each in undelivered).values()) == 1
    assert all(before <= each.notice.created_at <= datetime.now(UTC) for each in undelivered)


async def test_what_nobody_wants_to_hear_of_wakes_nobody() -> None:
    inside, woken = MemoryStore(), []
    store = AnnouncingStore(inside, {"desk": FunctionNotifier(kinds=["escalated"])}, lambda: woken.append(1))
    outcome = sample_outcome()
    await store.save([outcome])
    await store.add_feedback(outcome.inquiry.inquiry_id, FEEDBACK)
    await store.resolve(outcome.inquiry.inquiry_id, NOON)
    assert (await inside.notices(NoticeFilters(), limit=9), woken) == ([], [])


async def test_what_was_stored_before_is_not_told_again() -> None:
    announced = Announced()
    first, again = (sample_outcome(sample_inquiry(idempotency_key=IdempotencyKey("k", "f"))) for _ in range(2))
    await announced.store.save([first])
    assert await announced.store.save([again, first]) == [first, first]
    await announced.store.resolve(first.inquiry.inquiry_id, NOON)
    with pytest.raises(AlreadyResolved):
        await announced.store.resolve(first.inquiry.inquiry_id, NOON)
    kinds = [kind for notifier, kind, _ in await announced.told() if notifier == "all"]
    assert kinds == ["triaged", "resolved"]


async def test_all_else_goes_straight_to_the_store() -> None:
    announced = Announced()
    kept = {"save", "add_feedback", "resolve"}
    calls = {name for name in dir(MemoryStore) if not name.startswith("_")} - kept
    assert {name for name in calls if getattr(announced.store, name) != getattr(announced.inside, name)} == set()
