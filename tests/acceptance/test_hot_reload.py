"""Models swapped every 2 s under load, in one process and across workers: no request fails, none is slowed, and memory
does not grow.
"""

from __future__ import annotations

import asyncio
import json
import random
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import psutil
import pytest

from benchmarks.load import request_bytes
from benchmarks.models import some_models, swapping
from benchmarks.pairs import measured_pair, p99_ratios
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


def memory_bytes(service: Serving) -> int:
    processes = service.workers() or [service.process.pid]
    return sum(psutil.Process(each).memory_info().rss for each in processes)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("workers", "rounds", "window_s"),
    [
        pytest.param(2, 2, 4.0, id="2 workers, briefly"),
        pytest.param(1, 30, 10.0, id="1 worker", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
        pytest.param(2, 30, 10.0, id="2 workers", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
async def test_a_swap_every_2_s_under_load_fails_no_request_slows_none_and_keeps_no_memory(
    tmp_path: Path, workers: int, rounds: int, window_s: float
) -> None:
    registry, dice = Registry(tmp_path), random.Random(1)
    models = some_models(registry)
    without_cache = {"INQUIRY_CACHE__PROVIDER": "none"}  # or what is slow after a swap is that nothing is remembered
    pairs, memory = [], []
    async with serving(tmp_path, "--workers", str(workers), environ=without_cache) as service:
        for number in range(rounds):
            pair = await measured_pair(
                service.url,
                SUBMITS,
                partial(swapping, registry, models),
                load=SHARE_OF_CAPACITY,
                window_s=window_s,
                number=number,
                dice=dice,
            )
            pairs.append(pair)
            memory.append(memory_bytes(service))
        registry.promote(models[0], "champion", **WHO)
        await followed(service, models[0])
        async with aiohttp.ClientSession(service.url) as session:
            found = await scrape(session)
    swaps = len(registry.aliases().history)
    lower, ratio, upper = p99_ratios(pairs)
    print(
        f"{sum(pair.quiet.answered + pair.busy.answered for pair in pairs):,} submits, some "
        f"{median(pair.requests_per_s for pair in pairs):,.0f} a second, {swaps} swaps in {workers} workers, no error; "
        f"p99 {median(pair.quiet.p99_ms for pair in pairs):.1f} ms, "
        f"while swapping {median(pair.busy.p99_ms for pair in pairs):.1f} ms, "
        f"median of the ratios {ratio:.3f}, quartiles {lower:.3f} and {upper:.3f}; MiB after each pair: "
        + " ".join(f"{each / 2**20:.0f}" for each in memory)
    )
    assert found["model_swaps_total", (("result", "refused"),)] == 0
    assert found["model_swaps_total", (("result", "done"),)] > swaps * workers * 0.5, "it hardly swapped"
    if rounds > 10:
        assert ratio < 1.10
        third = rounds // 3
        assert median(memory[-third:]) < 1.1 * median(memory[third : 2 * third])


async def followed(service: Serving, model: Reference) -> None:
    """Wait until the last that a worker has said is that this one is the champion."""
    async with asyncio.timeout(60):
        while f"models: champion {model}" not in [line for line in service.lines if "models: " in line][-1]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
