"""What every source must do, as tests to inherit. Needs pytest and pytest-asyncio.

    class TestMySource(SourceContract):
        @pytest.fixture
        async def place(self) -> Place:
            return MyPlace(...)

A `Place` is where the source takes from, as a test sees it. Have it give sources that look for what others left behind
often, so that no test waits for long. The service is stood in for by a `Desk`, so a body may be any bytes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import pytest

from inquiry_svc.contracts import Source
from inquiry_svc.errors import (
    IdempotencyKeyReused,
    InquiryInvalid,
    InquiryServiceError,
    Overloaded,
    StoreUnavailable,
    TriageFailed,
    Unavailable,
)
from inquiry_svc.inquiries import Outcome
from inquiry_svc.testing.samples import sample_outcome

_LIMIT_S: Final = 20.0
_QUIET_S: Final = 0.3


class Place(Protocol):
    """Where sources take from: empty at first, and there however many of them come and go."""

    async def put(self, bodies: Sequence[bytes]) -> None:
        """Add a message with each of these, in order."""

    def open_source(self) -> AbstractAsyncContextManager[Source]:
        """A source such as another process would open."""

    async def left(self) -> int:
        """How many messages are not done with, taken or not."""

    async def put_aside(self) -> Sequence[bytes]:
        """The bodies of the messages that were put aside."""


class Desk:
    """Stands in for the service: keeps one inquiry for each key, and does what a test tells it to."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.brought: list[tuple[str, bytes]] = []
        """Key and body of each call of `submit`."""
        self.waiting = 0
        self.failures: dict[bytes, list[Exception]] = {}
        """What is raised over a body, from first to last, before it is kept."""
        self.open = asyncio.Event()
        """While this is cleared, nothing is kept and nobody is answered."""
        self.answering = asyncio.Event()
        """While this is cleared, all is kept and nobody is answered."""
        self.open.set()
        self.answering.set()

    async def submit(self, body: bytes, *, key: str, **_: object) -> Outcome:
        self.brought.append((key, body))
        self.waiting += 1
        try:
            await self.open.wait()
            if self.failures.get(body):
                raise self.failures[body].pop(0)
            if self.kept.setdefault(key, body) != body:
                raise IdempotencyKeyReused("two messages have one key")
            await self.answering.wait()
            return sample_outcome()
        finally:
            self.waiting -= 1

    async def is_busy(self) -> bool:
        """Something was brought."""
        return bool(self.brought)


@dataclass(frozen=True, slots=True)
class Run:
    task: asyncio.Task[None]
    stopping: asyncio.Event

    async def stop(self) -> None:
        """As the service stops a source. Raises `TimeoutError` where it does not return."""
        self.stopping.set()
        await asyncio.wait_for(self.task, _LIMIT_S)


@asynccontextmanager
async def bringing(place: Place, desk: Desk) -> AsyncIterator[Run]:
    """A source that runs, and runs again where it fails. Leaving cuts it off, as a crash of its process does."""
    stopping = asyncio.Event()

    async def keep_running(source: Source) -> None:
        while not stopping.is_set():
            try:
                await source.run(desk.submit, stopping)
            except Exception:
                await asyncio.sleep(0.01)

    async with place.open_source() as source:
        task = asyncio.create_task(keep_running(source), name="source")
        try:
            yield Run(task, stopping)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Raises `AssertionError` where it does not come to hold."""
    try:
        async with asyncio.timeout(_LIMIT_S):
            while not await holds():  # noqa: ASYNC110 (a server tells nobody)
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {_LIMIT_S:g} s: {what}") from None


class SourceContract:
    """Inherit it, and override `place`."""

    at_most = 1000
    """More messages than these no source needs to hold at once."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError("override the fixture `place`: it gives an empty place to each test")

    @pytest.fixture
    def desk(self) -> Desk:
        return Desk()

    # Once

    async def test_each_message_becomes_one_inquiry_of_the_very_bytes_it_had(self, place: Place, desk: Desk) -> None:
        bodies = [*_bodies(40), b" \t\r\n ", b"\x00\xff\xfe", b'{"body": "\\u00e9\xc3\xa9"} ']
        async with bringing(place, desk):
            await place.put(bodies[:20])
            await _done(place)
            await place.put(bodies[20:])
            await _done(place)
        assert Counter(desk.kept.values()) == Counter(bodies)
        assert await place.put_aside() == []

    async def test_messages_that_say_the_same_are_as_many_inquiries(self, place: Place, desk: Desk) -> None:
        async with bringing(place, desk):
            await place.put([b"the same"] * 3)
            await _done(place)
        assert list(desk.kept.values()) == [b"the same"] * 3

    async def test_two_sources_on_one_place_make_one_inquiry_of_each_message(self, place: Place, desk: Desk) -> None:
        bodies = _bodies(200)
        async with bringing(place, desk), bringing(place, desk):
            await place.put(bodies)
            await _done(place)
        assert Counter(desk.kept.values()) == Counter(bodies)

    # At least once

    async def test_no_message_is_done_with_before_its_inquiry_is_committed(self, place: Place, desk: Desk) -> None:
        desk.open.clear()
        await place.put(_bodies(5))
        async with bringing(place, desk):
            await _brought(desk)
            assert await place.left() == 5
            desk.open.set()
            await _done(place)
        assert len(desk.kept) == 5

    async def test_a_crash_before_the_commit_loses_nothing(self, place: Place, desk: Desk) -> None:
        bodies = _bodies(20)
        await place.put(bodies)
        desk.open.clear()
        async with bringing(place, desk):
            await _brought(desk)
        assert await place.left() == 20
        desk.open.set()
        async with bringing(place, desk):
            await _done(place)
        assert Counter(desk.kept.values()) == Counter(bodies)

    async def test_a_crash_after_the_commit_doubles_nothing(self, place: Place, desk: Desk) -> None:
        bodies = _bodies(20)
        await place.put(bodies)
        desk.answering.clear()
        async with bringing(place, desk):
            await _brought(desk)
        assert desk.kept
        assert await place.left() == 20
        desk.answering.set()
        async with bringing(place, desk):
            await _done(place)
        assert Counter(desk.kept.values()) == Counter(bodies)

    # Failures

    @pytest.mark.parametrize("failure", [Overloaded("full"), Unavailable("slow"), StoreUnavailable("away")], ids=repr)
    async def test_what_cannot_be_taken_in_now_is_brought_again_as_the_same(
        self, place: Place, desk: Desk, failure: Exception
    ) -> None:
        bodies = _bodies(12)
        desk.failures = {bodies[0]: [failure], bodies[7]: [failure] * 3}
        async with bringing(place, desk):
            await place.put(bodies)
            await _done(place)
        assert Counter(desk.kept.values()) == Counter(bodies)
        assert await place.put_aside() == []
        assert len(set(desk.brought)) == 12, "a message had two keys"
        assert Counter(body for _, body in desk.brought)[bodies[7]] == 4

    @pytest.mark.parametrize(
        "failure",
        [InquiryInvalid(["/body is required"]), TriageFailed("no"), IdempotencyKeyReused("before")],
        ids=lambda failure: type(failure).__name__,
    )
    async def test_poison_is_put_aside_and_the_rest_flows(
        self, place: Place, desk: Desk, failure: InquiryServiceError
    ) -> None:
        bodies = _bodies(12)
        poison = [bodies[0], bodies[5], bodies[11]]
        desk.failures = {body: [failure] * 100 for body in poison}
        async with bringing(place, desk):
            await place.put(bodies)
            await _done(place)
            await place.put([b"one more"])
            await _done(place)
        assert Counter(await place.put_aside()) == Counter(poison)
        assert Counter(desk.kept.values()) == Counter([*bodies, b"one more"]) - Counter(poison)

    async def test_an_error_that_nobody_expected_is_not_the_messages_fault(self, place: Place, desk: Desk) -> None:
        bodies = _bodies(12)
        desk.failures = {bodies[3]: [RuntimeError("a fault of the service")]}
        async with bringing(place, desk):
            await place.put(bodies)
            await _done(place)
        assert Counter(desk.kept.values()) == Counter(bodies)
        assert await place.put_aside() == []

    # Pressure and stopping

    async def test_no_more_is_taken_than_the_service_can_work_on(self, place: Place, desk: Desk) -> None:
        desk.open.clear()
        await place.put(_bodies(3 * self.at_most))
        async with bringing(place, desk):
            await _brought(desk)
            assert len(desk.brought) <= self.at_most
            desk.open.set()
            await _done(place)
        assert len(desk.kept) == 3 * self.at_most

    async def test_stopping_finishes_what_was_taken_and_leaves_the_rest(self, place: Place, desk: Desk) -> None:
        bodies, late = _bodies(20), [b"late 1", b"late 2"]
        desk.open.clear()
        await place.put(bodies)
        async with bringing(place, desk) as run:
            await _brought(desk)
            run.stopping.set()
            await place.put(late)
            desk.open.set()
            await run.stop()
        assert desk.kept.items() == set(desk.brought), "what was taken was not finished"
        assert not set(late) & set(desk.kept.values()), "more was taken"
        assert await place.left() == 22 - len(desk.kept)
        async with bringing(place, desk):
            await _done(place)
        assert Counter(desk.kept.values()) == Counter([*bodies, *late])

    async def test_it_stops_soon_while_the_service_can_take_nothing_in(self, place: Place, desk: Desk) -> None:
        bodies = _bodies(3)
        desk.failures = {body: [StoreUnavailable("away")] * 100_000 for body in bodies}
        await place.put(bodies)
        async with bringing(place, desk) as run:
            await until(desk.is_busy, "messages are brought")
            await run.stop()
        assert await place.left() == 3
        desk.failures.clear()
        async with bringing(place, desk):
            await _done(place)
        assert Counter(desk.kept.values()) == Counter(bodies)

    async def test_it_stops_soon_while_there_is_nothing_to_bring(self, place: Place, desk: Desk) -> None:
        async with bringing(place, desk) as run:
            await place.put([b"one"])
            await _done(place)
            await run.stop()
        assert not run.task.cancelled()


def _bodies(count: int) -> list[bytes]:
    return [b"message %d" % number for number in range(count)]


async def _done(place: Place) -> None:
    async def nothing_is_left() -> bool:
        return await place.left() == 0

    await until(nothing_is_left, "every message is done with")


async def _brought(desk: Desk) -> None:
    """Some were brought, and for a while no more."""
    loop = asyncio.get_running_loop()
    seen, since = 0, loop.time()

    async def it_is_quiet() -> bool:
        nonlocal seen, since
        if len(desk.brought) != seen:
            seen, since = len(desk.brought), loop.time()
        return seen > 0 and loop.time() - since > _QUIET_S

    await until(it_is_quiet, "messages are brought")
