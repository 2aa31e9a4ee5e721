"""Faults from their beginning to the all-clear: what fired, what a person was told, and when.

Those that share a stack are made one after another, each once the one before is cured: its all-clear is not waited for.
So whatever begins to fire is the doing of the last one, or a stranger.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp

from tests.alive.faults import FAULTS, STACKS, TRUE_OF_THE_MACHINE, Fault
from tests.alive.hurrying import FACTOR, seconds, shipped
from tests.alive.stack import Stack, running_stack
from tests.alive.waiting import LIMIT_S, until
from tests.servers.inbox import Message

AT_ONCE: Final = 4
"""Stacks at a time. Each takes a fifth of a core, and 6 s of one to start."""
ATTEMPTS: Final = 3
LONGEST_PAUSE_S: Final = 60 / FACTOR
"""A minute, in a hurry. What goes wrong where nothing is scraped or judged for so long says nothing of the service."""

_RULES: Final = {
    rule["alert"]: rule
    for group in reversed(shipped("prometheus/alerts.yml")["groups"])
    for rule in reversed(group["rules"])
    if "alert" in rule
}
"""By the name of the alert; of several of one name, the first, which is the most urgent."""
_SCRAPE_INTERVAL_S: Final = seconds(shipped("prometheus/prometheus.yml")["global"]["scrape_interval"])


_MISSED: Final = frozenset({"ServiceDown", "ServiceAbsent", "ServiceInstanceDown"})
"""In their faults an instance is not scraped for a while."""


class HeldUp(Exception):
    """The machine had too much else to do for anything in a hurry."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Times are seconds on `time.time`."""

    fault: Fault
    began_at: float
    pending_at: float
    """The first evaluation that found the condition of the alert true."""
    fired_at: float
    cured_at: float
    over_at: float
    """The last evaluation at which it fired."""
    fired: Set[str]
    """Every alert that began to fire before the next fault did."""
    messages: Sequence[Message]
    """About it, until the next fault."""

    @property
    def severity(self) -> str:
        return str(_RULES[self.fault.alert]["labels"]["severity"])

    @property
    def component(self) -> str:
        return str(_RULES[self.fault.alert]["labels"]["component"])

    @property
    def for_s(self) -> float:
        return for_s(self.fault.alert)

    @property
    def strangers(self) -> set[str]:
        """What fired and has nothing to do with the fault."""
        known = {self.fault.alert, *self.fault.silenced, *self.fault.may_come_too, "Watchdog"}
        return set(self.fired - known - TRUE_OF_THE_MACHINE)

    @property
    def late_s(self) -> float:
        """By how much it fired later than the fault, its `for` and two scrapes allow, on a machine that may pause."""
        shown_late_s = self.pending_at - self.began_at - self.fault.shows_within_s
        fired_late_s = self.fired_at - self.pending_at - self.for_s - 2 * _SCRAPE_INTERVAL_S
        return max(0.0, max(shown_late_s, fired_late_s) - LONGEST_PAUSE_S)

    @property
    def is_odd(self) -> bool:
        once = all(len(self.told(status, self.fault.alert)) == 1 for status in ("FIRING", "RESOLVED"))
        return bool(self.strangers or self.late_s or not once)

    def told(self, status: str, alert: str) -> list[Message]:
        return [message for message in self.messages if message.says == (status, alert)]


def for_s(alert: str) -> float:
    return seconds(_RULES[alert].get("for", "0s"))


async def live_through_all(
    faults: Sequence[Fault] = FAULTS, say: Callable[[str], None] = print
) -> dict[str, Episode | BaseException]:
    """Each by the name of its fault, or what went wrong in its stack. A few stacks at a time.

    What goes wrong is lived through again, and the last time counts: what the service does it does each time, what a
    machine with much else to do makes of it seldom twice.
    """
    places, starting = asyncio.Semaphore(AT_ONCE), asyncio.Lock()

    async def one(together: Sequence[Fault]) -> Sequence[Episode]:
        async with places:
            for _ in range(1, ATTEMPTS):
                try:
                    episodes = await live_through(together, starting, say)
                except (HeldUp, AssertionError) as error:
                    what = repr(error)
                else:
                    if not (odd := [episode for episode in episodes if episode.is_odd]):
                        return episodes
                    what = _odd(odd)
                say(f"{', '.join(fault.name for fault in together)}: once more, {what}")
            return await live_through(together, starting, say)

    asked = [[fault for fault in stack if fault in faults] for stack in STACKS]
    stacks = [together for together in asked if together]
    ended = await asyncio.gather(*map(one, stacks), return_exceptions=True)
    found: dict[str, Episode | BaseException] = {}
    for together, each in zip(stacks, ended, strict=True):
        many = [each] * len(together) if isinstance(each, BaseException) else each
        found |= dict(zip((fault.name for fault in together), many, strict=True))
    return found


def _say_of(fault: Fault, say: Callable[[str], None], what: str) -> None:
    say(f"{time.strftime('%H:%M:%S')} {fault.name}: {what}")


def _odd(episodes: Iterable[Episode]) -> str:
    return "; ".join(f"{', '.join(each.strangers)} fired, {each.late_s:.1f} s late" for each in episodes)


async def live_through(
    faults: Sequence[Fault], starting: asyncio.Lock, say: Callable[[str], None]
) -> Sequence[Episode]:
    """On one stack. Only one starts at a time. Raises `HeldUp` where what went wrong can be the machine's doing."""
    settings = {name: value for fault in faults for name, value in fault.settings.items()}
    with TemporaryDirectory(prefix="inquiry-svc-alive-") as name:
        async with AsyncExitStack() as opened:
            async with starting:
                try:
                    stack = await opened.enter_async_context(running_stack(Path(name), settings))
                except Exception as error:  # a port that another took, say
                    raise HeldUp(f"the stack did not start: {error!r}") from error
            try:
                await _told(stack, "FIRING", "Watchdog")
                await until(lambda: _is_calm(stack), "all is calm")
                episodes = await _live_through(faults, stack, say)
            except (AssertionError, TimeoutError, aiohttp.ClientError) as error:
                error.add_note(f"fires: {await stack.firing()}")
                error.add_note(f"answers: {stack.traffic.statuses}; told: {stack.inbox.messages}")
                if (pause_s := await _pause_s(faults, stack)) > LONGEST_PAUSE_S:
                    raise HeldUp(f"{error}, and the machine paused for {pause_s:.1f} s") from error
                raise
            odd = [episode for episode in episodes if episode.is_odd]
            if odd and (pause_s := await _pause_s(faults, stack)) > LONGEST_PAUSE_S:
                raise HeldUp(f"{_odd(odd)}, and the machine paused for {pause_s:.1f} s")
            return episodes


async def _live_through(faults: Sequence[Fault], stack: Stack, say: Callable[[str], None]) -> Sequence[Episode]:
    times: list[tuple[float, float]] = []
    for number, fault in enumerate(faults):
        try:
            if fault.once_calm:
                await _all_clear(faults[:number], stack)
            times.append(await _make_and_cure(fault, stack, partial(_say_of, fault, say)))
        except AssertionError as error:
            error.add_note(f"in the episode {fault.name!r}")
            raise
    await _all_clear(faults, stack)
    ends = [*(began_at for began_at, _ in times[1:]), math.inf]
    return [
        await _seen(fault, stack, *times[number], ends[number], _known(faults[:number]))
        for number, fault in enumerate(faults)
    ]


async def _make_and_cure(fault: Fault, stack: Stack, say: Callable[[str], None]) -> tuple[float, float]:
    """When each was."""
    await fault.prepare(stack)
    began_at = time.time()
    say("it begins")
    await fault.make(stack)
    say(_shown(await _told(stack, "FIRING", fault.alert), began_at))
    await until(lambda: _fire(stack, fault.silenced), f"{', '.join(fault.silenced)} fire")
    cured_at = time.time()
    say("it is cured")
    await fault.cure(stack)
    return began_at, cured_at


async def _all_clear(faults: Iterable[Fault], stack: Stack) -> None:
    for fault in faults:
        await _told(stack, "RESOLVED", fault.alert)
        await until(partial(_are_over, stack, fault.silenced), f"{', '.join(fault.silenced)} end")


def _known(faults: Iterable[Fault]) -> Set[str]:
    """What may still be said of these."""
    return {alert for fault in faults for alert in (fault.alert, *fault.silenced, *fault.may_come_too)}


async def _seen(
    fault: Fault, stack: Stack, began_at: float, cured_at: float, next_began_at: float, earlier: Set[str]
) -> Episode:
    own = {"alertname": fault.alert, **_RULES[fault.alert]["labels"]}
    selected = ",".join(f'{name}="{value}"' for name, value in own.items())
    since = f"max_over_time(ALERTS_FOR_STATE{{{selected}}}[1h])"
    fired = await stack.prometheus.evaluated_at('ALERTS{alertstate="firing"}')
    times = sorted(at for labels, found in fired if own.items() <= labels.items() for at in found)
    return Episode(
        fault=fault,
        began_at=began_at,
        pending_at=min(at for _, at in await stack.prometheus.ask(since)),
        fired_at=times[0],
        cured_at=cured_at,
        over_at=times[-1],
        fired={
            labels["alertname"]
            for labels, found in fired
            if any(began_at < at < next_began_at for at in found) and labels["alertname"] not in earlier
        },
        messages=[
            message
            for message in stack.inbox.messages
            if message.at > began_at
            and (message.says[1] == fault.alert or (message.at < next_began_at and message.says[1] not in earlier))
        ],
    )


async def _told(stack: Stack, status: str, alert: str) -> Message:
    found: list[Message] = []

    async def is_told() -> bool:
        found.extend(message for message in stack.inbox.messages if message.says == (status, alert))
        return bool(found)

    await until(is_told, f"{status} {alert} arrives", within_s=LIMIT_S + for_s(alert))
    return found[0]


def _shown(message: Message, since: float) -> str:
    return (
        f"{message.channel} after {message.at - since:.1f} s\n\n{message.title}\n{message.text.strip()}\n{message.link}"
    )


async def _is_calm(stack: Stack) -> bool:
    """Before its first scrape, 5 s after its start, Prometheus misses the service."""
    return stack.traffic.statuses[201] > 0 and await stack.firing() == {"Watchdog"}


async def _fire(stack: Stack, alerts: frozenset[str]) -> bool:
    return alerts <= await stack.firing()


async def _are_over(stack: Stack, alerts: frozenset[str]) -> bool:
    return not alerts & await stack.firing()


async def _pause_s(faults: Sequence[Fault], stack: Stack) -> float:
    """The longest time in which nothing was judged, or nothing was scraped that was there."""
    is_missed = any(fault.alert in _MISSED for fault in faults)
    there = ["prometheus_build_info", *([] if is_missed else ["workers_running"])]
    always = ['ALERTS{alertname="Watchdog"}', *there]
    found = [times for series in always for _, times in await stack.prometheus.evaluated_at(series)]
    return max((later - earlier for times in found for earlier, later in pairwise(times)), default=math.inf)
