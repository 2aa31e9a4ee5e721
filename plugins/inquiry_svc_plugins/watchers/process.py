"""The process itself as metrics, under the names that Prometheus clients use, and how late the event loop runs.

With several workers these are sums over them (the start is the earliest one's); their parent, which does next to
nothing, is not counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Counter, Gauge, Histogram, Metric, Metrics
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
    return _sampled(service.metrics)


@asynccontextmanager
async def _sampled(metrics: Metrics) -> AsyncIterator[None]:
    task = asyncio.create_task(_sample(metrics), name="process metrics")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _sample(metrics: Metrics) -> None:
    import resource

    import psutil

    process = psutil.Process()
    metrics.series(STARTED).set(process.create_time())
    metrics.series(MAX_FDS).set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    cpu = metrics.series(CPU)
    while True:
        with process.oneshot():
            times = process.cpu_times()
            cpu.inc(max(0.0, times.user + times.system - cpu.value))
            metrics.series(MEMORY).set(process.memory_info().rss)
            metrics.series(OPEN_FDS).set(process.num_fds())
        due = time.perf_counter() + _PERIOD_S
        await asyncio.sleep(_PERIOD_S)
        metrics.series(LOOP_LAG).observe(max(0.0, time.perf_counter() - due))
