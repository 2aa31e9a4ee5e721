"""What others on this machine cost a test: more time for what is promised within seconds, and how late all wake."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

MORE_S: Final = 5.0 if "PYTEST_XDIST_WORKER" in os.environ else 0.0
"""To be added to a promised time. A test that runs by itself holds the service to its word."""


@contextmanager
def lateness_of_the_machine() -> Iterator[list[float]]:
    """How late, in seconds, a thread woke that waits for nobody: so late is whoever shares this machine."""
    late_s, over = list[float](), threading.Event()

    def sleep_on() -> None:
        while not over.is_set():
            due = time.perf_counter() + 0.005
            time.sleep(0.005)
            late_s.append(time.perf_counter() - due)

    sleeping = threading.Thread(target=sleep_on, name="lateness", daemon=True)
    sleeping.start()
    try:
        yield late_s
    finally:
        over.set()
        sleeping.join()


def p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
