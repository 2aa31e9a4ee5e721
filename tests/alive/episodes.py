"""One fault from its beginning to the all-clear: what fired, what a person was told, and when."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.alive.faults import FAULTS, TRUE_OF_THE_MACHINE, Fault
from tests.alive.hurrying import FACTOR, seconds, shipped
from tests.alive.stack import Stack, running_stack
from tests.alive.waiting import until
from tests.servers.inbox import Message

AT_ONCE: Final = 4
"""Episodes at a time. Each takes a fifth of a core, and 6 s of one to start."""
ATTEMPTS: Final = 3
LONGEST_PAUSE_S: Final = 60 / FACTOR
"""A minute, in a hurry. What goes wrong where nothing is scraped or judged for so long says nothing of the service."""

_RULES: Final = {
    rule["alert"]: rule
    for group in shipped("prometheus/alerts.yml")["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
_SCRAPE_INTERVAL_S: Final = seconds(shipped("prometheus/prometheus.yml")["global"]["scrape_interval"])


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
    fired: frozenset[str]
    """Every alert that fired."""
    messages: Sequence[Message]

    @property
    def severity(self) -> str:
        return str(_RULES[self.fault.alert]["labels"]["severity"])

    @property
    def component(self) -> str:
        return str(_RULES[self.fault.alert]["labels"]["component"])

    @property
    def for_s(self) -> float:
        return seconds(_RULES[self.fault.alert]["for"])

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


async def live_through_all(
    faults: Sequence[Fault] = FAULTS, say: Callable[[str], None] = print
) -> dict[str, Episode | BaseException]:
    """Each by the name of its fault, or what went wrong in it. A few at a time, each with a stack of its own."""
    places, starting = asyncio.Semaphore(AT_ONCE), asyncio.Lock()

    async def one(fault: Fault) -> Episode:
        async with places:
            for _ in range(1, ATTEMPTS):
                try:
                    return await live_through(fault, starting, partial(_say_of, fault, say))
                except HeldUp as error:
                    say(f"{fault.name}: once more, {error}")
            return await live_through(fault, starting, partial(_say_of, fault, say))

    ended = await asyncio.gather(*map(one, faults), return_exceptions=True)
    return dict(zip((fault.name for fault in faults), ended, strict=True))


def _say_of(fault: Fault, say: Callable[[str], None], what: str) -> None:
    say(f"{time.strftime('%H:%M:%S')} {fault.name}: {what}")


async def live_through(fault: Fault, starting: asyncio.Lock, say: Callable[[str], None]) -> Episode:
    """Only one starts at a time. Raises `HeldUp` where what went wrong can be the machine's doing."""
    with TemporaryDirectory(prefix="inquiry-svc-alive-") as name:
        async with AsyncExitStack() as opened:
            async with starting:
                stack = await opened.enter_async_context(running_stack(Path(name)))
            try:
                await _told(stack, "FIRING", "Watchdog")
                await until(lambda: _is_calm(stack), "all is calm")
                episode = await _live_through(fault, stack, say)
            except AssertionError as error:
                error.add_note(f"in the episode {fault.name!r}; fires: {await stack.firing()}")
                error.add_note(f"answers: {stack.traffic.statuses}; told: {stack.inbox.messages}")
                if (pause_s := await _pause_s(fault, stack)) > LONGEST_PAUSE_S:
                    raise HeldUp(f"{error}, and the machine paused for {pause_s:.1f} s") from error
                raise
            if episode.is_odd and (pause_s := await _pause_s(fault, stack)) > LONGEST_PAUSE_S:
                what = f"{', '.join(episode.strangers)} fired, {episode.late_s:.1f} s late"
                raise HeldUp(f"{what}, and the machine paused for {pause_s:.1f} s")
            return episode


async def _live_through(fault: Fault, stack: Stack, say: Callable[[str], None]) -> Episode:
    began_at = time.time()
    say("it begins")
    await fault.make(stack)
    say(_shown(await _told(stack, "FIRING", fault.alert), began_at))
    await until(lambda: _fire(stack, fault.silenced), f"{', '.join(fault.silenced)} fire")
    cured_at = time.time()
    say("it is cured")
    await fault.cure(stack)
    say(_shown(await _told(stack, "RESOLVED", fault.alert), cured_at))
    say("also told: " + ", ".join(each.title for each in stack.inbox.messages if each.says[1] != fault.alert))
    await until(lambda: _are_over(stack, fault.silenced), f"{', '.join(fault.silenced)} end")
    since = f'max_over_time(ALERTS_FOR_STATE{{alertname="{fault.alert}"}}[1h])'
    [(_, pending_at)] = await stack.prometheus.ask(since)
    fired = await stack.prometheus.evaluated_at('ALERTS{alertstate="firing"}')
    times = [at for labels, found in fired if labels["alertname"] == fault.alert for at in found]
    return Episode(
        fault=fault,
        began_at=began_at,
        pending_at=pending_at,
        fired_at=min(times),
        cured_at=cured_at,
        over_at=max(times),
        fired=frozenset(labels["alertname"] for labels, found in fired if max(found) > began_at),
        messages=[message for message in stack.inbox.messages if message.at > began_at],
    )


async def _told(stack: Stack, status: str, alert: str) -> Message:
    found: list[Message] = []

    async def is_told() -> bool:
        found.extend(message for message in stack.inbox.messages if message.says == (status, alert))
        return bool(found)

    await until(is_told, f"{status} {alert} arrives")
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


async def _pause_s(fault: Fault, stack: Stack) -> float:
    """The longest time in which nothing was judged, or nothing was scraped that was there."""
    there = ["prometheus_build_info", *(["workers_running"] if fault.alert != "ServiceDown" else [])]
    always = ['ALERTS{alertname="Watchdog"}', *there]
    found = [times for series in always for _, times in await stack.prometheus.evaluated_at(series)]
    return max((later - earlier for times in found for earlier, later in pairwise(times)), default=math.inf)
