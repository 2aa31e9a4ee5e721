"""Gathers single items into batches: whatever arrived while the previous batch was being worked on is the next one.

No timer waits for a batch to fill: an item that arrives when nothing is going on starts at once and alone, and under
load batches grow by themselves. How many items may wait is the door's decision (`admission.py`), made once for the
whole way. Knows nothing of inquiries.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar

from inquiry_svc.errors import Unavailable
from inquiry_svc.metrics import GaugeSeries, HistogramSeries
from inquiry_svc.repeating import repeated

T = TypeVar("T")
R = TypeVar("R")

_SWEEP_S: Final = 0.05
"""How late a deadline may be told of. One look at all of them costs far less than a timer for each."""


class Batcher(Generic[T, R]):
    """`put` one item, get its result; `work` is called with up to `max_batch` of them, one call at a time.

    `work` returns a result or an exception for each item, in order; if it raises, every item of the batch fails so.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_batch: int,
        depth: GaugeSeries,
        size: HistogramSeries,
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._size = size
        self._waiting: OrderedDict[asyncio.Future[R], T] = OrderedDict()
        self._until: dict[asyncio.Future[R], float] = {}
        """When those who wait, or are being worked on, give up."""
        self._arrived = asyncio.Event()
        depth.follow(lambda: len(self._waiting))

    async def put(self, item: T, *, until: float = math.inf) -> R:
        """Wait for the item's result. A caller that is cancelled leaves the queue and disturbs nobody.

        Raises `TimeoutError` when there is none by `until`, on the clock of `time.monotonic`.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting[future] = item
        self._until[future] = until
        self._arrived.set()
        try:
            return await future
        finally:
            self._waiting.pop(future, None)
            del self._until[future]

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
            _settle(self._waiting, [_broken_off()] * len(self._waiting))
            self._waiting.clear()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._gather()
            if batch:
                self._size.observe(len(batch))
                await self._answer(batch)

    async def _tell_the_late(self) -> None:
        now = time.monotonic()
        for future, until in self._until.items():
            if until <= now and not future.done():
                future.set_exception(TimeoutError())

    def _gather(self) -> dict[asyncio.Future[R], T]:
        batch: dict[asyncio.Future[R], T] = {}
        while self._waiting and len(batch) < self._max_batch:
            future, item = self._waiting.popitem(last=False)
            if not future.done():  # cancelled this very moment: its caller has not run yet
                batch[future] = item
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _answer(self, batch: Mapping[asyncio.Future[R], T]) -> None:
        results: Sequence[R | Exception] = [_broken_off()] * len(batch)
        try:
            found = await self._work(list(batch.values()))
            if len(found) != len(batch):
                raise ValueError(f"{len(found)} results for {len(batch)} items")
            results = found
        except asyncio.CancelledError:
            if _stopping():
                raise
        except Exception as error:
            results = [error] * len(batch)
        finally:
            _settle(batch, results)


def _settle(futures: Iterable[asyncio.Future[R]], results: Iterable[R | Exception]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _broken_off() -> Unavailable:
    return Unavailable("the work was broken off")


def _stopping() -> bool:
    """Whether this task was cancelled. If not, a `CancelledError` comes from within what it called."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def isolate(work: Callable[[Sequence[T]], Awaitable[Sequence[R]]], items: Sequence[T]) -> list[R | Exception]:
    """Call `work` on all items; where that raises, on each half, and so on, so that only the items at fault fail.

    One bad item among n costs about 2 log2(n) further calls. `Unavailable` and time-outs are not an item's fault and
    are raised at once; so is `Unavailable` where `work` was cancelled by somebody else than our caller.
    """
    try:
        results = await work(items)
        if len(results) != len(items):
            raise ValueError(f"{len(results)} results for {len(items)} items")
        return list(results)
    except (Unavailable, TimeoutError):
        raise
    except asyncio.CancelledError as error:
        if _stopping():
            raise
        raise _broken_off() from error
    except Exception as error:
        if len(items) == 1:
            return [error]
    half = len(items) // 2
    return await isolate(work, items[:half]) + await isolate(work, items[half:])
