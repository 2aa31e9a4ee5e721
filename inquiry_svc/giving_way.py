"""Work beside those who answer, which must not notice it: in short steps, with a pause after each.

A thread that works without a pause takes the processor and the interpreter's lock for milliseconds at a time, and
whoever waits for an answer meanwhile waits so much longer. A low priority would not do: a thread that holds the lock
and is not let run holds up everybody. Before anybody is answered, at start, `go_on` takes the place of `Pauses`.
"""

from __future__ import annotations

import threading
import time
from typing import Final

PAUSES: Final = 19
"""A pause is so many times as long as the step before it: a twentieth of a processor is little beside one that is busy
to four fifths, and what takes 45 ms is done within a second."""
_LEAST_S: Final = 0.0005
"""Less work goes on without a pause; it counts with the next step."""
_MOST_S: Final = 0.02
"""More is no step: the thread has done other things since, or this can't be cut up."""


class Pauses(threading.local):
    """Called between steps of a millisecond at most, it returns after a pause. Each thread has its own clock."""

    def __init__(self) -> None:
        """Run in each thread, when it first calls."""
        self._worked_until_s = time.thread_time()

    def __call__(self) -> None:
        worked_s = time.thread_time() - self._worked_until_s
        if worked_s >= _LEAST_S:
            time.sleep(PAUSES * min(worked_s, _MOST_S))
            self._worked_until_s = time.thread_time()


def go_on() -> None:
    """No pause: nobody is answered yet."""
