"""The process itself as metrics, under the names that Prometheus clients use, and how late the event loop runs.

With several workers these are sums over them (the start is the earliest one's); their parent, which does next to
nothing, is not counted.
"""

from __future__ import annotations

import errno
import resource
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Final

from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Counter, Gauge, Histogram, Metric, Metrics
from inquiry_svc.repeating import repeated
from inquiry_svc.service import Service

CPU: Final = Counter("process_cpu_seconds_total", "User and system CPU time spent.")
MEMORY: Final = Gauge("process_resident_memory_bytes", "Resident memory.")
OPEN_FDS: Final = Gauge("process_open_fds", "Open file descriptors.")
MAX_FDS: Final = Gauge("process_max_fds", "How many file descriptors may be open.")
STARTED: Final = Gauge(
    "process_start_time_seconds", "When the process started, in seconds since the epoch.", across="min"
)
LOOP_LAG: Final = Histogram(
    "event_loop_lag_seconds",
    "How late a callback ran that was due, asked once a period.",
    buckets=(0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)

_PERIOD_S: Final = 1.0


@hookimpl
def register_metrics() -> Iterable[Metric]:
    return [CPU, MEMORY, OPEN_FDS, MAX_FDS, STARTED, LOOP_LAG]


@hookimpl
def lifespan(service: Service) -> AbstractAsyncContextManager[None]:
    return sampled(service.metrics)


def sampled(metrics: Metrics, *, period_s: float = _PERIOD_S) -> AbstractAsyncContextManager[None]:
    """Read now and every period while open."""
    return repeated(
        _Sampler(metrics, period_s).sample,
        period_s=period_s,
        first_after_s=0,
        name="process metrics",
        failing="the process can't be measured; its metrics stay as they were",
    )


class _Sampler:
    def __init__(self, metrics: Metrics, period_s: float) -> None:
        import psutil

        self._metrics = metrics
        self._period_s = period_s
        self._process = psutil.Process()
        self._max_fds = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._due_at: float | None = None
        metrics.series(STARTED).set(self._process.create_time())
        metrics.series(MAX_FDS).set(self._max_fds)

    async def sample(self) -> None:
        if self._due_at is not None:
            self._metrics.series(LOOP_LAG).observe(max(0.0, time.perf_counter() - self._due_at))
        try:
            self._read()
        except OSError as error:
            if error.errno == errno.EMFILE:  # none is left to count them with
                self._metrics.series(OPEN_FDS).set(self._max_fds)
            raise
        finally:
            self._due_at = time.perf_counter() + self._period_s

    def _read(self) -> None:
        cpu = self._metrics.series(CPU)
        with self._process.oneshot():
            times = self._process.cpu_times()
            cpu.inc(max(0.0, times.user + times.system - cpu.value))
            self._metrics.series(MEMORY).set(self._process.memory_info().rss)
            self._metrics.series(OPEN_FDS).set(self._process.num_fds())
