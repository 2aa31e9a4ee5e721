"""The guide's load test runs against the real service, submits many texts, and says when a key figure is missed."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from aiohttp import web

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
        code, printed, told = await judged(*BRIEFLY, f"--host={service.url}")
        bodies = await submitted(service.url)
    requests = {each["name"]: each["num_requests"] for each in json.loads(printed)}
    assert code == 0, told
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


JUDGED: Final = """
import json, logging, sys
from types import SimpleNamespace
from benchmarks import locustfile
from locust.stats import RequestStats

host, per_min, escalated = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
stats = RequestStats()
for number in range(400):
    stats.log_request("POST", locustfile.SUBMIT, 20, 100)
    locustfile.escalated.append(number % 100 < escalated)
for entry in (stats.total, stats.get(locustfile.SUBMIT, "POST")):
    entry.last_request_timestamp = entry.start_time + 400 / per_min * 60
environment = SimpleNamespace(stats=stats, host=host, process_exit_code=None)
logging.basicConfig(format="%(message)s", level="ERROR")
locustfile.judge(environment)
sys.exit(environment.process_exit_code)
"""


@pytest.mark.parametrize(
    ("per_min", "escalated", "slow", "missed"),
    [
        (101, 9, 0, []),
        (99, 0, 0, ["inquiries a minute"]),
        (1_000, 11, 0, ["share of escalated"]),
        (1_000, 0, 2, ["share of slow inferences"]),
    ],
)
async def test_each_key_figure_of_the_guide_is_judged(
    per_min: int, escalated: int, slow: int, missed: list[str]
) -> None:
    """Of a hundred inquiries so many are escalated, of a hundred calls of the model so many are slow."""

    async def metrics(request: web.Request) -> web.Response:
        name = "model_inference_duration_seconds"
        lines = [f'{name}_bucket{{le="0.5"}} {100 - slow}', f'{name}_bucket{{le="+Inf"}} 100', f"{name}_count 100"]
        return web.Response(text="\n".join([f"# TYPE {name} histogram", *lines, f"{name}_sum 5", ""]))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host = f"http://127.0.0.1:{runner.addresses[0][1]}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", JUDGED, host, str(per_min), str(escalated)),
            cwd=FILE.parents[1],
            env=child_environ(),
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await process.communicate()
    finally:
        await runner.cleanup()
    assert re.findall(r"^([a-z ]+): \S+ a key figure is missed$", told.decode(), re.MULTILINE) == missed, told.decode()
    assert process.returncode == int(bool(missed))


async def locust(*options: str) -> tuple[int | None, str]:
    code, printed, _ = await judged(*options)
    return code, printed


async def judged(*options: str) -> tuple[int | None, str, str]:
    """Exit code, what it prints, and what it says of itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", "-f", str(FILE), *options),
        env=child_environ(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, printed.decode(), told.decode()


async def submitted(url: str) -> list[str]:
    """The body of each inquiry, up to 200."""
    async with aiohttp.ClientSession(url) as session, session.get("/api/v1/inquiries?limit=200") as response:
        return [each["body"] for each in (await response.json())["items"]]
