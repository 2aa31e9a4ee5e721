"""A worker as its parent sees it: a process, a link to it, and the last numbers that it told."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import msgspec

from inquiry_svc.metrics import Snapshot
from inquiry_svc.workers.link import (
    AskAll,
    AskTurn,
    AskWindow,
    AskYours,
    FromParent,
    FromWorker,
    Link,
    Mine,
    Ready,
    TurnOver,
    open_link,
    to_snapshot,
)

Command: TypeAlias = Callable[[int, int], Sequence[str]]
"""The command line of a worker with this number whose end of the link is this file descriptor."""

_SIGNALS: Final = {each.value: each.name for each in signal.Signals}
"""Not all have a name."""
_UNANSWERED: Final = 8
"""A worker that owes so many answers is asked nothing more: it is stopped, or stuck."""


async def start_worker(number: int, command: Command, shared_fds: Sequence[int] = ()) -> Worker:
    """A fresh interpreter, in a process group of its own: Ctrl-C is for the parent, who tells the workers.

    It has `shared_fds` open, under the same numbers. Raises `OSError` when the system starts no more processes.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                *command(number, theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *shared_fds),
                process_group=0,
            )
        except OSError:
            ours.close()
            raise
    return Worker(number, process, await open_link(ours))


class Worker:
    def __init__(self, number: int, process: asyncio.subprocess.Process, link: Link) -> None:
        self.number = number
        self.is_ready = False
        self.is_kept = False
        """Whether another is started when it dies."""
        self.young_deaths = 0
        """How many before it died young, one after the other."""
        self.numbers: Snapshot = []
        """The newest that are known."""
        self._process = process
        self._link = link
        self._started_at = time.monotonic()
        self._question = 0
        self._owed: dict[int, asyncio.Future[None]] = {}
        """By question."""

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal, None while it runs."""
        return self._process.returncode

    @property
    def end(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode or 0
        return f"exit code {code}" if code >= 0 else f"signal {_SIGNALS.get(-code, -code)}"

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started_at

    def tell(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def messages(self) -> AsyncIterator[Ready | AskAll | AskTurn | TurnOver | AskWindow]:
        """What it says, until its end of the link is closed. Its numbers are noted on the way."""
        while (received := await self._link.receive()) is not None:
            message = msgspec.msgpack.decode(received, type=FromWorker)
            if isinstance(message, Mine | AskAll | AskTurn):
                self.numbers = to_snapshot(message.numbers)
            if not isinstance(message, Mine):
                yield message
            elif message.asked:
                self._answered(message.question or min(self._owed, default=0))

    def _answered(self, question: int) -> None:
        """And those before it, whose answers were lost."""
        for each in [each for each in self._owed if each <= question]:
            if not (owed := self._owed.pop(each)).done():
                owed.set_result(None)

    async def ends(self, *, within_s: float) -> None:
        """Wait for the end of a worker whose link is closed. It is killed if it takes longer."""
        self.is_ready = False
        for owed in self._owed.values():
            owed.cancel()
        self._link.close()
        try:
            async with asyncio.timeout(within_s):
                await self._process.wait()
        except TimeoutError:
            self.tell(signal.SIGKILL)
            await self._process.wait()

    async def tell_numbers(self, *, within_s: float) -> None:
        """Have it tell its numbers as they are now. If it does not in time, the last ones stay."""
        if not self.is_ready or len(self._owed) >= _UNANSWERED:
            return
        self._question = question = self._question + 1
        self._owed[question] = owed = asyncio.get_running_loop().create_future()
        if await self.send(AskYours(question), within_s=within_s):
            await asyncio.wait([owed], timeout=within_s)
        else:
            self._owed.pop(question, None)

    async def send(self, message: FromParent, *, within_s: float) -> bool:
        """Whether it could be told."""
        return await self._link.send(message, timeout_s=within_s)
