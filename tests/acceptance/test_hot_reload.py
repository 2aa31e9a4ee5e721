"""Models swapped every 2 s under load, in one process and across workers: no request fails, none is slowed, and memory
does not grow.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import psutil
import pytest

from benchmarks.load import closed_loop, request_bytes
from benchmarks.models import some_models, swapping
from benchmarks.open_loop import open_loop
from inquiry_svc.labelled import read_labelled
from inquiry_svc.models.registry import Reference, Registry
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL
from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_workers import scrape

CORPUS: Final = PACKAGED_MODEL.with_name("corpus")
SHARE_OF_CAPACITY: Final = 0.8
WHO: Final[dict[str, Any]] = {"who": "test", "why": "", "figures": {}}
SUBMITS: Final = [
    request_bytes(
        "/api/v1/inquiries/submit",
        json.dumps({"subject": row.text.subject, "body": row.text.body, "sender_email": "ana@example.org"}).encode(),
    )
    for row in read_labelled(sorted(CORPUS.glob("judging/judging-*.jsonl")))
]


@dataclass(slots=True)
class Seen:
    quiet_p99_s: list[float] = field(default_factory=list)
    swapping_p99_s: list[float] = field(default_factory=list)
    answered: int = 0
    memory_bytes: list[int] = field(default_factory=list)


def memory_bytes(service: Serving) -> int:
    processes = service.workers() or [service.process.pid]
    return sum(psutil.Process(each).memory_info().rss for each in processes)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("workers", "windows", "window_s"),
    [
        pytest.param(2, 2, 4.0, id="2 workers, briefly"),
        pytest.param(1, 30, 10.0, id="1 worker", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
        pytest.param(2, 30, 10.0, id="2 workers", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
async def test_a_swap_every_2_s_under_load_fails_no_request_slows_none_and_keeps_no_memory(
    tmp_path: Path, workers: int, windows: int, window_s: float
) -> None:
    registry, seen, dice = Registry(tmp_path), Seen(), random.Random(1)
    models = some_models(registry)
    without_cache = {"INQUIRY_CACHE__PROVIDER": "none"}  # or what is slow after a swap is that nothing is remembered
    async with serving(tmp_path, "--workers", str(workers), environ=without_cache) as service:
        capacity = await closed_loop(service.url, SUBMITS, connections=64, duration_s=2.0, warm_up_s=1.0)
        rate_per_s = SHARE_OF_CAPACITY * capacity.requests_per_s

        async def window() -> float:
            latencies_s = await open_loop(service.url, SUBMITS, rate_per_s=rate_per_s, duration_s=window_s, dice=dice)
            seen.answered += len(latencies_s)
            return sorted(latencies_s)[int(len(latencies_s) * 0.99)]

        for _ in range(windows):
            seen.quiet_p99_s.append(await window())
            async with swapping(registry, models):
                seen.swapping_p99_s.append(await window())
            seen.memory_bytes.append(memory_bytes(service))
        registry.promote(models[0], "champion", **WHO)
        await followed(service, models[0])
        async with aiohttp.ClientSession(service.url) as session:
            found = await scrape(session)
    swaps = len(registry.aliases().history)
    ratio = median(after / before for before, after in zip(seen.quiet_p99_s, seen.swapping_p99_s, strict=True))
    print(
        f"{seen.answered:,} submits at {rate_per_s:,.0f} a second, {swaps} swaps in {workers} workers, no error; "
        f"p99 {median(seen.quiet_p99_s) * 1000:.1f} ms, while swapping {median(seen.swapping_p99_s) * 1000:.1f} ms, "
        f"median of the ratios {ratio:.3f}; MiB after each window: "
        + " ".join(f"{each / 2**20:.0f}" for each in seen.memory_bytes)
    )
    assert found["model_swaps_total", (("result", "refused"),)] == 0
    assert found["model_swaps_total", (("result", "done"),)] > swaps * workers * 0.5, "it hardly swapped"
    if windows > 10:
        assert ratio < 1.10
        third = windows // 3
        assert median(seen.memory_bytes[-third:]) < 1.1 * median(seen.memory_bytes[third : 2 * third])


async def followed(service: Serving, model: Reference) -> None:
    """Wait until the last that a worker has said is that this one is the champion."""
    async with asyncio.timeout(60):
        while f"models: champion {model}" not in [line for line in service.lines if "models: " in line][-1]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
