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
from itertools import pairwise
from statistics import median, quantiles
from typing import Final

from benchmarks.load import closed_loop
from benchmarks.open_loop import CONNECTIONS, open_loop

_PART_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Window:
    answered: int
    p50_ms: float
    p99_ms: float
    """Of two seconds, in the middle: what goes on all the time is in each, and a moment at which the machine has hardly
    run in few of them."""


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
    rate_per_s = load * await capacity_per_s(url, requests)

    async def window(around: AbstractAsyncContextManager[None]) -> Window:
        async with around:
            return await loaded_window(url, requests, rate_per_s=rate_per_s, window_s=window_s, dice=dice)

    if number % 2 == 0:
        quiet = await window(nullcontext())
        busy = await window(going_on())
    else:
        busy = await window(going_on())
        quiet = await window(nullcontext())
    return Pair(rate_per_s, quiet, busy)


async def measured_twins(
    young: str, old: str, requests: Sequence[bytes], *, load: float, window_s: float, number: int, dice: random.Random
) -> tuple[Pair, float]:
    """Two servers of one kind: what has become of `old` by what it went through? Its window is the busy one.

    `load` is the share of what `young` can take; besides, how many times that `old` can. By the pair's `number` the one
    is first or the other. Raises `RuntimeError` for any answer that is not 2xx.
    """
    servers = (young, old) if number % 2 == 0 else (old, young)
    most = {url: await capacity_per_s(url, requests) for url in servers}
    rate_per_s = load * most[young]
    windows = {
        url: await loaded_window(url, requests, rate_per_s=rate_per_s, window_s=window_s, dice=dice) for url in servers
    }
    return Pair(rate_per_s, windows[young], windows[old]), most[old] / most[young]


async def capacity_per_s(url: str, requests: Sequence[bytes]) -> float:
    """Answers that as many connections get as an open loop has, all of them busy."""
    found = await closed_loop(url, requests, connections=CONNECTIONS, duration_s=1.0, warm_up_s=0.5)
    return found.requests_per_s


async def loaded_window(
    url: str, requests: Sequence[bytes], *, rate_per_s: float, window_s: float, dice: random.Random
) -> Window:
    """Raises `RuntimeError` for any answer that is not 2xx."""
    found = await open_loop(url, requests, rate_per_s=rate_per_s, duration_s=window_s, dice=dice)
    return Window(len(found), _quantile(found, 0.5) * 1000, median(_p99s(found, window_s)) * 1000)


def _p99s(found: Sequence[float], window_s: float) -> list[float]:
    """Of each part of the window; answers come in the order of their requests, nearly."""
    parts = max(1, round(window_s / _PART_S))
    ends = [len(found) * part // parts for part in range(parts + 1)]
    return [_quantile(found[start:end], 0.99) for start, end in pairwise(ends)]


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def p99_ratios(pairs: Sequence[Pair]) -> tuple[float, float, float]:
    """How many times the quiet window's p99 the other's was, over two pairs or more: lower quartile, median, upper."""
    lower, middle, upper = quantiles([pair.busy.p99_ms / pair.quiet.p99_ms for pair in pairs], n=4, method="inclusive")
    return lower, middle, upper
