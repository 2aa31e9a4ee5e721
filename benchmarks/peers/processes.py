"""Starts a server, whatever processes it is made of, and holds them on one core, halted while others are measured."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks.peers.catalogue import VENVS, Server
from benchmarks.peers.predictors import VARIABLE
from benchmarks.servers import SERVER_CORE, keep_on
from inquiry_svc.inquiries import Text
from tests.servers import free_port

START_LIMIT_S: Final = 120.0
_ROOT: Final = VENVS.parent
_PROBE: Final = Text("Charged twice", "My card was charged twice for March. Please refund one of them.")


class NotRunning(Exception):
    """It didn't start here."""


@dataclass(frozen=True, slots=True)
class Running:
    server: Server
    url: str
    process: psutil.Process

    def tree(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return [self.process, *self.process.children(recursive=True)]
        return []

    def halt(self) -> None:
        """Until `go_on`: some are busy even when nobody asks."""
        for each in self.tree():
            with suppress(psutil.NoSuchProcess):
                each.suspend()

    def go_on(self) -> None:
        for each in self.tree():
            with suppress(psutil.NoSuchProcess):
                each.resume()

    def cpu_s(self) -> float:
        """Spent so far by those of its processes that run."""
        return sum(each.cpu_times().user + each.cpu_times().system for each in self.tree())

    def use_core(self, core: int) -> None:
        for each in self.tree():
            keep_on(each, {core})


@contextmanager
def running(server: Server, folder: Path) -> Iterator[Running]:
    """Answering, then halted. It starts on all cores, since one of them gives up when that takes long."""
    port = free_port()
    log = folder / f"{port}.log"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{_ROOT}:{_ROOT / 'plugins'}",
        "PATH": f"{server.venv / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        VARIABLE: server.predictor,
        **{name: value.format(port=port) for name, value in server.environment.items()},
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command_line(port),
            cwd=_ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    found = Running(server, f"http://127.0.0.1:{port}", psutil.Process(process.pid))
    try:
        _wait_until_it_answers(found, process, log)
        found.use_core(SERVER_CORE)
        found.halt()
        yield found
    finally:
        tree = found.tree()
        found.go_on()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        for each in tree:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait(10)


def _wait_until_it_answers(found: Running, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + START_LIMIT_S
    request = urllib.request.Request(
        found.url + found.server.path, found.server.body(_PROBE), {"Content-Type": "application/json"}
    )
    while time.monotonic() < give_up_at and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(request, timeout=10) as response:
            if found.server.answers:
                found.server.answers(json.load(response))
            return
        time.sleep(0.1)
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["nothing"]
    raise NotRunning(f"{found.server.name} ({found.server.predictor}) does not start here; it last said: {said[-1]}")
