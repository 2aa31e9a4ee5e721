"""A real `inquiry-svc serve` in a process of its own, to be killed, stopped and listened to. For tests alone."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

COMMAND: Final = str(Path(sys.executable).with_name("inquiry-svc"))
START_LIMIT_S: Final = 90.0


@dataclass(slots=True)
class Serving:
    """A service that runs; `lines` are the log lines that it has written so far."""

    process: asyncio.subprocess.Process
    url: str
    started_at: float
    """When the process was started, on `time.perf_counter`."""
    lines: list[str] = field(default_factory=list)

    def workers(self) -> list[int]:
        """The ids of its workers' processes, where it has any."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_code(self, *, within_s: float) -> int:
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    def logged(self) -> list[dict[str, Any]]:
        """Raises if a line is not JSON."""
        return [json.loads(line) for line in self.lines]


@asynccontextmanager
async def serving(data_dir: Path, *options: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Serving]:
    """Serve while open, from the line that says where; what still runs at the end is killed."""
    started_at = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *("serve", "--port", "0", "--data-dir", str(data_dir), *options),
        env=child_environ(environ),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    assert process.stderr is not None
    found = Serving(process, "", started_at)
    reader = asyncio.create_task(_read(process.stderr, found.lines), name="log reader")
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while not (url := _address(found.lines)):
                assert not reader.done(), f"the service did not start: {found.lines}"
                await asyncio.sleep(0.005)
        found.url = url
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reader


def child_environ(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of the service; bytecode is kept, as an installation keeps it."""
    left_out = ("INQUIRY_", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "PYTHONPYCACHEPREFIX": _bytecode_dir(), **(more or {})}


def run_command(*arguments: str, environ: Mapping[str, str] | None = None, stdin: str = "") -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one `inquiry-svc` command."""
    done = subprocess.run(
        [COMMAND, *arguments],
        env=child_environ(environ),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def install_plugin(folder: Path, name: str, source: str) -> None:
    """A plugin as pip leaves it, for whoever has `folder` on the path: a module and its metadata."""
    (folder / f"{name}.py").write_text(source)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[inquiry_svc]\n{name} = {name}\n")


@functools.cache
def _bytecode_dir() -> str:
    """Compiled once for all processes that one test run starts: most of a start would be compiling else."""
    folder = tempfile.mkdtemp(prefix="inquiry-svc-bytecode-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


async def _read(stream: asyncio.StreamReader, lines: list[str]) -> None:
    async for line in stream:
        lines.append(line.decode())  # noqa: PERF401 (each is to be seen as it comes)


def _address(lines: Sequence[str]) -> str | None:
    for line in lines:
        if '"serving on ' in line:
            return str(json.loads(line)["message"]).split()[2].rstrip(",")
    return None
