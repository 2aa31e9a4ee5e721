"""A caller has so many requests in a window, is told what is left, and disturbs nobody else."""

from __future__ import annotations

from inquiry_svc import rate_limits
from inquiry_svc.rate_limits import RateLimits
from inquiry_svc.settings import LimitsSettings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_counts_down_and_comes_back_with_the_next_window() -> None:
    clock = Clock()
    limits = RateLimits(LimitsSettings(requests=3, window_s=60), clock)
    assert [limits.count("a").remaining for _ in range(5)] == [2, 1, 0, -1, -1]
    clock.now += 59.5
    assert (limits.count("a").remaining, limits.count("a").ends_in_s) == (-1, 1)
    clock.now += 0.5
    assert (limits.count("a").remaining, limits.count("a").ends_in_s) == (2, 60)


def test_a_caller_takes_nothing_from_another() -> None:
    limits = RateLimits(LimitsSettings(requests=1), Clock())
    assert [limits.count("a").remaining for _ in range(3)] == [0, -1, -1]
    assert limits.count("b").remaining == 0


def test_callers_without_end_take_a_bounded_place() -> None:
    limits = RateLimits(LimitsSettings(requests=1), Clock())
    for number in range(rate_limits.MAX_CALLERS + 100):
        limits.count(str(number))
    assert len(limits._callers) == rate_limits.MAX_CALLERS
    assert limits.count(str(number)).remaining == -1, "the latest are remembered"
    assert limits.count("0").remaining == 0, "the first was forgotten"
