"""How often each caller may come: so many requests in a window that begins with the caller's first.

A fixed window says truthfully what is left and until when, which is what the `RateLimit` header is for. Workers of one
service share their windows: who keeps them all (`SharedWindows`) is asked once for each, and each request then takes
one of what is left in memory that all of them see. Where it can't be asked, a worker counts for itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from inquiry_svc.allowances import PLACES, Allowances
from inquiry_svc.settings import LimitsSettings

MAX_CALLERS: Final = PLACES
"""So many are remembered at once; past it, the one whose window began first is forgotten."""


@dataclass(slots=True)
class Quota:
    """What a caller still has."""

    remaining: int
    """Below 0: this request was one too many."""
    ends_in_s: int
    """When the window ends, rounded up."""


class SharedWindows(Protocol):
    """The windows that all processes of a service share."""

    @property
    def allowances(self) -> Allowances | None:
        """What is left in them; None where the system has no such memory."""

    async def window(self, caller: str, settings: LimitsSettings) -> tuple[int, float] | None:
        """The caller's: its place among the `allowances`, and its end on `time.monotonic`. It is begun if need be.

        None where there is no place or no answer in time.
        """


class RateLimits:
    """Counts. `now` is for tests."""

    def __init__(
        self,
        settings: LimitsSettings,
        shared: SharedWindows | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests = settings.requests
        self.window_s = settings.window_s
        self._settings = settings
        self._shared = shared
        self._now = now
        self._callers: dict[str, _Window] = {}
        """In the order in which this process first saw their windows."""

    async def count(self, caller: str) -> Quota:
        """One more request of this caller. Waits only for the first of a window, and only where others share it."""
        now = self._now()
        window = self._callers.get(caller)
        if window is None or now >= window.ends_at:
            window, now = await self._begun(caller), self._now()
        return Quota(window.take(), max(0, math.ceil(window.ends_at - now)))

    async def _begun(self, caller: str) -> _Window:
        shared, allowances = self._shared, None if self._shared is None else self._shared.allowances
        found = None if shared is None or allowances is None else await shared.window(caller, self._settings)
        known, now = self._callers.pop(caller, None), self._now()
        if len(self._callers) >= MAX_CALLERS:
            del self._callers[next(iter(self._callers))]
        window: _Window
        if found is not None and allowances is not None:
            window = _Shared(found[1], allowances, found[0])
        elif known is not None and now < known.ends_at:  # another request of this caller waited, too, and was first
            window = known
        else:
            window = _Own(now + self.window_s, self.requests)
        self._callers[caller] = window
        return window


class _Window(Protocol):
    @property
    def ends_at(self) -> float: ...

    def take(self) -> int:
        """What is left after one more, or -1."""


@dataclass(slots=True)
class _Own:
    ends_at: float
    remaining: int

    def take(self) -> int:
        self.remaining = max(-1, self.remaining - 1)
        return self.remaining


@dataclass(frozen=True, slots=True)
class _Shared:
    ends_at: float
    allowances: Allowances
    place: int

    def take(self) -> int:
        return self.allowances.take(self.place)
