"""A worker's side of the link: it tells its numbers, asks for everybody's, and stops when the parent is gone."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from inquiry_svc.errors import Unavailable
from inquiry_svc.metrics import Metrics, Snapshot
from inquiry_svc.workers.link import All, AskAll, FromParent, Link, Mine, Ready, open_link, to_numbers, to_snapshot

logger = logging.getLogger(__name__)

_PERIOD_S: Final = 1.0
"""A worker that is killed takes at most what it counted for so long with it, less if it was scraped."""
_SEND_LIMIT_S: Final = 1.0
_ANSWER_LIMIT_S: Final = 2.0
"""The parent waits 0.5 s for the slowest worker."""


@asynccontextmanager
async def joined(link_fd: int, stop: asyncio.Event) -> AsyncIterator[Membership]:
    """Be a worker while open. The end of the parent sets `stop`; on leaving, the last numbers are told."""
    end = socket.socket(fileno=link_fd)
    end.set_inheritable(False)
    link = await open_link(end)
    membership = Membership(link)
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
    def __init__(self, link: Link) -> None:
        self._link = link
        self.metrics = Metrics()
        """What this worker counts in."""
        self._asking = asyncio.Lock()
        self._question = 0
        self._answer: asyncio.Future[Snapshot] | None = None

    async def ready(self) -> None:
        """Say that this worker serves from now on."""
        await self._link.send(Ready(), timeout_s=_SEND_LIMIT_S)

    async def numbers_of_all(self) -> Snapshot:
        """The whole service's numbers. Raises `Unavailable` where the parent does not give them in time.

        This worker's own would not do: counters would seem to have gone down.
        """
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S), self._asking:
                self._question += 1
                self._answer = asyncio.get_running_loop().create_future()
                asked = AskAll(self._question, to_numbers(self.metrics.snapshot()))
                if await self._link.send(asked, timeout_s=_SEND_LIMIT_S):
                    return await self._answer
        except TimeoutError:
            pass
        raise Unavailable("the parent process did not add up the workers' metrics in time")

    async def listen(self, stop: asyncio.Event) -> None:
        """Answer the parent until it is gone."""
        try:
            while (received := await self._link.receive()) is not None:
                message = msgspec.msgpack.decode(received, type=FromParent)
                if not isinstance(message, All):
                    await self.tell(asked=True)
                elif message.question == self._question and self._answer and not self._answer.done():
                    self._answer.set_result(to_snapshot(message.numbers))
            logger.error("the parent process is gone; stopping")
        finally:
            stop.set()

    async def tell_regularly(self) -> None:
        while True:
            await asyncio.sleep(_PERIOD_S)
            await self.tell()

    async def tell(self, *, asked: bool = False) -> None:
        await self._link.send(Mine(to_numbers(self.metrics.snapshot()), asked), timeout_s=_SEND_LIMIT_S)
