"""The guide's load test runs against the real service, submits many texts, and says when a key figure is missed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

import aiohttp

from tests.acceptance.serving import child_environ, serving
from tests.servers import free_port

FILE: Final = Path(__file__).parents[2] / "benchmarks/locustfile.py"
BRIEFLY: Final = ("--headless", "--only-summary", "--json", "--users", "20", "--spawn-rate", "20", "--run-time", "3s")


async def test_users_wait_one_to_three_seconds_and_submit_three_times_for_each_look_at_stats() -> None:
    code, printed = await locust("--show-task-ratio-json", "--host=http://127.0.0.1:1")
    assert code == 0
    tasks = json.loads(printed)["per_class"]["InquiryUser"]["tasks"]
    assert {name: found["ratio"] for name, found in tasks.items()} == {"submit_inquiry": 0.75, "get_stats": 0.25}


async def test_a_moments_load_is_answered_and_each_submission_is_another_text(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        code, printed = await locust(*BRIEFLY, f"--host={service.url}")
        bodies = await submitted(service.url)
    requests = {each["name"]: each["num_requests"] for each in json.loads(printed)}
    assert code == 0
    assert requests["/api/v1/stats"] > 0
    assert len(bodies) >= requests["/api/v1/inquiries/submit"] > 0
    assert len(set(bodies)) == len(bodies)


async def test_a_share_of_the_texts_can_be_such_as_were_sent_before(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        code, _ = await locust(*BRIEFLY, "--hit-share=1", f"--host={service.url}")
        bodies = await submitted(service.url)
    assert code == 0
    assert len(set(bodies)) <= 10 < len(bodies)


async def test_a_missed_key_figure_is_an_exit_code_of_one() -> None:
    code, _ = await locust(*BRIEFLY, f"--host=http://127.0.0.1:{free_port()}")
    assert code == 1


async def locust(*options: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", "-f", str(FILE), *options),
        env=child_environ(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, printed.decode()


async def submitted(url: str) -> list[str]:
    """The body of each inquiry, up to 200."""
    async with aiohttp.ClientSession(url) as session, session.get("/api/v1/inquiries?limit=200") as response:
        return [each["body"] for each in (await response.json())["items"]]
