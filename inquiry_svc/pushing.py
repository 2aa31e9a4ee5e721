"""Calls the exporters that send: once a period and once more at the stop, with the numbers of the whole service.

Of several processes one at a time sends, whoever comes first when it is due, so that nothing is sent twice; who that is
and what was sent before is decided by `Turns`, which the workers' parent keeps where there are workers. A process that
is killed after it sent and before it said so is the exception: that is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from inquiry_svc.catalogue import EXPORTER_PUSHES
from inquiry_svc.contracts import PushingExporter
from inquiry_svc.metrics import Metrics, Snapshot
from inquiry_svc.told_to_stop import told_to_stop

logger = logging.getLogger(__name__)

_LIMIT_S: Final = 10.0
_LAST_LIMIT_S: Final = 1.0
"""At the stop, for which `server.stop_timeout_s` has been waited already."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What to send, and what was sent before."""

    snapshot: Snapshot
    sent: Snapshot


class Turns(Protocol):
    def turn(self, exporter: str, period_s: float, *, last: bool) -> AbstractAsyncContextManager[Turn | None]:
        """Hold the turn to send, or None: another process has it, or had it less than a period ago.

        Leaving without an exception notes that it was sent. At the `last` turn another's end is waited for, and it may
        be any time. Raises `Unavailable` where the numbers can't be had.
        """


class OwnTurns:
    """Of a service that is one process: always its turn."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._sent: dict[str, Snapshot] = {}

    @asynccontextmanager
    async def turn(self, exporter: str, period_s: float, *, last: bool) -> AsyncIterator[Turn | None]:
        snapshot = self._metrics.snapshot()
        yield Turn(snapshot, self._sent.get(exporter, []))
        self._sent[exporter] = snapshot


@asynccontextmanager
async def pushed_regularly(
    exporters: Mapping[str, PushingExporter], turns: Turns, metrics: Metrics
) -> AsyncIterator[None]:
    """Send while open and, on leaving, a last time."""
    pushes = [_Pushes(name, exporter, turns, metrics) for name, exporter in exporters.items()]
    leaving = asyncio.Event()
    tasks = [asyncio.create_task(each.until(leaving), name=f"pushing to {each.name}") for each in pushes]
    try:
        yield
    finally:
        leaving.set()  # what is being sent now is let through: broken off, it might be counted twice
        _, stuck = await asyncio.wait(tasks, timeout=_LAST_LIMIT_S) if tasks else (None, ())
        for task in stuck:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(each.once(last=True) for each in pushes))


class _Pushes:
    """One exporter's."""

    def __init__(self, name: str, exporter: PushingExporter, turns: Turns, metrics: Metrics) -> None:
        self.name = name
        self._exporter = exporter
        self._turns = turns
        self._failing = False
        self._ok = metrics.series(EXPORTER_PUSHES, exporter=name, result="ok")
        self._failed = metrics.series(EXPORTER_PUSHES, exporter=name, result="failed")

    async def until(self, leaving: asyncio.Event) -> None:
        while not leaving.is_set():
            try:
                async with asyncio.timeout(self._exporter.period_s):
                    await leaving.wait()
            except TimeoutError:
                await self.once()

    async def once(self, *, last: bool = False) -> None:
        try:
            async with asyncio.timeout(_LAST_LIMIT_S if last else _LIMIT_S):
                await self._push(last=last)
        except (Exception, asyncio.CancelledError) as error:
            if told_to_stop():
                raise
            self._failed.inc()
            if not self._failing:
                logger.warning("exporter %s did not send; it tries again each period", self.name, exc_info=error)
            self._failing = True

    async def _push(self, *, last: bool) -> None:
        async with self._turns.turn(self.name, self._exporter.period_s, last=last) as turn:
            if turn is None:
                return
            await self._exporter.push(turn.snapshot, turn.sent)
        self._ok.inc()
        self._failing = False
