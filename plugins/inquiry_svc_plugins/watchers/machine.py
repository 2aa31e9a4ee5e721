"""The machine under the service as metrics: room for the data folder, and bytes over the network.

Node exporters know far more of a machine; these few are here so that a full disk is seen without one. Every worker
reads the same numbers, so they are not added up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Counter, Gauge, Metric, Metrics
from inquiry_svc.repeating import repeated
from inquiry_svc.service import Service

FREE: Final = Gauge(
    "data_dir_free_bytes", "Bytes that may still be written on the disk of the data folder.", across="min"
)
SIZE: Final = Gauge("data_dir_size_bytes", "Bytes in the files of the data folder.", across="max")
RECEIVED: Final = Counter(
    "machine_network_receive_bytes_total",
    "Bytes that the machine's interfaces but the loopback received since it started.",
    across="max",
)
SENT: Final = Counter(
    "machine_network_transmit_bytes_total",
    "Bytes that the machine's interfaces but the loopback sent since it started.",
    across="max",
)

_PERIOD_S: Final = 5.0


@hookimpl
def register_metrics() -> Iterable[Metric]:
    return [FREE, SIZE, RECEIVED, SENT]


@hookimpl
def lifespan(service: Service) -> AbstractAsyncContextManager[None]:
    return sampled(service.metrics, Path(service.settings.server.data_dir))


def sampled(metrics: Metrics, data_dir: Path, *, period_s: float = _PERIOD_S) -> AbstractAsyncContextManager[None]:
    """Read now and every period while open."""
    return repeated(
        _Sampler(metrics, data_dir).sample,
        period_s=period_s,
        first_after_s=0,
        name="machine metrics",
        failing="the machine can't be measured; its metrics stay as they were",
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    free_bytes: int
    size_bytes: int
    received_bytes: Mapping[str, int]
    """By interface, as `sent_bytes`."""
    sent_bytes: Mapping[str, int]


class _Sampler:
    def __init__(self, metrics: Metrics, data_dir: Path) -> None:
        self._metrics = metrics
        self._data_dir = data_dir
        self._before = _Reading(0, 0, {}, {})

    async def sample(self) -> None:
        # A disk that hangs holds up this one thread: the next reading waits for it.
        reading, before = await asyncio.to_thread(_read, self._data_dir), self._before
        self._metrics.series(FREE).set(reading.free_bytes)
        self._metrics.series(SIZE).set(reading.size_bytes)
        self._metrics.series(RECEIVED).inc(_growth(before.received_bytes, reading.received_bytes))
        self._metrics.series(SENT).inc(_growth(before.sent_bytes, reading.sent_bytes))
        self._before = reading


def _read(data_dir: Path) -> _Reading:
    import psutil

    interfaces = {name: each for name, each in psutil.net_io_counters(pernic=True).items() if name != "lo"}
    return _Reading(
        free_bytes=psutil.disk_usage(str(data_dir)).free,
        size_bytes=_size_bytes(data_dir),
        received_bytes={name: each.bytes_recv for name, each in interfaces.items()},
        sent_bytes={name: each.bytes_sent for name, each in interfaces.items()},
    )


def _size_bytes(folder: Path) -> int:
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # gone since it was listed
                size += os.lstat(Path(path, name)).st_size
    return size


def _growth(before: Mapping[str, int], now: Mapping[str, int]) -> int:
    """An interface may come and go, as those of containers do."""
    return sum(max(0, count - before.get(name, 0)) for name, count in now.items())
