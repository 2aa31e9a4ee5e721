"""The windows of the rate limits, as the parent keeps them for all workers: who has which, and until when.

Workers count in them by themselves (`allowances`); the parent only begins one, and reuses its place when it is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from inquiry_svc.allowances import PLACES, SENDER, Allowances

_GRACE_S: Final = 2.0
"""A place is not another caller's yet: a worker may have looked at the clock just before the window's end."""

_FOR_CALLERS: Final = PLACES // 2
"""Of the places: those that no sender's window takes, of which one caller may begin any number."""

_PAUSE_S: Final = 1.0
"""To tidy up takes milliseconds, which callers without end shall not cost for each."""


class Windows:
    """`now` is for tests."""

    def __init__(self, allowances: Allowances, now: Callable[[], float] = time.monotonic) -> None:
        self._allowances = allowances
        self._now = now
        self._free = list(range(PLACES))
        self._begun: dict[str, tuple[int, float]] = {}
        """The place and the end of each caller's, in the order in which they began."""
        self._over: list[tuple[int, float]] = []
        self._tidied_at = float("-inf")

    def window(self, caller: str, requests: int, window_s: int) -> tuple[int, float] | None:
        """The caller's place and when its window ends; a new one if there is none. None where every place is taken."""
        now = self._now()
        found = self._begun.get(caller)
        if found is not None and now < found[1]:
            return found
        if found is not None:
            self._over.append(self._begun.pop(caller))
        if not self._free and now >= self._tidied_at + _PAUSE_S:
            self._tidy(now)
        if not self._free or (caller.startswith(SENDER) and len(self._free) <= _FOR_CALLERS):
            return None
        place = self._free.pop()
        self._allowances.set(place, requests)
        self._begun[caller] = (place, now + window_s)
        return self._begun[caller]

    def _tidy(self, now: float) -> None:
        self._tidied_at = now
        for caller in [caller for caller, (_, ends_at) in self._begun.items() if now >= ends_at]:
            self._over.append(self._begun.pop(caller))
        self._free += [place for place, ends_at in self._over if now >= ends_at + _GRACE_S]
        self._over = [each for each in self._over if now < each[1] + _GRACE_S]
