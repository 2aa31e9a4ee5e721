"""Counts later, many at a time, what happens with every request.

Between two requests the processor has forgotten how to count, and learns it again for each: to put a thing down and to
count sixty-four together costs a third of counting each where it happens. Nothing that reads numbers notices, as they
are read in snapshots, and those count first what was put down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from inquiry_svc.metrics import Metrics

Happened = TypeVar("Happened")


class PutDown(Generic[Happened]):
    """What happened and is not counted yet."""

    __slots__ = ("_count", "_happened", "_together")

    def __init__(self, count: Callable[[Sequence[Happened]], None], metrics: Metrics, *, together: int) -> None:
        """`count` takes them in the order in which they were put down, at most `together`."""
        self._count = count
        self._happened: list[Happened] = []
        self._together = together
        metrics.before_snapshots(self.count)

    def put(self, happened: Happened) -> None:
        self._happened.append(happened)
        if len(self._happened) >= self._together:
            self.count()

    def count(self) -> None:
        """Count what there is."""
        happened, self._happened = self._happened, []
        if happened:
            self._count(happened)
