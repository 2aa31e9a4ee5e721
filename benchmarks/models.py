"""What do a swap every 2 s, to a new model or back, a shadow and a canary cost those who wait for an answer?

    python -m benchmarks.models

One process on one core, an open-loop load at a share of what it can do, texts of the corpus, no cache. The windows of
all cases take turns, so compare within a round: the ratios are medians over the rounds.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import click
import uvloop

from benchmarks.__main__ import CORPUS
from benchmarks.load import closed_loop, request_bytes
from benchmarks.open_loop import open_loop
from benchmarks.results_file import write_results
from benchmarks.servers import LOAD_CORE, inquiry_server, use_core
from inquiry_svc.labelled import read_labelled
from inquiry_svc.models.registry import Alias, Reference, Registry
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL, XgboostSettings
from inquiry_svc_plugins.classifiers.xgboost.making import make

EVERY_S: Final = 2.0
_FOLLOWED_S: Final = 2.5
_WHO: Final[dict[str, Any]] = {"who": "benchmark", "why": "", "figures": {}}
_LENIENT: Final = {
    "INQUIRY_MODELS__MIN_AGREEMENT": "0",
    "INQUIRY_MODELS__MAX_P99_S": "60",
    "INQUIRY_LOGGING__REQUESTS": "none",
}
"""The canary stays, whatever it says; and no line is logged for a request, since nobody reads them."""
Case: TypeAlias = Callable[[Registry, Sequence[Reference]], AbstractAsyncContextManager[None]]


@click.command()
@click.option("--rounds", default=8, show_default=True)
@click.option("--seconds", "window_s", default=8.0, show_default=True, help="Of each window.")
@click.option("--load", default=0.8, show_default=True, help="As a share of what the service can do.")
@click.option("--seed", default=1, show_default=True)
def main(rounds: int, window_s: float, load: float, seed: int) -> None:
    """Measure, print, and write `results/models.json`."""
    use_core(LOAD_CORE)
    with TemporaryDirectory(prefix="inquiry-bench-models-") as folder:
        registry = Registry(Path(folder))
        models = some_models(registry)
        with inquiry_server(_LENIENT, data_dir=folder) as url:
            rate_per_s, windows = uvloop.run(_measured(url, registry, models, rounds, window_s, load, seed))
    quiet = windows["quiet"]
    found = {
        name: {
            "p50_ms": round(median(p50 for p50, _ in seen), 2),
            "p99_ms": round(median(p99 for _, p99 in seen), 2),
            "p99_of_quiet": round(median(p99 / before for (_, p99), (_, before) in zip(seen, quiet, strict=True)), 3),
        }
        for name, seen in windows.items()
    }
    write_results("models", seed=seed, load=load, requests_per_s=round(rate_per_s), rounds=rounds, cases=found)
    for name, figures in found.items():
        click.echo(f"{name:11}" + "".join(f"{key:>14} {value:8.2f}" for key, value in figures.items()))


async def _measured(
    url: str,
    registry: Registry,
    models: Sequence[Reference],
    rounds: int,
    window_s: float,
    load: float,
    seed: int,
) -> tuple[float, Mapping[str, list[tuple[float, float]]]]:
    """The rate, and of each case each window's p50 and p99 in milliseconds."""
    dice = random.Random(seed)
    rows = dice.sample(read_labelled(sorted(CORPUS.glob("*.jsonl"))), 1000)
    requests = [
        request_bytes(
            "/api/v1/inquiries/classify", json.dumps({"subject": row.text.subject, "body": row.text.body}).encode()
        )
        for row in rows
    ]
    capacity = await closed_loop(url, requests, connections=64, duration_s=4.0, warm_up_s=1.0)
    rate_per_s = load * capacity.requests_per_s
    windows: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    with click.progressbar(length=rounds * len(CASES), label="Measuring") as bar:
        for _ in range(rounds):
            for name, case in CASES.items():
                async with case(registry, models):
                    found = await open_loop(url, requests, rate_per_s=rate_per_s, duration_s=window_s, dice=dice)
                found.sort()
                windows[name].append((found[len(found) // 2] * 1000, found[int(len(found) * 0.99)] * 1000))
                bar.update(1)
    return rate_per_s, windows


def some_models(registry: Registry) -> Sequence[Reference]:
    """The packaged one, and two that learnt from little: nearly as large, and with other answers."""
    found = []
    for number in range(3):
        with registry.incoming() as folder:
            if number == 0:
                shutil.copytree(PACKAGED_MODEL, folder, dirs_exist_ok=True)
            else:
                files = sorted(CORPUS.glob("*.jsonl"))[number : number + 3]
                rows = [row for file in files for row in read_labelled([file])[:60]]
                make(XgboostSettings(), rows, folder, lambda done, of: None)
            reference = Reference("xgboost", json.loads((folder / "manifest.json").read_bytes())["digest"])
            registry.take_in(folder, reference)
            found.append(reference)
    return found


@asynccontextmanager
async def _quiet(registry: Registry, models: Sequence[Reference]) -> AsyncIterator[None]:
    await asyncio.sleep(_FOLLOWED_S)
    yield


@asynccontextmanager
async def swapping(registry: Registry, models: Sequence[Reference]) -> AsyncIterator[None]:
    """Each of these is the champion in turn, for 2 s, while open; then the built-in one.

    Of three each is read anew each time: only the champion before stays open.
    """
    done = asyncio.Event()

    async def swap() -> None:
        for model in cycle(models):
            await asyncio.to_thread(registry.promote, model, "champion", **_WHO)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await done.wait()
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(swap())
        try:
            yield
        finally:
            done.set()
    registry.promote(None, "champion", **_WHO)


def _going_back(registry: Registry, models: Sequence[Reference]) -> AbstractAsyncContextManager[None]:
    return swapping(registry, models[:2])


def _as(alias: Alias) -> Case:
    @asynccontextmanager
    async def case(registry: Registry, models: Sequence[Reference]) -> AsyncIterator[None]:
        registry.promote(models[1], alias, **_WHO)
        await asyncio.sleep(_FOLLOWED_S)
        yield
        registry.roll_back(alias, who="benchmark", why="")

    return case


CASES: Final[Mapping[str, Case]] = {
    "quiet": _quiet,
    "swapping": swapping,
    "going back": _going_back,
    "shadow": _as("shadow"),
    "canary": _as("challenger"),
}

if __name__ == "__main__":
    main()
