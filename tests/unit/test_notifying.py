"""Notifiers are told all that waits, in order, whatever they and the store do; and nobody is overrun."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from inquiry_svc.contracts import Store
from inquiry_svc.errors import StoreUnavailable, Unavailable, Undeliverable
from inquiry_svc.inquiries import Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc.notice_metrics import NOTICE_DELAY, NOTICE_DELIVERIES
from inquiry_svc.notices import Delivery, Notice, NoticeFilters, Settled
from inquiry_svc.notifying import Notifying, Pace
from inquiry_svc.settings import NotifiersSettings
from inquiry_svc.testing.notices import notices_of
from inquiry_svc.testing.providers import FunctionNotifier
from inquiry_svc.testing.samples import sample_outcome
from inquiry_svc.tracing import Attribute, Span, Tracer
from inquiry_svc_plugins.stores.memory import MemoryStore

QUICK = Pace(
    look_every_s=0.001, gather_s=0, first_again_s=0.001, last_again_s=0.01, first_rest_s=0.001, longest_rest_s=0.01
)
PATIENT = Pace(look_every_s=3600, gather_s=0, first_again_s=3600, first_rest_s=3600)
"""Whatever happens in a test with this happens because somebody woke it."""
EVERYTHING = NoticeFilters()

Notify = Callable[[Notice, Outcome], Awaitable[None]]


class Desk:
    """Notifiers at work on a store in memory."""

    def __init__(
        self,
        notifier: FunctionNotifier | None = None,
        *,
        pace: Pace = QUICK,
        finish_s: float = 20.0,
        store: Store | None = None,
        tracer: Tracer | None = None,
        **settings: Any,
    ) -> None:
        self.store = store or MemoryStore()
        self.notifier = notifier or FunctionNotifier()
        self.metrics = Metrics([NOTICE_DELIVERIES, NOTICE_DELAY])
        self.notifying = Notifying(
            {"chat": self.notifier},
            self.store,
            NotifiersSettings(**settings),
            self.metrics,
            finish_s=finish_s,
            tracer=tracer,
            pace=pace,
        )

    async def happens(self, *kinds: Any, at: datetime | None = None) -> list[Notice]:
        """To an inquiry of its own."""
        outcome = sample_outcome()
        notices = notices_of(outcome, *kinds, at=at or datetime.now(UTC))
        await self.store.save([outcome], notices)
        return notices

    async def nothing_waits(self) -> None:
        async with asyncio.timeout(20):
            while await self.store.notices(NoticeFilters(set_aside=False), limit=1):  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.001)

    def count(self, result: str) -> float:
        return self.metrics.series(NOTICE_DELIVERIES, notifier="chat", result=result).value


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)


async def test_what_waits_is_told_once_and_is_gone() -> None:
    desk = Desk()
    before = await desk.happens("triaged", "escalated")
    async with desk.notifying.running():
        after = await desk.happens()
        desk.notifying.wake()
        await desk.nothing_waits()
    assert sorted(each.notice_id for each in desk.notifier.called) == [each.notice_id for each in (*before, *after)]
    assert desk.count("delivered") == 3
    assert desk.metrics.series(NOTICE_DELAY, notifier="chat").distribution().cumulative[-1] == 3


async def test_whoever_stores_something_wakes_it_at_once() -> None:
    desk = Desk(pace=PATIENT)
    async with desk.notifying.running():
        await until(lambda: not desk.notifier.called)
        for number in range(1, 4):
            await desk.happens()
            desk.notifying.wake()
            await until(lambda number=number: len(desk.notifier.called) == number)  # type: ignore[misc]
        await desk.happens("triaged", "escalated", "needs_review")
        desk.notifying.wake()
        await until(lambda: len(desk.notifier.called) == 6)
    assert await desk.store.notices(EVERYTHING, limit=9) == []


async def test_what_another_process_stored_is_found_without_being_woken() -> None:
    desk = Desk()
    async with desk.notifying.running():
        await desk.happens()
        await desk.nothing_waits()


async def test_the_outcome_is_told_as_it_stands_now() -> None:
    told: list[Outcome] = []

    async def notify(notice: Notice, outcome: Outcome) -> None:
        told.append(outcome)

    desk = Desk(FunctionNotifier(notify))
    (notice,) = await desk.happens()
    resolved = await desk.store.resolve(notice.inquiry_id, datetime.now(UTC))
    async with desk.notifying.running():
        await desk.nothing_waits()
    assert told == [resolved]


async def test_what_fails_is_told_again_with_the_same_id_and_in_order() -> None:
    failures = {"triaged": 4, "escalated": 2, "resolved": 0}

    async def notify(notice: Notice, outcome: Outcome) -> None:
        failures[notice.kind] -= 1
        if failures[notice.kind] >= 0:
            raise ConnectionError("gone")

    desk = Desk(FunctionNotifier(notify))
    notices = await desk.happens("triaged", "escalated", "resolved")
    async with desk.notifying.running():
        await desk.nothing_waits()
    assert desk.notifier.called == [notices[0]] * 5 + [notices[1]] * 3 + [notices[2]]
    assert (desk.count("failed"), desk.count("delivered")) == (6, 3)


async def test_many_inquiries_are_told_of_at_once_but_no_more_than_may_be_and_of_one_never_two() -> None:
    now: list[str] = []
    most = 0

    async def notify(notice: Notice, outcome: Outcome) -> None:
        nonlocal most
        assert notice.inquiry_id not in now, "two of one inquiry at once"
        now.append(notice.inquiry_id)
        most = max(most, len(now))
        await asyncio.sleep(0.002)
        now.remove(notice.inquiry_id)

    desk = Desk(FunctionNotifier(notify), at_once=5)
    for _ in range(20):
        await desk.happens("triaged", "escalated")
    async with desk.notifying.running():
        await desk.nothing_waits()
    assert most == 5
    assert (desk.count("delivered"), desk.count("failed")) == (40, 0)


async def test_one_that_is_never_taken_holds_up_nobody_else() -> None:
    desk = Desk(FunctionNotifier(poisoned := Poisoned()), pace=Pace(look_every_s=0.001, gather_s=0), at_once=2)
    (poison, *_) = await desk.happens("triaged", "escalated")
    poisoned.notice_ids = {poison.notice_id}
    others = [(await desk.happens())[0].notice_id for _ in range(20)]
    async with desk.notifying.running():
        await until(lambda: desk.count("delivered") == 20)
    assert sorted(poisoned.taken) == sorted(others)
    waiting, behind = await desk.store.notices(EVERYTHING, limit=9)
    assert (waiting.attempts, waiting.reason, behind.attempts) == (1, "ValueError", 0)


async def test_nor_do_many_that_are_never_taken_once_something_got_through() -> None:
    pace = Pace(look_every_s=0.001, gather_s=0, first_rest_s=0.001, longest_rest_s=0.01)
    desk = Desk(FunctionNotifier(poisoned := Poisoned()), pace=pace, at_once=2)
    poisoned.notice_ids = {(await desk.happens())[0].notice_id for _ in range(20)}
    await desk.happens()
    async with desk.notifying.running():
        await until(lambda: desk.count("delivered") == 1)
        refused = poisoned.refused
        for number in range(2, 12):
            await desk.happens()
            await until(lambda number=number: desk.count("delivered") == number)  # type: ignore[misc]
    assert poisoned.refused - refused <= 2 * len(poisoned.notice_ids), "they were asked for again and again"


class Poisoned:
    """Takes all but these."""

    def __init__(self) -> None:
        self.notice_ids: set[str] = set()
        self.taken: list[str] = []
        self.refused = 0

    async def __call__(self, notice: Notice, outcome: Outcome) -> None:
        if notice.notice_id in self.notice_ids:
            self.refused += 1
            raise ValueError("it quotes the inquiry")
        self.taken.append(notice.notice_id)


async def test_what_can_never_be_delivered_is_set_aside_at_once_with_the_reason() -> None:
    async def notify(notice: Notice, outcome: Outcome) -> None:
        if notice.kind == "triaged":
            raise Undeliverable("the receiver said 410:\nit is\0gone")

    desk = Desk(FunctionNotifier(notify))
    first, second = await desk.happens("triaged", "resolved")
    async with desk.notifying.running():
        await desk.nothing_waits()
    (aside,) = await desk.store.notices(EVERYTHING, limit=9)
    assert (aside.notice, aside.reason) == (first, "the receiver said 410: it is gone")
    assert desk.notifier.called == [first, second], "it holds up what comes after it"
    assert (desk.count("set_aside"), desk.count("failed"), desk.count("delivered")) == (1, 0, 1)


async def test_what_fails_for_too_long_is_set_aside_and_can_be_told_again() -> None:
    is_down = True

    async def notify(notice: Notice, outcome: Outcome) -> None:
        if is_down:
            raise Unavailable("it answered 500")

    desk = Desk(FunctionNotifier(notify), give_up_after_s=3600)
    (old,) = await desk.happens(at=datetime.now(UTC) - timedelta(hours=2))
    (new,) = await desk.happens()
    async with desk.notifying.running():
        await until(lambda: desk.count("set_aside") == 1 and desk.count("failed") >= 2)
        (aside,) = await desk.store.notices(NoticeFilters(set_aside=True), limit=9)
        assert (aside.notice, aside.attempts, aside.reason) == (old, 1, "it answered 500")
        is_down = False
        await desk.store.retry_notices(NoticeFilters(set_aside=True), now=datetime.now(UTC), limit=9)
        await desk.nothing_waits()
    assert await desk.store.notices(EVERYTHING, limit=9) == []
    assert {old, new} == set(desk.notifier.called)


async def test_a_receiver_that_is_down_is_asked_seldom_and_with_one_at_a_time() -> None:
    now, most = 0, 0
    is_down = True

    async def notify(notice: Notice, outcome: Outcome) -> None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0)
        now -= 1
        if is_down:
            raise ConnectionError("gone")

    pace = Pace(look_every_s=0.001, gather_s=0, first_rest_s=0.05, longest_rest_s=0.05)
    desk = Desk(FunctionNotifier(notify), pace=pace, at_once=8)
    for _ in range(50):
        await desk.happens()
    async with desk.notifying.running():
        await until(lambda: desk.count("failed") >= 8)
        most, began, so_far = 0, time.monotonic(), len(desk.notifier.called)
        await until(lambda: len(desk.notifier.called) >= so_far + 10)
        assert most == 1
        assert time.monotonic() - began > 9 * 0.75 * 0.05, "it rests between two attempts"
        is_down = False
        await until(lambda: desk.count("delivered") >= 30)
        assert most == 8, "it goes on as before once something gets through"


async def test_of_what_failed_while_nothing_got_through_none_waits_for_long() -> None:
    """An hour of outage is no fault of the notices that were tried meanwhile."""
    attempts = 0

    async def notify(notice: Notice, outcome: Outcome) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 20:
            raise ConnectionError("gone")

    pace = Pace(
        look_every_s=0.001, gather_s=0, first_again_s=0.001, last_again_s=3600, first_rest_s=0.001, longest_rest_s=0.001
    )
    desk = Desk(FunctionNotifier(notify), pace=pace, at_once=1)
    await desk.happens()  # alone it has all attempts, and would wait for 0.001 s * 2 ** 19
    async with desk.notifying.running():
        await desk.nothing_waits()
    assert attempts == 21


async def test_a_receiver_that_asks_for_time_gets_it() -> None:
    async def notify(notice: Notice, outcome: Outcome) -> None:
        raise Unavailable("it answered 429", retry_after_s=120)

    desk = Desk(FunctionNotifier(notify), pace=Pace(look_every_s=0.001, gather_s=0))
    await desk.happens()
    async with desk.notifying.running():
        await until(lambda: desk.count("failed") == 1)
    (waiting,) = await desk.store.notices(EVERYTHING, limit=9)
    assert timedelta(seconds=110) < waiting.due_at - datetime.now(UTC) <= timedelta(seconds=120)


async def test_the_pause_after_a_failure_doubles_up_to_its_bound() -> None:
    async def notify(notice: Notice, outcome: Outcome) -> None:
        raise ConnectionError("gone")

    for attempts, expected_s in ((0, 5), (1, 10), (5, 160), (10, 3600), (1000, 3600)):
        desk = Desk(FunctionNotifier(notify), pace=Pace(), store=Stubborn(attempts))
        await desk.happens()
        async with desk.notifying.running():
            await until(lambda desk=desk: bool(desk.store.settled))  # type: ignore[misc]
        (settled,) = desk.store.settled  # type: ignore[attr-defined]
        again_in_s = (settled.at - datetime.now(UTC)).total_seconds()
        assert 0.5 * expected_s < again_in_s <= 1.25 * expected_s, attempts


class Stubborn(MemoryStore):
    """Its notices have failed before."""

    def __init__(self, attempts: int) -> None:
        super().__init__()
        self._attempts = attempts
        self.settled: list[Settled] = []

    async def claim_notices(self, notifier: str, **values: Any) -> Sequence[Delivery]:
        return [replace(each, attempts=self._attempts) for each in await super().claim_notices(notifier, **values)]

    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        self.settled += settled


async def test_a_notifier_that_does_not_answer_is_not_waited_for() -> None:
    async def notify(notice: Notice, outcome: Outcome) -> None:
        await asyncio.sleep(3600)

    desk = Desk(FunctionNotifier(notify), timeout_s=0.01, at_once=1)
    await desk.happens()
    async with desk.notifying.running():
        await until(lambda: desk.count("failed") >= 3)
    (waiting,) = await desk.store.notices(EVERYTHING, limit=9)
    assert waiting.reason == "no answer in time"


async def test_a_notifier_that_cancels_itself_has_failed() -> None:
    async def notify(notice: Notice, outcome: Outcome) -> None:
        raise asyncio.CancelledError

    desk = Desk(FunctionNotifier(notify))
    await desk.happens()
    async with desk.notifying.running():
        await until(lambda: desk.count("failed") >= 3)


@pytest.mark.parametrize("call", ["claim_notices", "settle_notices"])
async def test_a_store_that_is_away_is_waited_for(call: str) -> None:
    away = Away(call)
    desk = Desk(store=away)
    async with desk.notifying.running():
        await desk.happens()
        await until(lambda: away.asked > 3)
        assert len(desk.notifier.called) <= 1, "it is told again and again meanwhile"
        away.is_away = False
        await desk.nothing_waits()
    assert len(desk.notifier.called) == 1


class Away(MemoryStore):
    """Does not answer one kind of call."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self._call = call
        self.is_away = True
        self.asked = 0

    async def claim_notices(self, notifier: str, **values: Any) -> Sequence[Delivery]:
        self._answer("claim_notices")
        return await super().claim_notices(notifier, **values)

    async def settle_notices(self, settled: Sequence[Settled]) -> None:
        self._answer("settle_notices")
        await super().settle_notices(settled)

    def _answer(self, call: str) -> None:
        if self.is_away and call == self._call:
            self.asked += 1
            raise StoreUnavailable("away")


async def test_each_attempt_is_a_span_that_says_how_it_ended() -> None:
    async def notify(notice: Notice, outcome: Outcome) -> None:
        if desk.count("failed") == 0:
            raise ConnectionError("it quotes the inquiry")

    spans = Spans()
    desk = Desk(FunctionNotifier(notify), tracer=spans)
    (notice,) = await desk.happens()
    async with desk.notifying.running():
        await desk.nothing_waits()
    attributes = {
        "inquiry_svc.provider": "chat",
        "inquiry_svc.notice.id": notice.notice_id,
        "inquiry_svc.notice.kind": "triaged",
    }
    assert [(each.name, each.attributes, each.failure) for each in spans.begun] == [
        ("notify chat", {**attributes, "inquiry_svc.notice.attempts": 0}, "ConnectionError"),
        ("notify chat", {**attributes, "inquiry_svc.notice.attempts": 1}, None),
    ]


@dataclass
class GivenSpan:
    name: str
    attributes: Mapping[str, Attribute]
    failure: str | None = None
    trace_id: str = "1" * 32
    span_id: str = "1" * 16
    is_recorded: bool = True

    def set(self, name: str, value: Attribute) -> None:
        """Nothing is set."""

    def link(self, other: Span) -> None:
        """Nothing is linked."""

    def fail(self, error_type: str) -> None:
        self.failure = error_type


class Spans:
    """A tracer that keeps them."""

    def __init__(self) -> None:
        self.begun: list[GivenSpan] = []

    @contextmanager
    def span(self, name: str, kind: str, attributes: Mapping[str, Attribute], **_: Any) -> Iterator[Span]:
        self.begun.append(GivenSpan(name, attributes))
        yield self.begun[-1]


async def test_the_stop_lets_what_is_being_told_end_and_claims_nothing_more() -> None:
    slow = Slow()
    desk = Desk(FunctionNotifier(slow), at_once=1)
    await desk.happens("triaged", "escalated")
    async with stopped_when_begun(desk, slow):
        slow.may_end.set()
    assert desk.count("delivered") == 1
    (left,) = await desk.store.notices(EVERYTHING, limit=9)
    assert (left.notice.kind, left.claimed_until) == ("escalated", None)


async def test_the_stop_gives_back_what_does_not_end_in_time() -> None:
    slow = Slow()
    desk = Desk(FunctionNotifier(slow), finish_s=0.01)
    await desk.happens()
    async with stopped_when_begun(desk, slow):
        pass
    (left,) = await desk.store.notices(EVERYTHING, limit=9)
    assert (left.attempts, left.claimed_until, left.reason) == (0, None, None)
    assert left.due_at <= datetime.now(UTC), "another process may tell it at once"
    assert desk.count("failed") == 0


class Slow:
    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, notice: Notice, outcome: Outcome) -> None:
        self.begun.set()
        await self.may_end.wait()


@asynccontextmanager
async def stopped_when_begun(desk: Desk, slow: Slow) -> AsyncIterator[None]:
    async with asyncio.timeout(20), desk.notifying.running():
        await slow.begun.wait()
        desk.notifying.stop()
        yield


async def test_what_is_claimed_while_it_stops_is_given_back() -> None:
    store = Hesitant()
    desk = Desk(store=store)
    await desk.happens()
    async with asyncio.timeout(20), desk.notifying.running():
        await store.asked.wait()
        desk.notifying.stop()
        store.may_answer.set()
    assert desk.notifier.called == []
    (left,) = await desk.store.notices(EVERYTHING, limit=9)
    assert left.claimed_until is None


class Hesitant(MemoryStore):
    """Claims, and answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def claim_notices(self, notifier: str, **values: Any) -> Sequence[Delivery]:
        claimed = await super().claim_notices(notifier, **values)
        self.asked.set()
        await self.may_answer.wait()
        return claimed
