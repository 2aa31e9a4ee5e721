"""What every notifier must do, as tests to inherit. Needs pytest, pytest-asyncio and hypothesis.

    class TestMyNotifier(NotifierContract):
        @pytest.fixture
        async def receiver(self) -> Receiver:
            return MyReceiver(...)

A `Receiver` is whom the notifier tells, as a test sees it. Have it give notifiers that want every kind of notice that
yours can. Of the service there is nothing here but that it cuts a call off that takes too long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol, TypeAlias

import pytest
import uuid_utils.compat
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from inquiry_svc.contracts import Notifier
from inquiry_svc.errors import Undeliverable
from inquiry_svc.inquiries import Outcome
from inquiry_svc.notices import NOTICE_KINDS, Notice, NoticeKind
from inquiry_svc.testing.outcomes import outcomes
from inquiry_svc.testing.samples import sample_outcome

_LIMIT_S: Final = 20.0

State: TypeAlias = Literal["well", "away", "hung"]
"""Of a receiver; hung: it takes what comes and says nothing. Where it can't be, it is away."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a receiver understood of a notice."""

    notice_id: str
    kind: NoticeKind
    inquiry_id: str


class Receiver(Protocol):
    """Whom the notifier tells: it has heard nothing at first, and is there however many notifiers come and go."""

    def open_notifier(self) -> AbstractAsyncContextManager[Notifier]:
        """One that tells this receiver, such as another process would open. Raises nothing while it is away."""

    async def heard(self) -> Sequence[Heard]:
        """What has arrived, in order, and as often as it did."""

    async def become(self, state: State) -> None:
        """It is so from now on; `well` at first."""


def notice_of(outcome: Outcome, kind: NoticeKind = "escalated") -> Notice:
    """A notice about it with an id of its own."""
    return Notice(
        notice_id=str(uuid_utils.compat.uuid7()),
        notifier="given",
        kind=kind,
        inquiry_id=outcome.inquiry.inquiry_id,
        created_at=datetime.now(UTC),
    )


class NotifierContract:
    """Inherit it, and override `receiver`."""

    timeout_s = 1.0
    """A call that a hung receiver holds up for longer is cut off, as the service does after `notifiers.timeout_s`."""

    @pytest.fixture
    def receiver(self) -> Receiver:
        raise NotImplementedError("override the fixture `receiver`: it gives one that has heard nothing to each test")

    # What arrives

    async def test_it_wants_to_hear_of_kinds_that_there_are(self, receiver: Receiver) -> None:
        async with receiver.open_notifier() as notifier:
            assert set(notifier.kinds)
            assert set(notifier.kinds) <= set(NOTICE_KINDS)

    async def test_a_notice_has_arrived_when_the_call_returns(self, receiver: Receiver) -> None:
        async with receiver.open_notifier() as notifier:
            for number, kind in enumerate(_kinds(notifier)):
                outcome = sample_outcome()
                notice = notice_of(outcome, kind)
                await _tell(notifier, notice, outcome)
                heard = await receiver.heard()
                assert heard[number:] == [Heard(notice.notice_id, kind, outcome.inquiry.inquiry_id)]

    async def test_notices_told_one_after_the_other_arrive_in_that_order(self, receiver: Receiver) -> None:
        outcome, told = sample_outcome(), list[str]()
        async with receiver.open_notifier() as notifier:
            for kind in 3 * _kinds(notifier):
                notice = notice_of(outcome, kind)
                told.append(notice.notice_id)
                await _tell(notifier, notice, outcome)
        assert [each.notice_id for each in await receiver.heard()] == told

    async def test_many_told_at_once_all_arrive(self, receiver: Receiver) -> None:
        async with receiver.open_notifier() as notifier:
            told = [(notice_of(outcome, _kinds(notifier)[0]), outcome) for outcome in _outcomes(30)]
            await asyncio.gather(*(_tell(notifier, notice, outcome) for notice, outcome in told))
        assert {each.notice_id for each in await receiver.heard()} == {notice.notice_id for notice, _ in told}

    async def test_what_is_told_again_is_the_same_notice_to_its_receiver(self, receiver: Receiver) -> None:
        outcome = sample_outcome()
        notice: Notice | None = None
        for _ in range(2):
            async with receiver.open_notifier() as notifier:
                notice = notice or notice_of(outcome, _kinds(notifier)[0])
                await _tell(notifier, notice, outcome)
        assert notice
        assert {each.notice_id for each in await receiver.heard()} == {notice.notice_id}

    @given(outcome=outcomes(), number=st.integers(0, len(NOTICE_KINDS) - 1))
    @settings(
        max_examples=40,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    async def test_whatever_an_inquiry_holds_can_be_told(
        self, receiver: Receiver, outcome: Outcome, number: int
    ) -> None:
        async with receiver.open_notifier() as notifier:
            kind = _kinds(notifier)[number % len(_kinds(notifier))]
            notice = notice_of(outcome, kind)
            await _tell(notifier, notice, outcome)
        assert (await receiver.heard())[-1] == Heard(notice.notice_id, kind, outcome.inquiry.inquiry_id)

    # Failures

    @pytest.mark.parametrize("state", ["away", "hung"])
    async def test_a_receiver_that_takes_nothing_is_told_later(self, receiver: Receiver, state: State) -> None:
        outcome = sample_outcome()
        await receiver.become(state)
        async with receiver.open_notifier() as notifier:
            notice = notice_of(outcome, _kinds(notifier)[0])
            await self._is_not_told(notifier, notice, outcome)
            await receiver.become("well")
            await _tell_in_the_end(notifier, notice, outcome)
        assert {each.notice_id for each in await receiver.heard()} == {notice.notice_id}

    @pytest.mark.parametrize("state", ["away", "hung"])
    async def test_a_receiver_that_goes_meanwhile_is_noticed(self, receiver: Receiver, state: State) -> None:
        first, second = _outcomes(2)
        async with receiver.open_notifier() as notifier:
            await _tell(notifier, notice_of(first, _kinds(notifier)[0]), first)
            await receiver.become(state)
            await self._is_not_told(notifier, notice_of(second, _kinds(notifier)[0]), second)

    async def test_calls_that_are_cut_off_cost_no_later_one(self, receiver: Receiver) -> None:
        async with receiver.open_notifier() as notifier:
            await receiver.become("hung")
            told = [(notice_of(outcome, _kinds(notifier)[0]), outcome) for outcome in _outcomes(20)]
            calls = [asyncio.create_task(notifier.notify(notice, outcome)) for notice, outcome in told]
            await asyncio.wait(calls, timeout=0.1)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await receiver.become("well")
            for notice, outcome in told:
                await _tell_in_the_end(notifier, notice, outcome)
        assert {each.notice_id for each in await receiver.heard()} == {notice.notice_id for notice, _ in told}

    async def _is_not_told(self, notifier: Notifier, notice: Notice, outcome: Outcome) -> None:
        try:
            async with asyncio.timeout(self.timeout_s):
                await notifier.notify(notice, outcome)
        except Undeliverable as error:
            raise AssertionError("it gave up a receiver that will be back") from error
        except Exception:
            return
        raise AssertionError("it said that the notice was delivered, and it was not")


def _kinds(notifier: Notifier) -> list[NoticeKind]:
    return [kind for kind in NOTICE_KINDS if kind in notifier.kinds]


def _outcomes(count: int) -> list[Outcome]:
    return [sample_outcome() for _ in range(count)]


async def _tell(notifier: Notifier, notice: Notice, outcome: Outcome) -> None:
    async with asyncio.timeout(_LIMIT_S):
        await notifier.notify(notice, outcome)


async def _tell_in_the_end(notifier: Notifier, notice: Notice, outcome: Outcome) -> None:
    """Again and again. Raises what the last call did, after a while."""
    give_up_at = asyncio.get_running_loop().time() + _LIMIT_S
    while True:
        try:
            return await _tell(notifier, notice, outcome)
        except Exception:
            if asyncio.get_running_loop().time() > give_up_at:
                raise
            await asyncio.sleep(0.02)
