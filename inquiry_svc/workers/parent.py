"""The parent: keeps a number of workers running until it is told to stop, and knows the numbers of all of them.

SIGTERM and SIGINT stop the service, every worker drained; SIGHUP renews the workers one after the other, each drained
when its successor serves. The first worker starts alone: what is wrong with the service is then said once, by it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from inquiry_svc.allowances import Allowances
from inquiry_svc.metrics import Snapshot
from inquiry_svc.workers.link import All, AskAll, AskTurn, AskWindow, Ready, Window, YourTurn, to_numbers
from inquiry_svc.workers.process import Command, Worker, start_worker
from inquiry_svc.workers.sending import Sending
from inquiry_svc.workers.totals import Totals
from inquiry_svc.workers.windows import Windows

logger = logging.getLogger(__name__)

_YOUNG_S: Final = 10.0
_LONGEST_PAUSE_S: Final = 10.0
_START_LIMIT_S: Final = 60.0
_NUMBERS_LIMIT_S: Final = 0.5
_TURN_LIMIT_S: Final = 0.8
"""A worker that leaves waits 1 s for its last turn and for what it sends then."""


async def keep_workers(
    count: int, command: Command, *, serving: Callable[[], None], stop_limit_s: float, memory_fd: int | None = None
) -> int:
    """Serve until told to stop; the exit code. `serving` is called once, when all serve.

    `memory_fd` is the memory of `allowances`, which the workers share: they have it open under the same number.

    A worker that takes longer than `stop_limit_s` to stop is killed.
    """
    async with asyncio.TaskGroup() as tasks:
        return await _Parent(count, command, stop_limit_s, tasks, memory_fd).run(serving)


class _Parent:
    def __init__(
        self, count: int, command: Command, stop_limit_s: float, tasks: asyncio.TaskGroup, memory_fd: int | None
    ) -> None:
        self._count = count
        self._command = command
        self._stop_limit_s = stop_limit_s
        self._tasks = tasks
        self._workers: list[Worker] = []
        """Whose process or link is there, whatever it does."""
        self._shared_fds = () if memory_fd is None else (memory_fd,)
        self._windows = None if memory_fd is None else Windows(Allowances(memory_fd))
        self._totals = Totals()
        self._sending = Sending()
        self._changed = asyncio.Event()
        self._stopping = False
        self._renewal_wanted = False

    async def run(self, serving: Callable[[], None]) -> int:
        with self._signals():
            first = await self._start(1)
            if first is None or not await self._becomes_ready(first):
                if not self._stopping:
                    return _told_of(first)
            else:
                first.is_kept = True
                for number in range(2, self._count + 1):
                    self._tasks.create_task(self._keep_one(number, young_deaths=0), name=f"worker {number}")
                await self._until(lambda: sum(worker.is_ready for worker in self._workers) >= self._count)
                if not self._stopping:
                    serving()
                await self._renew_until_stopped()
            await self._stop()
        return 0

    # What the parent is told, and waits for

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers = {
            signal.SIGTERM: self._stop_wanted,
            signal.SIGINT: self._stop_wanted,
            signal.SIGHUP: self._renew_wanted,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _stop_wanted(self) -> None:
        self._stopping = True
        self._changed.set()

    def _renew_wanted(self) -> None:
        self._renewal_wanted = True
        self._changed.set()

    async def _until(self, holds: Callable[[], bool], *, even_if_stopping: bool = False) -> None:
        while not holds() and (even_if_stopping or not self._stopping):
            self._changed.clear()
            await self._changed.wait()

    # One worker

    async def _start(self, number: int, *, young_deaths: int = 0) -> Worker | None:
        """A worker that is not kept yet; None where the system starts no more processes."""
        try:
            worker = await start_worker(number, self._command, self._shared_fds)
        except OSError as error:
            logger.error("worker %d can't be started", number, exc_info=error)
            return None
        worker.young_deaths = young_deaths
        self._workers.append(worker)
        self._tasks.create_task(self._watch(worker), name=f"watch on worker {number}")
        if self._stopping:
            worker.tell(signal.SIGTERM)
            self._tasks.create_task(self._gone(worker), name=f"end of worker {number}")  # `_stop` may not have seen it
        return worker

    async def _becomes_ready(self, worker: Worker) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_LIMIT_S):
                await self._until(lambda: worker.is_ready or worker not in self._workers)
        if not worker.is_ready and not self._stopping:
            worker.tell(signal.SIGKILL)
            await self._until(lambda: worker not in self._workers)
        return worker.is_ready

    async def _keep_one(self, number: int, *, young_deaths: int) -> None:
        """Start a worker that is started again whenever it dies, later and later if it dies young."""
        worker = None
        while worker is None and not self._stopping:
            pause_s = 0.0 if young_deaths < 2 else min(_LONGEST_PAUSE_S, 2.0 ** min(young_deaths - 2, 10))
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._until(lambda: False)
            if not self._stopping and (worker := await self._start(number, young_deaths=young_deaths)):
                worker.is_kept = True
            young_deaths += 1

    async def _watch(self, worker: Worker) -> None:
        """A worker's whole life and, if it was to go on, another's start."""
        async for message in worker.messages():
            match message:
                case AskAll():
                    self._tasks.create_task(self._answer(worker, message.question), name="scrape")
                case AskTurn():
                    self._tasks.create_task(self._give_turn(worker, message), name="turn to send")
                case AskWindow():
                    self._tasks.create_task(self._give_window(worker, message), name="window")
                case Ready():
                    worker.is_ready = True
                case _:
                    self._sending.end(message.exporter, worker, sent=message.sent)
            self._changed.set()
        await worker.ends(within_s=self._stop_limit_s)
        self._workers.remove(worker)
        self._totals.retire(worker.numbers)
        self._sending.leave(worker)
        self._changed.set()
        if worker.is_kept and not self._stopping:
            logger.error("worker %d (process %d) ended with %s", worker.number, worker.process_id, worker.end)
            self._totals.restarted()
            young_deaths = worker.young_deaths + 1 if worker.age_s < _YOUNG_S else 0
            await self._keep_one(worker.number, young_deaths=young_deaths)

    async def _gone(self, worker: Worker) -> None:
        """Wait for a worker that was told to stop; kill it when its time is up."""
        try:
            async with asyncio.timeout(self._stop_limit_s):
                await self._until(lambda: worker not in self._workers, even_if_stopping=True)
        except TimeoutError:
            logger.error("worker %d did not stop within %g s and is killed", worker.number, self._stop_limit_s)
            worker.tell(signal.SIGKILL)
            await self._until(lambda: worker not in self._workers, even_if_stopping=True)

    # All of them

    async def _stop(self) -> None:
        for worker in self._workers:
            worker.tell(signal.SIGTERM)
        await asyncio.gather(*(self._gone(worker) for worker in self._workers))

    async def _renew_until_stopped(self) -> None:
        while not self._stopping:
            await self._until(lambda: self._renewal_wanted)
            if not self._stopping:
                self._renewal_wanted = False
                await self._renew()

    async def _renew(self) -> None:
        """Each worker's successor serves before it is told to stop, so there are never fewer than there should be."""
        logger.info("renewing the workers")
        for old in [worker for worker in self._workers if worker.is_kept]:
            successor = await self._start(old.number)
            if successor is None or not await self._becomes_ready(successor):
                if not self._stopping:
                    logger.error("worker %d can't be renewed; the others go on as they are", old.number)
                return
            successor.is_kept = True
            leaving = old if old in self._workers else successor  # who died meanwhile has a successor already
            leaving.is_kept = False
            leaving.tell(signal.SIGHUP)
            await self._gone(leaving)
        logger.info("renewed the workers")

    async def _answer(self, scraped: Worker, question: int) -> None:
        whole = await self._whole(scraped)
        await scraped.send(All(question, to_numbers(whole)), within_s=_NUMBERS_LIMIT_S)

    async def _give_turn(self, worker: Worker, asked: AskTurn) -> None:
        if asked.last:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TURN_LIMIT_S):
                    await self._until(lambda: self._sending.is_free(asked.exporter, worker), even_if_stopping=True)
        if not self._sending.begin(asked.exporter, worker, asked.period_s, last=asked.last):
            await worker.send(YourTurn(asked.question, asked.exporter, None, []), within_s=_NUMBERS_LIMIT_S)
            return
        whole = await self._whole(worker)
        sent = self._sending.note(asked.exporter, whole)
        turn = YourTurn(asked.question, asked.exporter, to_numbers(whole), to_numbers(sent))
        if not await worker.send(turn, within_s=_NUMBERS_LIMIT_S):
            self._sending.end(asked.exporter, worker, sent=False)

    async def _give_window(self, worker: Worker, asked: AskWindow) -> None:
        windows = self._windows
        found = None if windows is None else windows.window(asked.caller, asked.requests, asked.window_s)
        await worker.send(Window(asked.question, found), within_s=_NUMBERS_LIMIT_S)

    async def _whole(self, asking: Worker) -> Snapshot:
        """Everybody's numbers as they are now; those of the worker that asks came with its question."""
        others = [worker for worker in self._workers if worker is not asking]
        await asyncio.gather(*(worker.tell_numbers(within_s=_NUMBERS_LIMIT_S) for worker in others))
        living = sorted(self._workers, key=lambda worker: worker is not asking)  # its declarations come first
        return self._totals.whole([worker.numbers for worker in living])


def _told_of(first: Worker | None) -> int:
    """The exit code of a service that could not start, after a line that says why: the worker's own if it wrote one."""
    if first is None or first.exit_code is None:
        return 1
    if first.exit_code <= 0:
        logger.error("the first worker ended with %s before it served", first.end)
        return 1
    return first.exit_code
