"""What monitoring/README.md says to type when something is missing, typed while a service is scraped."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.acceptance.serving import child_environ, serving
from tests.servers.prometheus import program
from tests.servers.scraping import Prometheus, prometheus

ROOT: Final = Path(__file__).parents[2]
SECTION: Final = (
    (ROOT / "monitoring/README.md").read_text().split("\n## When something is missing\n")[1].split("\n## ")[0]
)
STEPS: Final = [
    (title, command.strip())
    for block in re.findall(r"^```sh\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)
    for title, command in re.findall(r"^# (.*)\n((?:[^#\n].*\n)+)", block, re.MULTILINE)
]
OF_GRAFANA_OR_ALERTMANAGER: Final = (":3000", "--alertmanager.url")
"""Neither is here."""


async def test_each_command_says_something_of_a_service_that_is_scraped(tmp_path: Path) -> None:
    for tool in ("promtool", "amtool"):
        program(tool)
    if not shutil.which("jq") or not shutil.which("curl"):
        pytest.skip("no jq or no curl: apt-get install jq curl")
    async with serving(tmp_path) as service:
        scraped = [{"job_name": "inquiry-svc", "static_configs": [{"targets": [urlsplit(service.url).netloc]}]}]
        async with prometheus(scraped) as server:
            await _scraped(server)
            addresses = {"127.0.0.1:8000": urlsplit(service.url).netloc, "127.0.0.1:9090": server.address}
            ran = [await _run(title, command, addresses) for title, command in STEPS]
    assert sum(ran) == 10, "those of Grafana and Alertmanager are left out"


async def _scraped(server: Prometheus) -> None:
    async with asyncio.timeout(20):
        while True:
            if [value for _, value in await server.ask('up{job="inquiry-svc"}')] == [1]:
                return
            await asyncio.sleep(0.05)


async def _run(title: str, command: str, addresses: dict[str, str]) -> bool:
    if any(each in command for each in OF_GRAFANA_OR_ALERTMANAGER) or "pytest" in command:
        return False
    for written, real in addresses.items():
        command = command.replace(written, real)
    process = await asyncio.create_subprocess_exec(
        *("bash", "-eo", "pipefail", "-c", command),
        cwd=ROOT,
        env=child_environ(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, f"{title}: {command}: {out.decode()}"
    silent = ("ALERTS", "activeAlertmanagers")
    assert out or any(each in command for each in silent), f"{title}: {command} said nothing"
    return True
