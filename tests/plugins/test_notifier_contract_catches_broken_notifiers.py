"""The contract suite of notifiers, tried on notifiers that are broken on purpose: each must fail it where it is broken.

`BrokenNotifiers` is the suite over all of them. It runs once, in a process in which pytest is told to collect it; here
it is not collected, as its name does not begin with `Test`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import uuid_utils.compat

import inquiry_svc.testing.notifiers
from inquiry_svc.contracts import Notifier
from inquiry_svc.errors import Unavailable, Undeliverable
from inquiry_svc.inquiries import Outcome
from inquiry_svc.notices import NOTICE_KINDS, Notice, NoticeKind
from inquiry_svc.testing.notifiers import Heard, NotifierContract, Receiver, State
from tests.plugins.suite_failures import names_of_tests, suite_failures


@dataclass(slots=True)
class Ear:
    notifier_type: type[EarNotifier]
    state: State = "well"
    taken: list[Heard] = field(default_factory=list)

    @asynccontextmanager
    async def open_notifier(self) -> AsyncIterator[Notifier]:
        yield self.notifier_type(self)

    async def heard(self) -> Sequence[Heard]:
        return list(self.taken)

    async def become(self, state: State) -> None:
        self.state = state

    async def take(self, heard: Heard) -> None:
        """Raises `OSError`."""
        if self.state == "away":
            raise ConnectionRefusedError
        while self.state == "hung":  # noqa: ASYNC110 (a server tells nobody)
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)
        self.taken.append(heard)


class EarNotifier:
    """A notifier that is whole."""

    kinds: Collection[NoticeKind] = NOTICE_KINDS

    def __init__(self, ear: Ear) -> None:
        self.ear = ear

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        await self.ear.take(Heard(notice.notice_id, notice.kind, outcome.inquiry.inquiry_id))


class WantsNothing(EarNotifier):
    kinds = ()


class WantsWhatThereIsNot(EarNotifier):
    kinds: Any = (*NOTICE_KINDS, "deleted")


class SaysSoBeforeItArrives(EarNotifier):
    def __init__(self, ear: Ear) -> None:
        super().__init__(ear)
        self.tasks = set[asyncio.Task[None]]()

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        task = asyncio.create_task(super().notify(notice, outcome))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class SwallowsFailures(EarNotifier):
    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        with suppress(OSError):
            await super().notify(notice, outcome)


class GivesUpAtOnce(EarNotifier):
    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        try:
            await super().notify(notice, outcome)
        except OSError as error:
            raise Undeliverable("away") from error


class ForgetsWhatFailed(EarNotifier):
    def __init__(self, ear: Ear) -> None:
        super().__init__(ear)
        self.tried: set[str] = set()

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        if notice.notice_id not in self.tried:
            self.tried.add(notice.notice_id)
            await super().notify(notice, outcome)


class MakesAnIdForEachAttempt(EarNotifier):
    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        await self.ear.take(Heard(str(uuid_utils.compat.uuid4()), notice.kind, outcome.inquiry.inquiry_id))


class CallsEveryKindTheSame(EarNotifier):
    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        await self.ear.take(Heard(notice.notice_id, "triaged", outcome.inquiry.inquiry_id))


class TellsTheLastFirst(EarNotifier):
    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        await super().notify(notice, outcome)
        self.ear.taken.insert(0, self.ear.taken.pop())


class TellsOneAtATime(EarNotifier):
    busy = False

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        if self.busy:
            raise Unavailable("busy")
        self.busy = True
        try:
            await super().notify(notice, outcome)
        finally:
            self.busy = False


class KnowsAsciiAlone(EarNotifier):
    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        f"{outcome.inquiry.subject}{outcome.inquiry.body}".encode("ascii")
        await super().notify(notice, outcome)


class IsLostOnceItFailed(EarNotifier):
    lost = False

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        if self.lost:
            raise Unavailable("lost")
        try:
            await super().notify(notice, outcome)
        except OSError:
            self.lost = True
            raise


class LosesAPlaceWhenCutOff(EarNotifier):
    """Of ten."""

    places = 10

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        if self.places <= 0:
            raise Unavailable("full")
        try:
            await super().notify(notice, outcome)
        except asyncio.CancelledError:
            self.places -= 1
            raise


BROKEN = {
    WantsNothing: "test_it_wants_to_hear_of_kinds_that_there_are",
    WantsWhatThereIsNot: "test_it_wants_to_hear_of_kinds_that_there_are",
    SaysSoBeforeItArrives: "test_a_notice_has_arrived_when_the_call_returns",
    CallsEveryKindTheSame: "test_a_notice_has_arrived_when_the_call_returns",
    TellsTheLastFirst: "test_notices_told_one_after_the_other_arrive_in_that_order",
    TellsOneAtATime: "test_many_told_at_once_all_arrive",
    MakesAnIdForEachAttempt: "test_what_is_told_again_is_the_same_notice_to_its_receiver",
    KnowsAsciiAlone: "test_whatever_an_inquiry_holds_can_be_told",
    GivesUpAtOnce: "test_a_receiver_that_takes_nothing_is_told_later",
    ForgetsWhatFailed: "test_a_receiver_that_takes_nothing_is_told_later",
    IsLostOnceItFailed: "test_a_receiver_that_takes_nothing_is_told_later",
    SwallowsFailures: "test_a_receiver_that_goes_meanwhile_is_noticed",
    LosesAPlaceWhenCutOff: "test_calls_that_are_cut_off_cost_no_later_one",
}
"""Each broken notifier, and the test that must fail over it."""


class BrokenNotifiers(NotifierContract):
    timeout_s = 0.1

    @pytest.fixture(autouse=True)
    def _short_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What never comes to hold is not waited for as long as a server would be."""
        monkeypatch.setattr(inquiry_svc.testing.notifiers, "_LIMIT_S", 1.0)

    @pytest.fixture(params=[EarNotifier, *BROKEN], ids=lambda notifier_type: notifier_type.__name__)
    def receiver(self, request: pytest.FixtureRequest) -> Receiver:
        return Ear(request.param)


@pytest.fixture(scope="module")
def failed() -> set[tuple[str, str]]:
    """Each failure of the suite above: the test with the broken notifier, and with what else it was tried on."""
    # Each broken notifier on the test that should notice, the whole one on all of them.
    choice = " or ".join(
        ["EarNotifier", *(f"({test} and {notifier_type.__name__})" for notifier_type, test in BROKEN.items())]
    )
    return {(test, name) for test, names in suite_failures(__file__, choice) for name in names.split("-")}


@pytest.mark.parametrize(("notifier_type", "test"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", "in"))
def test_the_suite_fails_over(failed: set[tuple[str, str]], notifier_type: type[EarNotifier], test: str) -> None:
    assert (test, notifier_type.__name__) in failed


def test_a_notifier_that_is_whole_fails_nothing(failed: set[tuple[str, str]]) -> None:
    assert [test for test, notifier in failed if notifier == EarNotifier.__name__] == []


def test_each_test_of_the_suite_fails_over_some_broken_notifier(failed: set[tuple[str, str]]) -> None:
    assert {test for test, _ in failed} == names_of_tests(NotifierContract)
