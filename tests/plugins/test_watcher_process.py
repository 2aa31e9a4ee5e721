"""The process as metrics: what cannot be read for a while stays as it was, and is read again afterwards."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from inquiry_svc.metrics import Metrics
from inquiry_svc_plugins.watchers.process import CPU, LOOP_LAG, MAX_FDS, MEMORY, OPEN_FDS, register_metrics, sampled

PERIOD_S = 0.01


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.001)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_all_are_said_to_be_open_the_lag_goes_on_and_the_rest_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics(register_metrics())
    open_fds, lag, cpu = metrics.series(OPEN_FDS), metrics.series(LOOP_LAG), metrics.series(CPU)
    with caplog.at_level(logging.WARNING):
        async with sampled(metrics, period_s=PERIOD_S):
            await until(lambda: open_fds.value > 0)
            assert open_fds.value < metrics.series(MAX_FDS).value
            assert metrics.series(MEMORY).value > 0
            with no_descriptor_left():
                await until(lambda: open_fds.value == metrics.series(MAX_FDS).value)
                before = lag.cumulative()[-1]
                await until(lambda: lag.cumulative()[-1] > before)
            spent = cpu.value
            await until(lambda: open_fds.value < metrics.series(MAX_FDS).value and cpu.value > spent)
    assert [record.getMessage() for record in caplog.records] == [
        "the process can't be measured; its metrics stay as they were"
    ]
