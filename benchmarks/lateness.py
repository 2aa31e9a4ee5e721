"""How late is the event loop at worst while a model is swapped?

    python -m benchmarks.lateness    # two minutes; minilm and cascade need inquiry-svc[minilm]

A service in this process, on one core, whose champion is another of three models with each swap: each is read anew, as
only the champion before stays open. Meanwhile something wants its turn each millisecond. What it is late by is counted
in processor time of this process, so that what else runs on the machine does not matter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import click
import uvloop

from benchmarks.models import some_models
from benchmarks.results_file import write_results
from benchmarks.servers import LOAD_CORE, use_core
from inquiry_svc.cli.serve import _spare_what_stays
from inquiry_svc.models.registry import Registry
from inquiry_svc.testing.running import running_service

TICK_S: Final = 0.001
SWAPPED: Final = {"xgboost": "xgboost", "minilm": "minilm", "cascade": "xgboost"}
"""By the classifier that is chosen, whose models are swapped."""


@click.command()
@click.option("--swaps", default=60, show_default=True)
@click.argument("classifiers", nargs=-1, type=click.Choice(list(SWAPPED)))
def main(swaps: int, classifiers: Sequence[str]) -> None:
    """Measure, print, and write `results/lateness.json`."""
    use_core(LOAD_CORE)
    found = {chosen: uvloop.run(_measured(chosen, swaps)) for chosen in classifiers or SWAPPED}
    write_results("lateness", swaps=swaps, classifiers=found)
    for chosen, figures in found.items():
        click.echo(f"{chosen:10}" + "".join(f"{name:>20} {figure:6.1f}" for name, figure in figures.items()))


async def _measured(chosen: str, swaps: int) -> Mapping[str, float]:
    with TemporaryDirectory(prefix="inquiry-bench-lateness-") as folder:
        registry = Registry(Path(folder))
        models = some_models(registry, SWAPPED[chosen])
        async with (
            running_service({"classifier.provider": chosen}, data_dir=Path(folder)) as running,
            _ticking() as late_s,
        ):
            _spare_what_stays()
            worst_s, took_s = [], []
            for swap in range(swaps):
                registry.promote(models[swap % len(models)], "champion", who="benchmark", why="", figures={})
                late_s.clear()
                began = time.perf_counter()
                await running.service.models.follow()
                await running.service.models.closed()
                took_s.append(time.perf_counter() - began)
                await running.service.models.check()
                await asyncio.sleep(10 * TICK_S)
                worst_s.append(max(late_s))
    return {
        "worst_ms_median": round(median(worst_s) * 1000, 1),
        "worst_ms": round(max(worst_s) * 1000, 1),
        "swap_ms_median": round(median(took_s) * 1000, 1),
    }


@asynccontextmanager
async def _ticking() -> AsyncIterator[list[float]]:
    """How late each tick came, as they come."""
    late_s: list[float] = []

    async def tick() -> None:
        while True:
            began, worked = time.perf_counter(), time.process_time()
            await asyncio.sleep(TICK_S)
            passed_s, worked_s = time.perf_counter() - began, time.process_time() - worked
            late_s.append(max(0.0, min(passed_s, worked_s) - TICK_S))

    task = asyncio.create_task(tick())
    try:
        yield late_s
    finally:
        task.cancel()


if __name__ == "__main__":
    main()
