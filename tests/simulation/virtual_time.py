"""An event loop whose clock jumps to whatever happens next: hours take milliseconds, and nothing else has a say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")


class VirtualLoop(asyncio.BaseEventLoop):
    """It knows no sockets, and no thread can wake it."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        self._selector = self
        self.complaints: list[dict[str, Any]] = []
        """What went wrong where nobody could be told."""
        self.set_exception_handler(lambda _, told: self.complaints.append(told))

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """What asyncio waits with."""
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        self._now += max(0.0, timeout)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""


@contextmanager
def _on_the_clock_of(loop: VirtualLoop) -> Iterator[None]:
    with patch.object(time, "monotonic", loop.time), patch.object(time, "perf_counter", loop.time):
        yield


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, at once. Raises where something went wrong that nobody was told of."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        with _on_the_clock_of(loop):
            found = runner.run(main)
        assert not loop.complaints, loop.complaints
        return found
