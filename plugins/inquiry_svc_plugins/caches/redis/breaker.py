"""Counts failures in a row and says when to leave somebody alone. Knows nothing of who that is."""

from __future__ import annotations

import time
from collections.abc import Callable


class Breaker:
    """Opens after `threshold` failures in a row; any success closes it."""

    def __init__(self, *, threshold: int, retry_after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold = threshold
        self._retry_after_s = retry_after_s
        self._clock = clock
        self._failures = 0
        self._retry_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= self._threshold

    @property
    def trial_due(self) -> bool:
        """It is open and was so for long enough that one trial should tell whether it may close."""
        return self.is_open and self._clock() >= self._retry_at

    def failed(self) -> None:
        self._failures += 1
        self._retry_at = self._clock() + self._retry_after_s

    def succeeded(self) -> None:
        self._failures = 0
