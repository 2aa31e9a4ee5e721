"""Thousands who keep the service waiting are shown the door in time, and come back; others hardly notice."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from benchmarks.pairs import measured_pair, p99_ratios
from tests.acceptance.serving import child_environ, serving
from tests.acceptance.test_hot_reload import SUBMITS
from tests.acceptance.test_workers import scrape
from tests.slow_crowd import KINDS

COUNTS: Final = (2000, 2000, 2000, 100)
"""For each of those who read nothing the system keeps megabytes."""
LIMITS_S: Final = dict(zip(KINDS, (10.0, 10.0, 30.0, 30.0), strict=True))
LATE_S: Final = 5.0
"""A sweep comes twice a second, and a crowd of thousands is itself slow to notice."""
SHARE_OF_CAPACITY: Final = 0.3
STAYS_S: Final = 45.0
ROUNDS: Final = 20
WINDOW_S: Final = 6.0
"""Less than any is borne: what is measured is a crowd that stands there, which comes within 2 s before."""


@asynccontextmanager
async def crowd(
    url: str, counts: Sequence[int], found: list[dict[str, Any]], *, spread_s: float = 2.0, comes_back: bool = False
) -> AsyncIterator[None]:
    """Stands while open. What it has found is added then."""
    address = urlsplit(url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.slow_crowd", str(address.hostname), str(address.port)),
        *(str(spread_s), str(comes_back), *map(str, counts)),
        env=child_environ(),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(spread_s + 60):
            assert await process.stdout.readline() == b"standing\n"
        yield
        async with asyncio.timeout(60):
            said, _ = await process.communicate(b"")
        found.append(json.loads(said))
        async with aiohttp.ClientSession(url) as session, asyncio.timeout(60):
            while (await scrape(session))["http_connections_active", ()] > 100:  # noqa: ASYNC110 (the service is asked)
                await asyncio.sleep(0.5)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.alone
@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_of_thousands_who_keep_it_waiting_each_is_closed_in_time_and_others_hardly_notice(tmp_path: Path) -> None:
    pairs, dice = [], random.Random(1)
    found: list[dict[str, Any]] = []
    async with serving(tmp_path) as service:
        for number in range(ROUNDS):
            pair = await measured_pair(
                service.url,
                SUBMITS,
                partial(crowd, service.url, COUNTS, found),
                load=SHARE_OF_CAPACITY,
                window_s=WINDOW_S,
                number=number,
                dice=dice,
            )
            pairs.append(pair)
        found.clear()
        async with crowd(service.url, COUNTS, found, spread_s=10.0, comes_back=True):
            await asyncio.sleep(STAYS_S)
        async with aiohttp.ClientSession(service.url) as session:
            counted = await scrape(session)
    lower, ratio, upper = p99_ratios(pairs)
    [stood] = found
    print(
        f"{median(pair.requests_per_s for pair in pairs):,.0f} submits a second beside {sum(COUNTS):,}; "
        f"p99 {median(pair.quiet.p99_ms for pair in pairs):.1f} ms, "
        f"with them {median(pair.busy.p99_ms for pair in pairs):.1f} ms, "
        f"median of the ratios {ratio:.3f}, quartiles {lower:.3f} and {upper:.3f}; borne: "
        + ", ".join(f"{kind} {len(s)} times {min(s):.1f} to {max(s):.1f} s" for kind, s in stood["borne_s"].items())
    )
    assert not stood["failed"]
    for kind, count in zip(KINDS, COUNTS, strict=True):
        borne_s = stood["borne_s"][kind]
        assert len(borne_s) >= count, kind
        assert max(borne_s) <= LIMITS_S[kind] + LATE_S, kind
    for waiting_for in ("first_byte", "header", "reading"):
        assert counted["http_connections_expired_total", (("waiting_for", waiting_for),)] > 0
    assert ratio < 1.10
