"""How often each caller may come: so many requests in a window that begins with the caller's first.

A fixed window says truthfully what is left and until when, which is what the `RateLimit` header is for. Each process
counts for itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from inquiry_svc.settings import LimitsSettings

MAX_CALLERS: Final = 10_000
"""So many are remembered at once; past it, the one whose window began first is forgotten."""


@dataclass(slots=True)
class Quota:
    """What a caller still has."""

    remaining: int
    """Below 0: this request was one too many."""
    ends_at: float
    """When the window ends, on `time.monotonic`."""
    ends_in_s: int = 0
    """The same from now, rounded up."""


class RateLimits:
    """Counts. `now` is for tests."""

    def __init__(self, settings: LimitsSettings, now: Callable[[], float] = time.monotonic) -> None:
        self.requests = settings.requests
        self.window_s = settings.window_s
        self._now = now
        self._callers: dict[str, Quota] = {}
        """In the order in which their windows began."""

    def count(self, caller: str) -> Quota:
        """One more request of this caller."""
        now = self._now()
        quota = self._callers.get(caller)
        if quota is None or now >= quota.ends_at:
            self._callers.pop(caller, None)
            if len(self._callers) >= MAX_CALLERS:
                del self._callers[next(iter(self._callers))]
            quota = self._callers[caller] = Quota(self.requests, now + self.window_s)
        quota.remaining = max(-1, quota.remaining - 1)
        quota.ends_in_s = math.ceil(quota.ends_at - now)
        return quota
