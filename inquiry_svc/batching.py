"""Gathers single items into batches: whatever arrived while the previous batch was being worked on is the next one.

No timer waits for a batch to fill: an item that arrives when nothing is going on starts at once and alone, and under
load batches grow by themselves. How many items may wait is the door's decision (`admission.py`), made once for the
whole way. Knows nothing of inquiries.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, TypeAlias, TypeVar

from msgspec import Struct

from inquiry_svc.errors import Unavailable
from inquiry_svc.metrics import GaugeSeries, HistogramSeries
from inquiry_svc.repeating import repeated
from inquiry_svc.told_to_stop import told_to_stop

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Tell: TypeAlias = Callable[[R | BaseException], None]

_SWEEP_S: Final = 0.05
"""How late a deadline may be told of. One look at all of them costs far less than a timer for each."""


class Waiting(Struct, Generic[T, R], eq=False):
    """An item from its arrival until `tell` is called: once, with what came of it, an error, or `CancelledError`.

    Then it is over, unless `tell` has another batcher go on with it.
    """

    item: T
    tell: Tell[R] | None
    """None when it was called."""
    until: float
    """When it is given up, on the clock of `time.monotonic`."""
    caller: asyncio.Future[R] | None = None
    """Of who awaits it: cancelled a moment before it can cancel this."""

    @property
    def is_over(self) -> bool:
        return self.tell is None or (self.caller is not None and self.caller.done())

    def end(self, result: R | BaseException) -> None:
        tell, self.tell = self.tell, None
        if tell is None:
            return
        try:
            tell(result)
        except Exception:
            logger.exception("who was told a result raised")

    def cancel(self) -> None:
        """Leave the queue. Nobody is disturbed, and nothing happens where it is over."""
        if self.tell is not None:
            self.end(asyncio.CancelledError())


async def awaited(begin: Callable[[Tell[R]], Waiting[Any, R]]) -> R:
    """What is told to whoever `begin` is given. A caller that is cancelled leaves the queue."""
    future: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def tell(result: R | BaseException) -> None:
        if future.done():
            return
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)

    waiting = begin(tell)
    waiting.caller = future
    try:
        return await future
    finally:
        waiting.cancel()


class Batcher(Generic[T, R]):
    """`add` one item, be told its result; `work` is called with up to `max_batch` of them, one call at a time.

    `work` returns a result or an exception for each item, in order; if it raises, every item of the batch fails so.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_batch: int,
        depth: GaugeSeries,
        size: HistogramSeries,
        next_first: bool = False,
    ) -> None:
        """With `next_first` results are told when the next batch has begun: for work that waits for somebody else.

        Who would be idle for as long as the telling takes.
        """
        self._work = work
        self._max_batch = max_batch
        self._size = size
        self._next_first = next_first
        self._waiting: list[Waiting[T, R]] = []
        """Those who have gone stay until the next look at the deadlines."""
        self._batch: list[Waiting[T, R]] = []
        """What is being worked on."""
        self._idle: asyncio.Future[None] | None = None
        """Set while there is nothing to do, for the first who comes."""
        depth.follow(lambda: sum(not each.is_over for each in self._waiting))

    def add(self, item: T, tell: Tell[R], *, until: float = math.inf) -> Waiting[T, R]:
        """Have `tell` called with the item's result, in a later turn of the loop; it must not raise.

        It is told `TimeoutError` when there is no result by `until`, on the clock of `time.monotonic`.
        """
        waiting: Waiting[T, R] = Waiting(item, tell, until)
        self._take(waiting)
        return waiting

    def go_on(self, waiting: Waiting[Any, Any], item: T, tell: Tell[R]) -> None:
        """Take over one that another batcher has just told: it waits on here with this item, as long as ever.

        Whoever holds it need not know: to cancel it leaves this queue now.
        """
        waiting.item, waiting.tell = item, tell
        self._take(waiting)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work while open. Leaving breaks the work off; callers who still wait are told `Unavailable`."""
        name = f"batcher {self._work.__qualname__}"
        worker = asyncio.create_task(self._run(), name=name)
        try:
            async with repeated(
                self._tell_the_late,
                period_s=_SWEEP_S,
                first_after_s=_SWEEP_S,
                name=f"deadlines of {name}",
                failing="deadlines can't be told of",
            ):
                yield
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            _end(self._waiting, [_broken_off()] * len(self._waiting))
            self._waiting.clear()

    def _take(self, waiting: Waiting[T, R]) -> None:
        self._waiting.append(waiting)
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
                self._idle = None
            self._batch = self._gather()
            if self._batch:
                self._size.observe(len(self._batch))
                await self._answer(self._batch)
                if not self._next_first:  # work that waits for nobody gave all else no turn
                    await asyncio.sleep(0)

    async def _tell_the_late(self) -> None:
        now = time.monotonic()
        for waiting in (*self._batch, *self._waiting):
            if waiting.until <= now:
                waiting.end(TimeoutError())
        self._waiting[:] = [each for each in self._waiting if not each.is_over]

    def _gather(self) -> list[Waiting[T, R]]:
        batch = [each for each in self._waiting[: self._max_batch] if not each.is_over]
        del self._waiting[: self._max_batch]
        return batch

    async def _answer(self, batch: Sequence[Waiting[T, R]]) -> None:
        try:
            found = await self._work([each.item for each in batch])
            if len(found) != len(batch):
                raise ValueError(f"{len(found)} results for {len(batch)} items")
        except asyncio.CancelledError:
            _end(batch, [_broken_off()] * len(batch))
            if told_to_stop():
                raise
        except Exception as error:
            _end(batch, [error] * len(batch))
        else:
            if self._next_first:
                asyncio.get_running_loop().call_soon(_end, batch, found)
            else:
                _end(batch, found)


def _end(batch: Sequence[Waiting[T, R]], results: Sequence[R | Exception]) -> None:
    for waiting, result in zip(tuple(batch), results, strict=True):
        waiting.end(result)


def _broken_off() -> Unavailable:
    return Unavailable("the work was broken off")


async def isolate(
    work: Callable[[Sequence[T]], Awaitable[Sequence[R]]], items: Sequence[T], *, keep_done: bool = False
) -> list[R | Exception]:
    """Call `work` on all items; where that raises, on each half, and so on, so that only the items at fault fail.

    One bad item among n costs about 2 log2(n) further calls. `Unavailable` and time-outs are not an item's fault and
    are raised at once; so is `Unavailable` where `work` was cancelled by somebody else than our caller. With
    `keep_done` they are the results of the items left over, where work on others had been done.
    """
    try:
        results = await work(items)
        if len(results) != len(items):
            raise ValueError(f"{len(results)} results for {len(items)} items")
        return list(results)
    except (Unavailable, TimeoutError):
        raise
    except asyncio.CancelledError as error:
        if told_to_stop():
            raise
        raise _broken_off() from error
    except Exception as error:
        if len(items) == 1:
            return [error]
    half = len(items) // 2
    done = await isolate(work, items[:half], keep_done=keep_done)
    try:
        return done + await isolate(work, items[half:], keep_done=keep_done)
    except (Unavailable, TimeoutError) as error:
        if not keep_done or all(isinstance(result, Exception) for result in done):
            raise
        return [*done, *[error] * (len(items) - half)]
