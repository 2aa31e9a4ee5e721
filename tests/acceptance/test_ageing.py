"""A service that has worked for long, or that clients have left again and again, is as good as a new one.

A machine that others use too is not the same an hour later. So the old service is not compared with what it was, but,
window by window, with a young one beside it.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest

from benchmarks.pairs import capacity_per_s, loaded_window, measured_twins, p99_ratios
from tests.acceptance.serving import Serving, install_plugin, serving
from tests.acceptance.test_hot_reload import SUBMITS
from tests.acceptance.test_workers import scrape

SHARE_OF_CAPACITY: Final = 0.7
WITHOUT_CACHE: Final = {"INQUIRY_CACHE__PROVIDER": "none"}
"""Of the few texts that are sent again and again it would answer all."""
MOST_WORSE: Final = 0.05
CLIENTS: Final = 100
LEAVING: Final = 0.3
TELLING_TASKS: Final = """
import asyncio
from aiohttp import web
from inquiry_svc.hookspecs import hookimpl


async def tasks(request):
    return web.json_response(len(asyncio.all_tasks()))


@hookimpl
def register_routes(service):
    return [web.get("/tasks", tasks)]
"""


@dataclass(frozen=True, slots=True)
class Held:
    """What a service holds when nobody asks it anything."""

    at_s: float
    rss_bytes: int
    files: int
    tasks: int


@asynccontextmanager
async def service_that_tells(folder: Path) -> AsyncIterator[Serving]:
    plugin = folder / "plugin"
    plugin.mkdir(parents=True)
    install_plugin(plugin, "telling_tasks", TELLING_TASKS)
    async with serving(folder / "data", environ={**WITHOUT_CACHE, "PYTHONPATH": str(plugin)}) as service:
        yield service


async def held_by(service: Serving) -> Held:
    async with aiohttp.ClientSession(service.url) as session, session.get("/tasks") as answer:
        tasks = int(await answer.text())
    process = psutil.Process(service.process.pid)
    return Held(time.monotonic(), process.memory_info().rss, process.num_fds(), tasks)


async def is_as_good_as_new(old: Serving, folder: Path, *, rounds: int, window_s: float) -> None:
    """Raises `AssertionError` unless it answers as many and as fast as a young one. Of few rounds it only tells."""
    pairs, capacities = [], []
    async with service_that_tells(folder) as young:
        for number in range(rounds):
            pair, capacity = await measured_twins(
                young.url,
                old.url,
                SUBMITS,
                load=SHARE_OF_CAPACITY,
                window_s=window_s,
                number=number,
                dice=random.Random(number),
            )
            pairs.append(pair)
            capacities.append(capacity)
    lower, ratio, upper = p99_ratios(pairs)
    print(
        f"beside a young one over {rounds} pairs: p99 {median(pair.busy.p99_ms for pair in pairs):.1f} ms against "
        f"{median(pair.quiet.p99_ms for pair in pairs):.1f} ms, median of the ratios {ratio:.3f}, quartiles "
        f"{lower:.3f} and {upper:.3f}; answers it {median(capacities):.3f} times as many"
    )
    if rounds > 10:
        assert ratio < 1 + MOST_WORSE
        assert median(capacities) > 1 - MOST_WORSE


@pytest.mark.alone
@pytest.mark.soak
@pytest.mark.parametrize(
    ("duration_s", "rounds"),
    [
        pytest.param(180, 4, id="3 minutes", marks=pytest.mark.timeout(900)),
        pytest.param(3600, 30, id="an hour", marks=pytest.mark.timeout(7200)),
    ],
)
async def test_an_hour_of_work_leaves_nothing_behind(tmp_path: Path, duration_s: int, rounds: int) -> None:
    """At 70 % of what it can take. All that is stored stays, so the disk holds some gigabytes meanwhile."""
    dice, seen, answered = random.Random(1), list[Held](), 0
    async with service_that_tells(tmp_path / "old") as service:
        rate_per_s = SHARE_OF_CAPACITY * await capacity_per_s(service.url, SUBMITS)
        stop = time.monotonic() + duration_s
        while time.monotonic() < stop:
            window = await loaded_window(service.url, SUBMITS, rate_per_s=rate_per_s, window_s=10.0, dice=dice)
            answered += window.answered
            await until_it_is_quiet(service)
            seen.append(await held_by(service))
        early, late = seen[len(seen) // 3], seen[-1]
        settled = seen[len(seen) // 3 :]
        slope, _ = linear_regression([each.at_s for each in settled], [float(each.rss_bytes) for each in settled])
        mib_per_h = slope * 3600 / 2**20
        print(f"{answered:,} submits, {rate_per_s:,.0f} a second; memory grows by {mib_per_h:.2f} MiB an hour; MiB:")
        print(" ".join(f"{each.rss_bytes / 2**20:.1f}" for each in seen[:: max(1, len(seen) // 60)]))
        print(f"files {early.files} and {late.files}, tasks {early.tasks} and {late.tasks}")
        assert max(each.files for each in settled) <= early.files + 2
        assert max(each.tasks for each in settled) <= early.tasks + 2
        if duration_s >= 3600:
            assert mib_per_h < 1
        else:
            assert late.rss_bytes < early.rss_bytes + 8 * 2**20
        await is_as_good_as_new(service, tmp_path / "young", rounds=rounds, window_s=10.0)
    shutil.rmtree(tmp_path / "old" / "data")


async def until_it_is_quiet(service: Serving) -> None:
    """Nobody waits and nothing is being worked on, but for this scrape."""
    gauges = ("queue_depth", "inquiries_in_flight", "http_requests_active")
    async with aiohttp.ClientSession(service.url) as session, asyncio.timeout(60):
        while True:
            found = await scrape(session)
            busy = {labels or name: value for (name, labels), value in found.items() if name in gauges and value}
            if busy == {"http_requests_active": 1}:
                return
            await asyncio.sleep(0.05)


async def hang_up(service: Serving, duration_s: float, dice: random.Random) -> tuple[int, int]:
    """A crowd that submits for so long, three in ten of whom leave meanwhile: how many were answered, how many left."""
    parts = urlsplit(service.url)
    stop, answered, left = time.monotonic() + duration_s, 0, 0

    async def client() -> None:
        nonlocal answered, left
        while time.monotonic() < stop:
            with suppress(ConnectionError):
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                try:
                    while time.monotonic() < stop:
                        writer.write(dice.choice(SUBMITS))
                        if dice.random() < LEAVING:
                            await asyncio.sleep(dice.random() * 0.05)
                            left += 1
                            break
                        head = await reader.readuntil(b"\r\n\r\n")
                        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                        assert head.split()[1] in (b"201", b"503"), head
                        answered += 1
                finally:
                    writer.transport.abort()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return answered, left


@pytest.mark.alone
@pytest.mark.parametrize(
    ("duration_s", "rounds", "window_s"),
    [
        pytest.param(5, 2, 1.0, id="briefly"),
        pytest.param(600, 30, 10.0, id="10 minutes", marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_who_hangs_up_in_the_middle_of_the_queue_leaves_nothing_behind(
    tmp_path: Path, duration_s: int, rounds: int, window_s: float
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    async with service_that_tells(tmp_path / "old") as service:
        await capacity_per_s(service.url, SUBMITS)
        await until_it_is_quiet(service)
        before = await held_by(service)
        answered, left = await hang_up(service, duration_s, random.Random(seed))
        await until_it_is_quiet(service)
        after = await held_by(service)
        async with aiohttp.ClientSession(service.url) as session:
            found: dict[Any, float] = await scrape(session)
        gone = sum(
            value
            for (name, labels), value in found.items()
            if name == "http_requests_total" and ("status", "499") in labels
        )
        print(f"{answered:,} answered, {left:,} left, {gone:,.0f} of them before they were answered; {before}, {after}")
        assert gone > left / 20, "hardly anybody left while waiting: this proves nothing"
        assert after.files <= before.files + 2
        assert after.tasks <= before.tasks + 2
        await is_as_good_as_new(service, tmp_path / "young", rounds=rounds, window_s=window_s)
