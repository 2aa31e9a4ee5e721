"""The contract suite of sources, tried on sources that are broken on purpose: each must fail it where it is broken.

`BrokenSources` is the suite over all of them. It runs once, in a process in which pytest is told to collect it; here it
is not collected, as its name does not begin with `Test`.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

import pytest

import inquiry_svc.testing.sources
from inquiry_svc.contracts import Source, Submit
from inquiry_svc.errors import InquiryServiceError, Overloaded, Unavailable
from inquiry_svc.inquiries import Outcome
from inquiry_svc.testing.sources import Place, SourceContract


@dataclass(slots=True)
class Queue:
    """Messages by number: free, or taken by a source until it is closed."""

    source_type: type[QueueSource]
    free: dict[int, bytes] = field(default_factory=dict)
    taken: dict[int, bytes] = field(default_factory=dict)
    aside: list[bytes] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    async def put(self, bodies: Sequence[bytes]) -> None:
        self.free |= {next(self.numbers): body for body in bodies}

    @asynccontextmanager
    async def open_source(self) -> AsyncIterator[Source]:
        source = self.source_type(self)
        yield source
        self.give_back(source.held)

    async def left(self) -> int:
        return len(self.free) + len(self.taken)

    async def put_aside(self) -> Sequence[bytes]:
        return self.aside

    def take(self, at_most: int) -> dict[int, bytes]:
        batch = {number: self.free.pop(number) for number in list(self.free)[:at_most]}
        self.taken |= batch
        return batch

    def give_back(self, batch: Mapping[int, bytes]) -> None:
        for number in batch:
            if number in self.taken:
                self.free[number] = self.taken.pop(number)

    def done(self, number: int) -> None:
        self.taken.pop(number, None)


class QueueSource:
    """A source that is whole."""

    at_once = 100

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.held: dict[int, bytes] = {}

    async def run(self, submit: Submit, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            self.held = self.queue.take(self.at_once)
            try:
                await self.bring(submit, stopping)
            finally:
                self.queue.give_back(self.held)
            await asyncio.sleep(0.005)

    async def bring(self, submit: Submit, stopping: asyncio.Event) -> None:
        tries = (submit(body, key=self.key(number, body)) for number, body in self.held.items())
        results = await asyncio.gather(*tries, return_exceptions=True)
        for (number, body), result in zip(self.held.items(), results, strict=True):
            self.judge(number, body, result)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, InquiryServiceError):
                raise result

    def key(self, number: int, body: bytes) -> str:
        return str(number)

    def judge(self, number: int, body: bytes, result: Outcome | BaseException) -> None:
        if isinstance(result, Outcome):
            self.queue.done(number)
        elif isinstance(result, InquiryServiceError) and not isinstance(result, Overloaded | Unavailable):
            self.put_aside(number, body)

    def put_aside(self, number: int, body: bytes) -> None:
        self.queue.aside.append(body)
        self.queue.done(number)


class AcknowledgesBeforeTheCommit(QueueSource):
    async def bring(self, submit: Submit, stopping: asyncio.Event) -> None:
        for number in self.held:
            self.queue.done(number)
        await super().bring(submit, stopping)


class AcknowledgesWhenCutOff(QueueSource):
    async def bring(self, submit: Submit, stopping: asyncio.Event) -> None:
        try:
            await super().bring(submit, stopping)
        except asyncio.CancelledError:
            for number in self.held:
                self.queue.done(number)
            raise


class LosesAMessageOnFailure(QueueSource):
    def judge(self, number: int, body: bytes, result: Outcome | BaseException) -> None:
        super().judge(number, body, result)
        if isinstance(result, Unavailable):
            self.queue.done(number)


class LosesAMessageWhenTheServiceIsFull(QueueSource):
    def judge(self, number: int, body: bytes, result: Outcome | BaseException) -> None:
        super().judge(number, body, result)
        if isinstance(result, Overloaded):
            self.queue.done(number)


class LosesAMessageOverAnUnexpectedError(QueueSource):
    def judge(self, number: int, body: bytes, result: Outcome | BaseException) -> None:
        super().judge(number, body, result)
        if isinstance(result, RuntimeError):
            self.queue.done(number)


class AcknowledgesTheWholeBatch(QueueSource):
    def judge(self, number: int, body: bytes, result: Outcome | BaseException) -> None:
        super().judge(number, body, result)
        if isinstance(result, Outcome):
            for each in self.held:
                self.queue.done(each)


class PutsAsideWhatCannotBeTakenNow(QueueSource):
    def judge(self, number: int, body: bytes, result: Outcome | BaseException) -> None:
        super().judge(number, body, result)
        if isinstance(result, Unavailable):
            self.put_aside(number, body)


class PutsAsideWhateverIsRaised(QueueSource):
    def judge(self, number: int, body: bytes, result: Outcome | BaseException) -> None:
        super().judge(number, body, result)
        if isinstance(result, RuntimeError):
            self.put_aside(number, body)


class DoublesOnRedelivery(QueueSource):
    numbers = count()

    def key(self, number: int, body: bytes) -> str:
        return f"{number} {next(self.numbers)}"


class NamesAMessageForItsSource(QueueSource):
    def key(self, number: int, body: bytes) -> str:
        return f"{number} {id(self)}"


class NamesAMessageForItsBytes(QueueSource):
    def key(self, number: int, body: bytes) -> str:
        return sha256(body).hexdigest()


class NamesAllTheSame(QueueSource):
    def key(self, number: int, body: bytes) -> str:
        return str(number % 7)


class DropsPoisonSilently(QueueSource):
    def put_aside(self, number: int, body: bytes) -> None:
        self.queue.done(number)


class BringsPoisonForEver(QueueSource):
    def put_aside(self, number: int, body: bytes) -> None:
        """It is given back."""


class PutsAsideTwice(QueueSource):
    def put_aside(self, number: int, body: bytes) -> None:
        super().put_aside(number, body)
        super().put_aside(number, body)


class TrimsTheBytes(QueueSource):
    async def bring(self, submit: Submit, stopping: asyncio.Event) -> None:
        self.held = {number: body.strip() for number, body in self.held.items()}
        await super().bring(submit, stopping)


class SharesNothing(QueueSource):
    """Brings what the others have taken as well, under a name of its own."""

    async def bring(self, submit: Submit, stopping: asyncio.Event) -> None:
        self.held |= self.queue.taken
        await super().bring(submit, stopping)

    def key(self, number: int, body: bytes) -> str:
        return f"{number} {id(self)}"


class TakesAllThereIs(QueueSource):
    at_once = 10**9


class LeavesAtOnceWhenStopping(QueueSource):
    async def bring(self, submit: Submit, stopping: asyncio.Event) -> None:
        bringing = asyncio.create_task(super().bring(submit, stopping))
        stopped = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([bringing, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (bringing, stopped):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


class GoesOnTakingWhenStopping(QueueSource):
    async def run(self, submit: Submit, stopping: asyncio.Event) -> None:
        await super().run(submit, stopping)
        await super().run(submit, asyncio.Event()) if self.queue.free else None


class NeverStops(QueueSource):
    async def run(self, submit: Submit, stopping: asyncio.Event) -> None:
        await super().run(submit, asyncio.Event())


class WaitsForTheServiceWhenStopping(QueueSource):
    async def bring(self, submit: Submit, stopping: asyncio.Event) -> None:
        while self.held:
            await super().bring(submit, stopping)
            self.held = {number: body for number, body in self.held.items() if number in self.queue.taken}
            await asyncio.sleep(0.005)


BROKEN = {
    AcknowledgesBeforeTheCommit: "test_no_message_is_done_with_before_its_inquiry_is_committed",
    AcknowledgesWhenCutOff: "test_a_crash_before_the_commit_loses_nothing",
    LosesAMessageOnFailure: "test_what_cannot_be_taken_in_now_is_brought_again_as_the_same",
    LosesAMessageWhenTheServiceIsFull: "test_what_cannot_be_taken_in_now_is_brought_again_as_the_same",
    LosesAMessageOverAnUnexpectedError: "test_an_error_that_nobody_expected_is_not_the_messages_fault",
    AcknowledgesTheWholeBatch: "test_what_cannot_be_taken_in_now_is_brought_again_as_the_same",
    PutsAsideWhatCannotBeTakenNow: "test_what_cannot_be_taken_in_now_is_brought_again_as_the_same",
    PutsAsideWhateverIsRaised: "test_an_error_that_nobody_expected_is_not_the_messages_fault",
    DoublesOnRedelivery: "test_a_crash_after_the_commit_doubles_nothing",
    NamesAMessageForItsSource: "test_a_crash_after_the_commit_doubles_nothing",
    NamesAMessageForItsBytes: "test_messages_that_say_the_same_are_as_many_inquiries",
    NamesAllTheSame: "test_each_message_becomes_one_inquiry_of_the_very_bytes_it_had",
    DropsPoisonSilently: "test_poison_is_put_aside_and_the_rest_flows",
    BringsPoisonForEver: "test_poison_is_put_aside_and_the_rest_flows",
    PutsAsideTwice: "test_poison_is_put_aside_and_the_rest_flows",
    TrimsTheBytes: "test_each_message_becomes_one_inquiry_of_the_very_bytes_it_had",
    SharesNothing: "test_two_sources_on_one_place_make_one_inquiry_of_each_message",
    TakesAllThereIs: "test_no_more_is_taken_than_the_service_can_work_on",
    LeavesAtOnceWhenStopping: "test_stopping_finishes_what_was_taken_and_leaves_the_rest",
    GoesOnTakingWhenStopping: "test_stopping_finishes_what_was_taken_and_leaves_the_rest",
    NeverStops: "test_it_stops_soon_while_there_is_nothing_to_bring",
    WaitsForTheServiceWhenStopping: "test_it_stops_soon_while_the_service_can_take_nothing_in",
}
"""Each broken source, and the test that must fail over it."""


class BrokenSources(SourceContract):
    @pytest.fixture(autouse=True)
    def _short_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What never comes to hold is not waited for as long as a server would be."""
        monkeypatch.setattr(inquiry_svc.testing.sources, "_LIMIT_S", 2.0)

    @pytest.fixture(params=[QueueSource, *BROKEN], ids=lambda source_type: source_type.__name__)
    def place(self, request: pytest.FixtureRequest) -> Place:
        return Queue(request.param)


@pytest.fixture(scope="module")
def failed() -> set[tuple[str, str]]:
    """Each failure of the suite above: the test with the broken source, and with what else it was tried on."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rf", "-n0", "-p", "no:cacheprovider", __file__]
    # Each broken source on the test that should notice, the whole one on all of them.
    choice = ["-o", "python_classes=Broken", "-k", " or ".join(["QueueSource", *_where_each_must_fail()])]
    run = subprocess.run([*command, *choice], capture_output=True, text=True, timeout=110, check=False)
    found = re.findall(r"^FAILED \S+::(test_\w+)\[(.+?)\]", run.stdout, re.MULTILINE)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert " error" not in run.stdout, run.stdout
    return {(test, name) for test, parameters in found for name in parameters.split("-")}


def _where_each_must_fail() -> list[str]:
    return [f"({test} and {source_type.__name__})" for source_type, test in BROKEN.items()]


@pytest.mark.parametrize(("source_type", "test"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", "in"))
def test_the_suite_fails_over(failed: set[tuple[str, str]], source_type: type[QueueSource], test: str) -> None:
    assert (test, source_type.__name__) in failed


def test_a_source_that_is_whole_fails_nothing(failed: set[tuple[str, str]]) -> None:
    assert [test for test, source in failed if source == QueueSource.__name__] == []


def test_each_test_of_the_suite_fails_over_some_broken_source(failed: set[tuple[str, str]]) -> None:
    assert {test for test, _ in failed} == {name for name in dir(SourceContract) if name.startswith("test_")}
