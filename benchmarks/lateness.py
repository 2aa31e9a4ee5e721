"""How late is the event loop at worst while a model is swapped?

    python -m benchmarks.lateness    # two minutes; minilm and cascade need inquiry-svc[minilm]

A service in this process, on one core, whose champion is another of three models with each swap: each is read anew, as
only the champion before stays open. Meanwhile something wants its turn each millisecond. What it is late by is counted
in processor time of this process, so that what else runs on the machine does not matter.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import click
import uvloop

from benchmarks.__main__ import CORPUS
from benchmarks.results_file import write_results
from benchmarks.servers import LOAD_CORE, use_core
from inquiry_svc.cli.serve import _spare_what_stays
from inquiry_svc.labelled import read_labelled
from inquiry_svc.models.registry import Reference, Registry
from inquiry_svc.testing.running import running_service
from inquiry_svc_plugins.classifiers import minilm, xgboost

TICK_S: Final = 0.001
LEARNERS: Final = {"xgboost": xgboost, "minilm": minilm, "cascade": xgboost}
"""By the classifier that is chosen, whose models are swapped."""


@click.command()
@click.option("--swaps", default=60, show_default=True)
@click.argument("classifiers", nargs=-1, type=click.Choice(list(LEARNERS)))
def main(swaps: int, classifiers: Sequence[str]) -> None:
    """Measure, print, and write `results/lateness.json`."""
    use_core(LOAD_CORE)
    found = {chosen: uvloop.run(_measured(chosen, swaps)) for chosen in classifiers or LEARNERS}
    write_results("lateness", swaps=swaps, classifiers=found)
    for chosen, figures in found.items():
        click.echo(f"{chosen:10}" + "".join(f"{name:>20} {figure:6.1f}" for name, figure in figures.items()))


async def _measured(chosen: str, swaps: int) -> Mapping[str, float]:
    with TemporaryDirectory(prefix="inquiry-bench-lateness-") as folder:
        registry = Registry(Path(folder))
        models = _some_models(registry, chosen)
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


def _some_models(registry: Registry, chosen: str) -> Sequence[Reference]:
    """Three that learnt from little: their weights are as many as the packaged one's, or nearly."""
    [provider] = LEARNERS[chosen].register_classifiers()
    assert provider.model_folders is not None
    assert provider.model_folders.train is not None
    found = []
    for first in range(3):
        rows = [row for file in sorted(CORPUS.glob("*.jsonl"))[first : first + 3] for row in read_labelled([file])[:60]]
        with registry.incoming() as folder:
            provider.model_folders.train(provider.settings(), rows, folder, lambda done, of: None)
            reference = Reference(provider.name, json.loads((folder / "manifest.json").read_bytes())["digest"])
            registry.take_in(folder, reference)
            found.append(reference)
    return found


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
