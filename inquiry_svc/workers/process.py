"""A worker as its parent sees it: a process, a link to it, and the last numbers that it told."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

import msgspec

from inquiry_svc.metrics import Snapshot
from inquiry_svc.workers.link import (
    All,
    AskAll,
    AskTurn,
    AskWindow,
    AskYours,
    FromWorker,
    Link,
    Mine,
    Ready,
    TurnOver,
    Window,
    YourTurn,
    open_link,
    to_numbers,
    to_snapshot,
)

Command: TypeAlias = Callable[[int, int], Sequence[str]]
"""The command line of a worker with this number whose end of the link is this file descriptor."""

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
        self._owed: deque[asyncio.Future[None]] = deque()

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
        return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

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
            elif message.asked and self._owed and not (owed := self._owed.popleft()).done():
                owed.set_result(None)

    async def ends(self, *, within_s: float) -> None:
        """Wait for the end of a worker whose link is closed. It is killed if it takes longer."""
        self.is_ready = False
        for owed in self._owed:
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
        owed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owed.append(owed)
        if await self._link.send(AskYours(), timeout_s=within_s):
            await asyncio.wait([owed], timeout=within_s)

    async def answer(self, question: int, whole: Snapshot, *, within_s: float) -> None:
        await self._link.send(All(question, to_numbers(whole)), timeout_s=within_s)

    async def give_turn(self, asked: AskTurn, whole: Snapshot, sent: Snapshot, *, within_s: float) -> bool:
        """Whether it could be told."""
        turn = YourTurn(asked.question, asked.exporter, to_numbers(whole), to_numbers(sent))
        return await self._link.send(turn, timeout_s=within_s)

    async def give_window(self, question: int, found: tuple[int, float] | None, *, within_s: float) -> None:
        await self._link.send(Window(question, found), timeout_s=within_s)

    async def refuse_turn(self, asked: AskTurn, *, within_s: float) -> None:
        await self._link.send(YourTurn(asked.question, asked.exporter, None, []), timeout_s=within_s)
