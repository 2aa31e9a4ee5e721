"""Prometheus, Alertmanager and their tools for tests, from the folder that the environment names, else from PATH.

There is no wheel of them. Where they are missing a test is skipped with the command that mends it; in CI it fails.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import aiohttp
import pytest

BIN_VARIABLE: Final = "INQUIRY_SVC_TEST_PROMETHEUS_BIN"
CURE: Final = (
    "apt-get install prometheus prometheus-alertmanager prometheus-blackbox-exporter, "
    f"or name their folder in {BIN_VARIABLE}"
)

START_LIMIT_S: Final = 60.0

Program: TypeAlias = Literal["prometheus", "promtool", "alertmanager", "amtool", "blackbox-exporter"]


def program(name: Program) -> str:
    """Where it is. Debian calls two of them prometheus-alertmanager and prometheus-blackbox-exporter."""
    folder = os.environ.get(BIN_VARIABLE)
    for each in (name, f"prometheus-{name}"):
        found = shutil.which(each, path=folder)
        if found:
            return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {name}: {CURE}")
    pytest.skip(f"no {name}: {CURE}")


def run_program(name: Program, arguments: Sequence[Any], *, folder: Path) -> tuple[int, str]:
    """Exit code, and standard output with standard error, of one call in `folder`."""
    done = subprocess.run(
        [program(name), *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    return done.returncode, done.stdout


@asynccontextmanager
async def running_program(
    name: Program, *options: str, port: int, folder: Path
) -> AsyncIterator[aiohttp.ClientSession]:
    """Prometheus or Alertmanager while open, as a client of it, from the moment that it is ready; killed at the end."""
    with (folder / "log").open("wb") as log:
        command = [program(name), f"--web.listen-address=127.0.0.1:{port}", *options]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)  # noqa: ASYNC220 (quick)
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
                await _ready(client, process, folder / "log")
                yield client
        finally:
            process.kill()
            process.wait(10)


async def _ready(client: aiohttp.ClientSession, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(START_LIMIT_S):
        while True:
            try:
                async with client.get("/-/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            assert process.poll() is None, log.read_text()  # noqa: ASYNC240 (quick)
            await asyncio.sleep(0.02)
