"""Who asks the pipeline: through the gate without a task, as the lane does, or in a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from inquiry_svc.batching import Waiting
from inquiry_svc.errors import Overloaded
from inquiry_svc.inquiries import Inquiry
from inquiry_svc.web.gate import PATIENCE_S, Gate
from tests.simulation.providers import Fate

_SWEEPS_S = 0.1
"""How late a deadline is told of at most: each of two stages looks every 50 ms."""
_ADMITTED_S = 0.01
_REFUSED_S = 0.05


class Asking:
    """One question, and what it was told."""

    def __init__(self, inquiry: Inquiry, fate: Fate) -> None:
        self.inquiry = inquiry
        self.told: list[Any] = []
        self.left = False
        self.took_s = 0.0
        self._fate = fate
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._over = asyncio.Event()
        fate.note(f"{self!r} asks")

    def __repr__(self) -> str:
        key = self.inquiry.idempotency_key
        return f"{self.inquiry.inquiry_id} {type(self).__name__} {self.inquiry.body!r} {key.value if key else ''}"

    async def answer(self) -> Any:
        await self._over.wait()
        return self.told[0]

    def leave(self) -> None:
        if not self.told:
            self.left = True
            self._fate.note(f"{self!r} leaves")
            self._cancel()

    def at_most_s(self, deadline_s: float) -> float:
        """It is told within so long what it was told."""
        if isinstance(self.told[0], Overloaded):
            return _REFUSED_S
        return deadline_s + _SWEEPS_S + PATIENCE_S + _ADMITTED_S

    @property
    def is_inside(self) -> bool:
        """Whether its batches will tell it."""
        raise NotImplementedError

    def _cancel(self) -> None:
        raise NotImplementedError

    def _tell(self, found: Any) -> None:
        self.told.append(found)
        self.took_s = self._loop.time() - self._began
        self._fate.note(f"{self!r} is told {in_short(found)}")
        self._over.set()


def in_short(found: Any) -> str:
    """The same in each life of a seed."""
    return repr(found) if isinstance(found, BaseException) else type(found).__name__


class Begin(Protocol):
    def __call__(self, *, tell: Callable[[Any], None]) -> Waiting[Any, Any]: ...


class AtTheGate(Asking):
    def __init__(self, inquiry: Inquiry, gate: Gate, begin: Begin, fate: Fate, *, stages: int) -> None:
        super().__init__(inquiry, fate)
        self.stages = stages
        self._gate = gate
        self._begin = begin
        self._work: Waiting[Any, Any] | asyncio.TimerHandle | None = None
        self.started = self._began
        self.waits = True
        gate.enter(self)

    def begin(self) -> None:
        """It may be asked who it is first, which takes a moment."""
        self.waits = False
        if self._fate.dice.random() < 0.3:
            self._work = self._loop.call_later(self._fate.dice.uniform(0.0, _ADMITTED_S), self._handle)
        else:
            self._handle()

    def give_up(self) -> None:
        """Nothing of it is kept."""

    def refuse(self) -> None:
        if self.waits:
            self.waits = False
            self._gate.refused("id")
            self._tell(Overloaded("at the gate"))

    @property
    def is_inside(self) -> bool:
        return isinstance(self._work, Waiting)

    def _cancel(self) -> None:
        if self.waits:
            self.waits = False
            self._tell(asyncio.CancelledError())
        elif isinstance(self._work, asyncio.TimerHandle):
            self._work.cancel()
            self._told(asyncio.CancelledError())
        elif self._work is not None:
            self._work.cancel()

    def _handle(self) -> None:
        try:
            self._work = self._begin(tell=self._told)
        except Overloaded as error:
            self._told(error)

    def _told(self, found: Any) -> None:
        self._gate.let_out(self)
        self._tell(found)


class InATask(Asking):
    def __init__(self, inquiry: Inquiry, work: Coroutine[Any, Any, Any], fate: Fate, *, patient: bool) -> None:
        super().__init__(inquiry, fate)
        self._patient = patient
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._done)

    def at_most_s(self, deadline_s: float) -> float:
        """Who waits for a place may wait for all who came before."""
        return super().at_most_s(deadline_s) if not self._patient else float("inf")

    @property
    def is_inside(self) -> bool:
        return not self._patient

    def _cancel(self) -> None:
        self._task.cancel()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tell(asyncio.CancelledError() if task.cancelled() else task.exception() or task.result())
