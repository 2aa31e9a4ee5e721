"""Pairs of windows under one load, in one of which something goes on: what does that cost those who wait for an answer?

A machine that others use too may become half as fast within a minute. So what a server can take is measured beside
each pair, both windows are loaded at the same share of that, now the one is first and now the other, and only a window
and its neighbour are compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from statistics import quantiles

from benchmarks.load import closed_loop
from benchmarks.open_loop import CONNECTIONS, open_loop


@dataclass(frozen=True, slots=True)
class Window:
    answered: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Pair:
    requests_per_s: float
    """Sent in both windows."""
    quiet: Window
    busy: Window
    """The one in which something went on."""


async def measured_pair(
    url: str,
    requests: Sequence[bytes],
    going_on: Callable[[], AbstractAsyncContextManager[None]],
    *,
    load: float,
    window_s: float,
    number: int,
    dice: random.Random,
) -> Pair:
    """`load` is the share of what as many connections get in a closed loop, all of them busy.

    By the pair's `number` the one window is first or the other.

    What goes on must be over once `going_on` is left. Raises `RuntimeError` for any answer that is not 2xx.
    """
    most = await closed_loop(url, requests, connections=CONNECTIONS, duration_s=1.0, warm_up_s=0.5)
    rate_per_s = load * most.requests_per_s

    async def window(around: AbstractAsyncContextManager[None]) -> Window:
        async with around:
            found = await open_loop(url, requests, rate_per_s=rate_per_s, duration_s=window_s, dice=dice)
        found.sort()
        return Window(len(found), found[len(found) // 2] * 1000, found[int(len(found) * 0.99)] * 1000)

    if number % 2 == 0:
        quiet = await window(nullcontext())
        busy = await window(going_on())
    else:
        busy = await window(going_on())
        quiet = await window(nullcontext())
    return Pair(rate_per_s, quiet, busy)


def p99_ratios(pairs: Sequence[Pair]) -> tuple[float, float, float]:
    """How many times the quiet window's p99 the other's was, over two pairs or more: lower quartile, median, upper."""
    lower, middle, upper = quantiles([pair.busy.p99_ms / pair.quiet.p99_ms for pair in pairs], n=4, method="inclusive")
    return lower, middle, upper
