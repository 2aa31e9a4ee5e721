"""A worker's side of the link: it tells its numbers, asks for everybody's, and stops when the parent is gone.

It also asks for the turn to send everybody's numbers on, and where callers' windows are: it is one of `pushing.Turns`
and one of `rate_limits.SharedWindows`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import msgspec

from inquiry_svc.allowances import Allowances
from inquiry_svc.errors import Unavailable
from inquiry_svc.metrics import Metrics, Snapshot
from inquiry_svc.pushing import Turn
from inquiry_svc.settings import LimitsSettings
from inquiry_svc.workers.link import (
    All,
    AskAll,
    AskTurn,
    AskWindow,
    AskYours,
    FromParent,
    Link,
    Mine,
    Numbers,
    Ready,
    TurnOver,
    Window,
    YourTurn,
    open_link,
    to_numbers,
    to_snapshot,
)

logger = logging.getLogger(__name__)

Answer: TypeAlias = All | YourTurn | Window

_PERIOD_S: Final = 1.0
"""A worker that is killed takes at most what it counted for so long with it, less if it was scraped."""
_SEND_LIMIT_S: Final = 1.0
_ANSWER_LIMIT_S: Final = 2.0
"""The parent waits 0.5 s for the slowest worker."""
_WINDOW_LIMIT_S: Final = 0.25
"""A request waits for it."""


@asynccontextmanager
async def joined(link_fd: int, stop: asyncio.Event, allowances: Allowances | None = None) -> AsyncIterator[Membership]:
    """Be a worker while open. The end of the parent sets `stop`; on leaving, the last numbers are told."""
    end = socket.socket(fileno=link_fd)
    end.set_inheritable(False)
    link = await open_link(end)
    membership = Membership(link, allowances)
    tasks = [
        asyncio.create_task(membership.listen(stop), name="listening to the parent"),
        asyncio.create_task(membership.tell_regularly(), name="telling the parent"),
    ]
    try:
        yield membership
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await membership.tell()
        link.close()


class Membership:
    def __init__(self, link: Link, allowances: Allowances | None) -> None:
        self.allowances = allowances
        self._link = link
        self.metrics = Metrics()
        """What this worker counts in."""
        self._asking = asyncio.Lock()
        self._question = 0
        self._answers: dict[int, asyncio.Future[Answer]] = {}

    async def ready(self) -> None:
        """Say that this worker serves from now on."""
        await self._link.send(Ready(), timeout_s=_SEND_LIMIT_S)

    async def numbers_of_all(self) -> Snapshot:
        """The whole service's numbers. Raises `Unavailable` where the parent does not give them in time.

        This worker's own would not do: counters would seem to have gone down.
        """
        async with _in_time(), self._asking:
            answer = await self._asked(AskAll(self._next_question(), self._numbers()))
        return to_snapshot(answer.numbers if isinstance(answer, All) else [])

    @asynccontextmanager
    async def turn(self, exporter: str, period_s: float, *, last: bool) -> AsyncIterator[Turn | None]:
        """See `pushing.Turns`."""
        async with _in_time():
            answer = await self._asked(AskTurn(self._next_question(), self._numbers(), exporter, period_s, last))
        if not isinstance(answer, YourTurn) or answer.numbers is None:
            yield None
            return
        over = TurnOver(exporter, sent=False)
        try:
            yield Turn(to_snapshot(answer.numbers), to_snapshot(answer.sent))
            over.sent = True
        finally:
            await self._link.send(over, timeout_s=_SEND_LIMIT_S)

    async def window(self, caller: str, settings: LimitsSettings) -> tuple[int, float] | None:
        """See `rate_limits.SharedWindows`."""
        asked = AskWindow(self._next_question(), caller, settings.requests, settings.window_s)
        try:
            async with asyncio.timeout(_WINDOW_LIMIT_S):
                answer = await self._asked(asked)
        except TimeoutError:
            return None
        return answer.found if isinstance(answer, Window) else None

    async def _asked(self, asked: AskAll | AskTurn | AskWindow) -> Answer:
        """Raises `TimeoutError` where the parent can't be asked."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[asked.question] = answer
        try:
            if not await self._link.send(asked, timeout_s=_SEND_LIMIT_S):
                raise TimeoutError
            return await answer
        finally:
            del self._answers[asked.question]

    async def listen(self, stop: asyncio.Event) -> None:
        """Answer the parent until it is gone."""
        try:
            while (received := await self._link.receive()) is not None:
                message = msgspec.msgpack.decode(received, type=FromParent)
                if isinstance(message, AskYours):
                    await self.tell(asked=message)
                elif (answer := self._answers.get(message.question)) and not answer.done():
                    answer.set_result(message)
                elif isinstance(message, YourTurn) and message.numbers is not None:  # who wanted it has gone
                    await self._link.send(TurnOver(message.exporter, sent=False), timeout_s=_SEND_LIMIT_S)
            logger.error("the parent process is gone; stopping")
        finally:
            stop.set()

    async def tell_regularly(self) -> None:
        while True:
            await asyncio.sleep(_PERIOD_S)
            await self.tell()

    async def tell(self, *, asked: AskYours | None = None) -> None:
        question = 0 if asked is None else asked.question
        await self._link.send(Mine(self._numbers(), asked is not None, question), timeout_s=_SEND_LIMIT_S)

    def _numbers(self) -> Numbers:
        return to_numbers(self.metrics.snapshot())

    def _next_question(self) -> int:
        self._question += 1
        return self._question


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            yield
    except TimeoutError as error:
        raise Unavailable("the parent process did not add up the workers' metrics in time") from error
