"""A caller has so many requests in a window, is told what is left, and disturbs nobody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from inquiry_svc import rate_limits
from inquiry_svc.allowances import Allowances, shared_memory
from inquiry_svc.rate_limits import RateLimits
from inquiry_svc.settings import LimitsSettings
from inquiry_svc.workers.windows import Windows


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Shared:
    """What a parent says, without a process between."""

    allowances: Allowances | None
    windows: Windows
    asked: list[str] = field(default_factory=list)
    answers: bool = True

    async def window(self, caller: str, settings: LimitsSettings) -> tuple[int, float] | None:
        self.asked.append(caller)
        return self.windows.window(caller, settings.requests, settings.window_s) if self.answers else None


@pytest.fixture
def allowances() -> Iterator[Allowances]:
    descriptor = shared_memory()
    assert descriptor is not None
    yield Allowances(descriptor)
    os.close(descriptor)


async def left(limits: RateLimits, caller: str) -> int:
    return (await limits.count(caller)).remaining


# In one process


async def test_what_is_left_counts_down_and_comes_back_with_the_next_window() -> None:
    clock = Clock()
    limits = RateLimits(LimitsSettings(requests=3, window_s=60), now=clock)
    assert [await left(limits, "a") for _ in range(5)] == [2, 1, 0, -1, -1]
    clock.now += 59.5
    found = await limits.count("a")
    assert (found.remaining, found.ends_in_s) == (-1, 1)
    clock.now += 0.5
    found = await limits.count("a")
    assert (found.remaining, found.ends_in_s) == (2, 60)


async def test_a_caller_takes_nothing_from_another() -> None:
    limits = RateLimits(LimitsSettings(requests=1), now=Clock())
    assert [await left(limits, "a") for _ in range(3)] == [0, -1, -1]
    assert await left(limits, "b") == 0


async def test_callers_without_end_take_a_bounded_place() -> None:
    limits = RateLimits(LimitsSettings(requests=1), now=Clock())
    for number in range(rate_limits.MAX_CALLERS + 100):
        await limits.count(str(number))
    assert len(limits._callers) == rate_limits.MAX_CALLERS
    assert await left(limits, str(number)) == -1, "the latest are remembered"
    assert await left(limits, "0") == 0, "the first was forgotten"


# In several, which share their windows


async def test_processes_that_share_their_windows_give_together_what_one_would(allowances: Allowances) -> None:
    clock = Clock()
    shared = Shared(allowances, Windows(allowances, clock))
    one, other = (RateLimits(LimitsSettings(requests=3, window_s=60), shared, clock) for _ in range(2))
    assert [await left(limits, "a") for limits in (one, other, other, one, other)] == [2, 1, 0, -1, -1]
    assert await left(one, "b") == 2
    clock.now += 59.5
    assert (await other.count("a")).ends_in_s == 1, "the window is the one that began with the first, at either"
    assert shared.asked == ["a", "a", "b"], "once for each window"
    clock.now += 0.5
    assert [await left(limits, "a") for limits in (other, one)] == [2, 1]


async def test_a_process_that_forgot_a_caller_or_came_anew_finds_what_is_left(allowances: Allowances) -> None:
    clock = Clock()
    shared = Shared(allowances, Windows(allowances, clock))
    old = RateLimits(LimitsSettings(requests=3), shared, clock)
    assert [await left(old, "a") for _ in range(2)] == [2, 1]
    assert await left(RateLimits(LimitsSettings(requests=3), shared, clock), "a") == 0


async def test_without_an_answer_a_process_counts_for_itself_until_the_window_ends(allowances: Allowances) -> None:
    clock = Clock()
    shared = Shared(allowances, Windows(allowances, clock), answers=False)
    limits = RateLimits(LimitsSettings(requests=2, window_s=60), shared, clock)
    assert [await left(limits, "a") for _ in range(3)] == [1, 0, -1]
    assert shared.asked == ["a"]
    shared.answers = True
    clock.now += 60
    assert [await left(limits, "a"), await left(RateLimits(LimitsSettings(requests=2), shared, clock), "a")] == [1, 0]


async def test_without_memory_to_share_nobody_is_asked(allowances: Allowances) -> None:
    shared = Shared(None, Windows(allowances))
    limits = RateLimits(LimitsSettings(requests=1), shared)
    assert [await left(limits, "a"), await left(limits, "a"), shared.asked] == [0, -1, []]


def test_senders_leave_places_to_callers(allowances: Allowances, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inquiry_svc.workers.windows.PLACES", 4)
    monkeypatch.setattr("inquiry_svc.workers.windows._FOR_CALLERS", 2)
    windows = Windows(allowances)
    senders = [windows.window(f"sender {number}", 5, 60) for number in range(3)]
    assert [sender is not None for sender in senders] == [True, True, False]
    assert all(windows.window(caller, 5, 60) for caller in "ab")


def test_places_are_given_once_and_again_only_when_nobody_can_still_count_there(
    allowances: Allowances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inquiry_svc.workers.windows.PLACES", 3)
    clock = Clock()
    windows = Windows(allowances, clock)
    given = [windows.window(caller, 5, 60) for caller in "abc"]
    assert sorted(each[0] for each in given if each) == [0, 1, 2]
    assert windows.window("b", 5, 60) == given[1]
    assert windows.window("d", 5, 60) is None, "each counts for itself then"
    clock.now += 60
    assert windows.window("a", 5, 60) is None, "its own place too is another's only after a while"
    clock.now += 2
    found = [windows.window(caller, 5, 60) for caller in "ad"]
    assert len({each[0] for each in found if each}) == 2
    assert [allowances.take(each[0]) for each in found if each] == [4, 4]
