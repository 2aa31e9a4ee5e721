"""A bulk upload of any length goes through the real process in bounded memory, every line stored and answered."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
import pytest

from tests.acceptance.serving import serving

LIMIT_BYTES: Final = 512 * 2**20
LINES: Final = {"Content-Type": "application/x-ndjson"}


async def upload(count: int) -> AsyncIterator[bytes]:
    for first in range(0, count, 500):
        numbers = range(first, min(first + 500, count))
        lines = ({"body": f"Invoice {number} is wrong.", "sender_email": "ana@example.org"} for number in numbers)
        yield b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.mark.alone
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(20_000, marks=pytest.mark.timeout(120)),
        pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
async def test_an_upload_of_any_length_is_served_in_bounded_memory(tmp_path: Path, count: int) -> None:
    highest_bytes, answered = 0, 0
    started = time.perf_counter()
    async with serving(tmp_path) as service, aiohttp.ClientSession(service.url, timeout=WITHOUT_END) as session:
        process = psutil.Process(service.process.pid)
        at_first_bytes = process.memory_info().rss
        async with session.post("/api/v1/inquiries/bulk", data=upload(count), headers=LINES) as response:
            async for line in response.content:
                answer: Any = json.loads(line)
                assert answer.get("body") == f"Invoice {answered} is wrong.", answer
                answered += 1
                if answered % 500 == 0:
                    highest_bytes = max(highest_bytes, process.memory_info().rss)
        took_s = time.perf_counter() - started
        async with session.get("/api/v1/stats?days=1") as response:
            assert (await response.json())["total_inquiries"] == count
    print(
        f"{count:,} lines in {took_s:.0f} s, {count / took_s:,.0f} a second; "
        f"{at_first_bytes / 2**20:.0f} MiB at first, {highest_bytes / 2**20:.0f} MiB at most"
    )
    assert answered == count
    assert highest_bytes < LIMIT_BYTES


WITHOUT_END: Final = aiohttp.ClientTimeout(total=None)
