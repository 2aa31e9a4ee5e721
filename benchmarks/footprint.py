"""What does one process need to be there: memory, and the time from its start until it is ready?

    python -m benchmarks.footprint

Both of the service as shipped, with its model and the embedded store, on one core. Memory is looked at when it is ready
and after a load; the part that no other process shares, and all of it. The starts are the time of day and CPU time: the
latter is the least that the former can be on a machine with nothing else to do. Bytecode is there, as where something
is installed; it lies in a folder of our own, since the environment may forbid to write it.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import click
import psutil
import uvloop

from benchmarks.growth.points import Texts, started
from benchmarks.load import closed_loop
from benchmarks.results_file import write_results
from benchmarks.servers import inquiry_server
from inquiry_svc.settings import BatchingSettings

_QUIET: Final = {"INQUIRY_LOGGING__REQUESTS": "none"}
_MB: Final = 1_000_000


@click.command()
@click.option("--starts", default=7, show_default=True)
@click.option("--seconds", "load_s", default=10.0, show_default=True, help="Of load, before memory is looked at again.")
@click.option("--seed", default=1, show_default=True)
def main(starts: int, load_s: float, seed: int) -> None:
    """Measure, print, and write `results/footprint.json`."""
    texts = Texts(seed)
    with ExitStack() as stack:
        compiled = stack.enter_context(TemporaryDirectory(prefix="inquiry-bench-"))
        settings = {**_QUIET, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        _start(settings)
        took_s, cpu_s = zip(*(_start(settings) for _ in range(starts)), strict=True)
        server = started(stack, inquiry_server(settings))
        _wait_until_ready(server.url)
        memory = {"when ready": _memory(server.process)}
        for connections, requests in (
            (64, texts.classifies),
            (64, texts.submits),
            (BatchingSettings().places, texts.submits),
        ):
            load = closed_loop(server.url, requests, connections=connections, duration_s=load_s / 3, warm_up_s=0.0)
            uvloop.run(load)
        memory["after a load"] = _memory(server.process)
    start = {
        "median_s": round(median(took_s), 2),
        "lowest_s": round(min(took_s), 2),
        "cpu_lowest_s": round(min(cpu_s), 2),
    }
    write_results("footprint", start_to_ready=start, memory_mb=memory, parameters={"starts": starts, "seconds": load_s})
    click.echo("start to ready: " + ", ".join(f"{name} {value}" for name, value in start.items()))
    for when, found in memory.items():
        click.echo(f"memory {when}: " + ", ".join(f"{name} {value} MB" for name, value in found.items()))


def _start(settings: Mapping[str, str]) -> tuple[float, float]:
    """Seconds from the start of the process until it says that it is ready; and of CPU."""
    started_at = time.perf_counter()
    with ExitStack() as stack:
        server = started(stack, inquiry_server(settings))
        _wait_until_ready(server.url)
        return time.perf_counter() - started_at, server.cpu_s()


def _wait_until_ready(url: str) -> None:
    with urllib.request.urlopen(f"{url}/api/v1/health/ready", timeout=10) as answer:
        assert answer.status == 200


def _memory(process: psutil.Process) -> dict[str, int]:
    found = process.memory_full_info()
    return {"its own": round(found.uss / _MB), "resident": round(found.rss / _MB)}


if __name__ == "__main__":
    main()
