"""Batches: what arrives together is worked on together, and nobody's misfortune is anybody else's."""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inquiry_svc.batching import Batcher, Waiting, awaited, isolate
from inquiry_svc.errors import Unavailable
from inquiry_svc.metrics import GaugeSeries, HistogramSeries

Work = Callable[[Sequence[int]], Awaitable[Sequence[int | Exception]]]


class Bench:
    """A batcher, its gauge, the batches that it worked on, and a gate that holds the work until it is opened."""

    def __init__(
        self, work: Work | None = None, *, max_batch: int = 4, gate_open: bool = True, next_first: bool = False
    ) -> None:
        self.depth = GaugeSeries()
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        if gate_open:
            self.gate.set()
        self._work = work
        self.batcher: Batcher[int, int] = Batcher(
            self._recorded,
            max_batch=max_batch,
            depth=self.depth,
            size=HistogramSeries((1, 2, 4)),
            next_first=next_first,
        )

    def put(self, item: int, *, until: float = math.inf) -> Coroutine[Any, Any, int]:
        return awaited(partial(self.batcher.add, item, until=until))

    async def _recorded(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        await self.gate.wait()
        return [-item for item in items] if self._work is None else await self._work(items)


async def turns(count: int = 3) -> None:
    """Let everybody else run."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("next_first", [False, True])
async def test_where_work_waits_for_somebody_the_next_batch_begins_before_results_are_told(next_first: bool) -> None:
    bench, seen = Bench(gate_open=False, next_first=next_first), list[int]()
    async with bench.batcher.running():
        bench.batcher.add(0, lambda _: seen.append(len(bench.batches)))
        await turns()
        bench.batcher.add(1, lambda _: seen.append(len(bench.batches)))
        bench.gate.set()
        await turns(6)
    assert seen == ([2, 2] if next_first else [1, 2])


async def test_between_two_batches_of_work_that_waits_for_nobody_all_else_has_its_turn() -> None:
    bench, seen = Bench(max_batch=1), list[int]()

    async def else_() -> None:
        while len(bench.batches) < 3:
            seen.append(len(bench.batches))
            await asyncio.sleep(0)

    async with bench.batcher.running():
        beside = asyncio.create_task(else_())
        await asyncio.gather(*(bench.put(item) for item in range(3)))
        await beside
    assert {1, 2} <= {*seen}


@pytest.mark.parametrize("after", range(5))
async def test_whenever_work_is_broken_off_everybody_is_told_once(after: int) -> None:
    bench, told = Bench(gate_open=False, next_first=True), list[object]()
    async with bench.batcher.running():
        bench.batcher.add(3, told.append)
        await turns()
        bench.gate.set()
        await turns(after)
    assert [found if isinstance(found, int) else type(found) for found in told] in ([-3], [Unavailable])


async def test_what_arrives_during_a_batch_is_the_next_one() -> None:
    bench = Bench(gate_open=False)
    async with bench.batcher.running():
        first = asyncio.create_task(bench.put(0))
        await turns()
        others = [asyncio.create_task(bench.put(item)) for item in range(1, 7)]
        await turns()
        assert bench.depth.value == 6
        bench.gate.set()
        assert await asyncio.gather(first, *others) == [0, -1, -2, -3, -4, -5, -6]
    assert bench.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert bench.depth.value == 0


async def test_nothing_is_kept_of_who_has_gone() -> None:
    bench = Bench(gate_open=False)
    async with bench.batcher.running():
        first = asyncio.create_task(bench.put(0))
        await turns()
        item: Any = asyncio.Event()
        gone = weakref.ref(item)
        bench.batcher.add(item, lambda _: None).cancel()
        del item
        async with asyncio.timeout(30):
            while gone() is not None:  # noqa: ASYNC110 (the batcher tells nobody)
                await asyncio.sleep(0.01)
        assert bench.batches == [[0]], "the batch before is still worked on"
        bench.gate.set()
        assert await first == 0


async def test_who_is_not_answered_by_its_deadline_is_told_so_and_the_others_are_answered() -> None:
    bench = Bench(gate_open=False)
    async with bench.batcher.running():
        working = asyncio.create_task(bench.put(1, until=time.monotonic()))
        await turns()
        waiting = asyncio.create_task(bench.put(2, until=time.monotonic()))
        patient = asyncio.create_task(bench.put(3))
        for late in (working, waiting):
            with pytest.raises(TimeoutError):
                await late
        assert bench.depth.value == 1
        bench.gate.set()
        assert await patient == -3
    assert bench.batches == [[1], [3]]


async def test_a_cancelled_caller_leaves_the_queue_at_once() -> None:
    bench = Bench(gate_open=False)
    async with bench.batcher.running():
        working = asyncio.create_task(bench.put(1))
        await turns()
        waiting = [asyncio.create_task(bench.put(item)) for item in (2, 3)]
        await turns()
        waiting[0].cancel()
        await turns()
        assert bench.depth.value == 1, "a place in the queue is held by nobody"
        bench.gate.set()
        assert [await working, await waiting[1]] == [-1, -3]
    assert bench.batches[1:] == [[3]]


async def test_a_caller_cancelled_while_its_batch_is_worked_on_disturbs_nobody() -> None:
    bench = Bench(gate_open=False)
    async with bench.batcher.running():
        callers = [asyncio.create_task(bench.put(item)) for item in (1, 2, 3)]
        await turns()
        callers[1].cancel()
        bench.gate.set()
        assert (await asyncio.gather(*callers, return_exceptions=True))[::2] == [-1, -3]
        assert callers[1].cancelled()


async def test_who_is_told_is_told_once_and_one_who_raises_over_it_keeps_nobody_from_being_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench, told = Bench(gate_open=False), []

    def raises(result: int | BaseException) -> None:
        told.append(result)
        raise LookupError("over what it was told")

    async with bench.batcher.running():
        first = bench.batcher.add(1, raises)
        gone = bench.batcher.add(2, told.append)
        bench.batcher.add(3, told.append)
        await turns()
        assert not told
        gone.cancel()
        bench.gate.set()
        assert await bench.put(4) == -4
        first.cancel()
        gone.cancel()
    assert isinstance(told[0], asyncio.CancelledError)
    assert told[1:] == [-1, -3]
    assert "who was told a result raised" in caplog.text


async def test_who_goes_on_to_another_batcher_waits_there_with_the_same_deadline_and_can_leave_it() -> None:
    first, then, told = Bench(), Bench(gate_open=False), list[int | BaseException]()
    begun: list[Waiting[Any, int]] = []

    def begin(item: int, *, until: float = math.inf) -> Waiting[Any, int]:
        def go_on(result: int | BaseException) -> None:
            assert isinstance(result, int)
            then.batcher.go_on(waiting, result, told.append)

        waiting = first.batcher.add(item, go_on, until=until)
        begun.append(waiting)
        return waiting

    async with then.batcher.running(), first.batcher.running():
        begin(1)
        await turns(6)
        assert then.batches == [[-1]]
        gone, late, kept = begin(2), begin(3, until=time.monotonic() + 0.01), begin(4)
        await turns(6)
        assert (then.depth.value, told) == (3, [])
        gone.cancel()
        async with asyncio.timeout(30):
            while not late.is_over:  # noqa: ASYNC110 (told by the clock)
                await asyncio.sleep(0.01)
        assert (then.depth.value, kept.is_over) == (1, False)
        then.gate.set()
        assert await then.put(5) == -5
    assert [type(each) for each in told] == [asyncio.CancelledError, TimeoutError, int, int]
    assert told[2:] == [1, 4]
    assert then.batches == [[-1], [-4, 5]]
    assert all(each.is_over for each in begun)


async def test_a_batch_that_raises_fails_its_own_callers_and_no_later_ones() -> None:
    async def work(items: Sequence[int]) -> Sequence[int | Exception]:
        if 13 in items:
            raise LookupError("thirteen")
        return [-item for item in items]

    bench = Bench(work)
    async with bench.batcher.running():
        with pytest.raises(LookupError):
            await bench.put(13)
        assert await bench.put(14) == -14


@pytest.mark.parametrize("too_few", [True, False])
async def test_work_that_answers_for_another_number_of_items_fails_its_batch_and_the_worker_lives(
    too_few: bool,
) -> None:
    async def work(items: Sequence[int]) -> Sequence[int | Exception]:
        if items[0] > 0:
            return list(items)
        return [] if too_few else [*items, 1]

    bench = Bench(work)
    async with bench.batcher.running():
        with pytest.raises(ValueError, match="results for 1 items"):
            await bench.put(0)
        assert await bench.put(5) == 5


async def test_work_that_is_cancelled_from_within_fails_its_batch_and_the_worker_lives() -> None:
    async def work(items: Sequence[int]) -> Sequence[int | Exception]:
        if items[0] == 0:
            raise asyncio.CancelledError
        return list(items)

    bench = Bench(work)
    async with bench.batcher.running():
        with pytest.raises(Unavailable):
            await bench.put(0)
        assert await bench.put(5) == 5


async def test_callers_who_still_wait_when_the_batcher_closes_are_told_so() -> None:
    bench = Bench(max_batch=1, gate_open=False)
    async with bench.batcher.running():
        callers = [asyncio.create_task(bench.put(item)) for item in (1, 2, 3)]
        await turns()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert bench.depth.value == 0


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 5)), max_size=25),
    max_batch=st.integers(1, 6),
    work_turns=st.integers(0, 4),
)
@settings(max_examples=150)
def test_no_item_is_lost_doubled_or_reordered_whoever_hangs_up(
    arrivals: list[tuple[int, int | None]], max_batch: int, work_turns: int
) -> None:
    async def work(items: Sequence[int]) -> Sequence[int | Exception]:
        await turns(work_turns)
        return [-item for item in items]

    async def call(bench: Bench, item: int, patience_turns: int | None) -> int | None:
        caller = asyncio.create_task(bench.put(item))
        if patience_turns is not None:
            await turns(patience_turns)
            caller.cancel()
        return (await asyncio.gather(caller, return_exceptions=True))[0] if not caller.cancelled() else None  # type: ignore[return-value]

    async def run() -> None:
        bench = Bench(work, max_batch=max_batch)
        callers = []
        async with bench.batcher.running():
            for item, (pause_turns, patience_turns) in enumerate(arrivals):
                await turns(pause_turns)
                callers.append(asyncio.create_task(call(bench, item, patience_turns)))
            answers = await asyncio.gather(*callers)
        worked_on = [item for batch in bench.batches for item in batch]
        assert worked_on == sorted(set(worked_on)), "reordered or doubled"
        assert all(len(batch) <= max_batch for batch in bench.batches)
        for item, (_, patience_turns) in enumerate(arrivals):
            if patience_turns is None:
                assert answers[item] == -item
            if answers[item] == -item:
                assert item in worked_on
        assert bench.depth.value == 0

    asyncio.run(run())


# isolate


@given(items=st.lists(st.integers(), min_size=1, max_size=64), bad=st.sets(st.integers(0, 63)), shorter=st.booleans())
@settings(max_examples=150)
def test_isolate_fails_only_the_items_at_fault(items: list[int], bad: set[int], shorter: bool) -> None:
    bad = {place for place in bad if place < len(items)}
    calls = 0

    async def work(batch: Sequence[tuple[int, int]]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        if any(place in bad for place, _ in batch):
            if shorter:
                return []
            raise LookupError("a bad one")
        return [value + 1 for _, value in batch]

    results = asyncio.run(isolate(work, list(enumerate(items))))
    assert {place for place, result in enumerate(results) if isinstance(result, Exception)} == bad
    assert [r for r in results if not isinstance(r, Exception)] == [
        value + 1 for place, value in enumerate(items) if place not in bad
    ]
    assert calls <= 1 + 2 * len(bad) * math.ceil(math.log2(len(items) or 1) + 1)


@pytest.mark.parametrize("error", [Unavailable("gone"), TimeoutError("late")])
async def test_isolate_does_not_halve_a_batch_when_the_provider_is_gone(error: Exception) -> None:
    calls = 0

    async def work(items: Sequence[int]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        await isolate(work, [1, 2, 3, 4])
    assert calls == 1


async def test_isolate_takes_a_provider_cancelled_from_within_for_gone() -> None:
    async def work(items: Sequence[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable):
        await isolate(work, [1, 2])


async def test_isolate_lets_its_own_caller_be_cancelled() -> None:
    async def work(items: Sequence[int]) -> Sequence[int]:
        await asyncio.Event().wait()
        return items

    isolating = asyncio.create_task(isolate(work, [1, 2]))
    await turns()
    isolating.cancel()
    await asyncio.gather(isolating, return_exceptions=True)
    assert isolating.cancelled()
