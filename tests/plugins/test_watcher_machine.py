"""The machine under the service: what its own files and interfaces say is what is shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.running import running_service
from inquiry_svc_plugins.watchers.machine import FREE, RECEIVED, SENT, SIZE, register_metrics, sampled

PERIOD_S = 0.01


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.001)


async def test_the_data_folder_is_as_large_as_its_files_however_deep(tmp_path: Path) -> None:
    metrics = Metrics(register_metrics())
    size = metrics.series(SIZE)
    (tmp_path / "a").write_bytes(b"x" * 1000)
    async with sampled(metrics, tmp_path, period_s=PERIOD_S):
        await until(lambda: size.value == 1000)
        (tmp_path / "deep/er").mkdir(parents=True)
        (tmp_path / "deep/er/b").write_bytes(b"x" * 234)
        await until(lambda: size.value == 1234)
        (tmp_path / "a").unlink()
        await until(lambda: size.value == 234)
    free = metrics.series(FREE).value
    assert free == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.1)


async def test_what_went_over_the_network_is_the_machines_own_count_without_the_loopback(tmp_path: Path) -> None:
    def counted() -> tuple[int, int]:
        interfaces = [each for name, each in psutil.net_io_counters(pernic=True).items() if name != "lo"]
        return sum(each.bytes_recv for each in interfaces), sum(each.bytes_sent for each in interfaces)

    metrics, before = Metrics(register_metrics()), counted()
    async with sampled(metrics, tmp_path, period_s=PERIOD_S):
        await until(lambda: metrics.series(FREE).value > 0)
        found = metrics.series(RECEIVED).value, metrics.series(SENT).value
    for low, value, high in zip(before, found, counted(), strict=True):
        assert low <= value <= high


async def test_a_folder_that_is_gone_leaves_the_last_numbers_and_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics, folder = Metrics(register_metrics()), tmp_path / "data"
    folder.mkdir()
    (folder / "a").write_bytes(b"x" * 1000)
    with caplog.at_level(logging.WARNING):
        async with sampled(metrics, folder, period_s=PERIOD_S):
            await until(lambda: metrics.series(SIZE).value == 1000)
            (folder / "a").rename(tmp_path / "a")
            folder.rmdir()
            await until(lambda: len(caplog.records) > 0)
            free = metrics.series(FREE).value
            folder.mkdir()
            (folder / "b").write_bytes(b"x" * 5)
            await until(lambda: metrics.series(SIZE).value == 5)
    assert free > 0
    assert len(caplog.records) == 1


async def test_the_service_measures_its_data_folder(tmp_path: Path) -> None:
    async with running_service({"store.provider": "sqlite"}, data_dir=tmp_path) as running:
        await until(lambda: running.service.metrics.series(SIZE).value > 0)
        assert running.service.metrics.series(FREE).value > 0
