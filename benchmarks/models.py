"""What do a swap every 2 s, to a new model or back, a shadow and a canary cost those who wait for an answer?

    python -m benchmarks.models

One process on one core, an open-loop load at a share of what it can do, texts of the corpus, no cache. Beside each
window in which something goes on there is a quiet one: see `pairs`.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import click
import uvloop

from benchmarks.__main__ import CORPUS
from benchmarks.load import request_bytes
from benchmarks.pairs import Pair, measured_pair, p99_ratios
from benchmarks.results_file import write_results
from benchmarks.servers import LOAD_CORE, inquiry_server, use_core
from inquiry_svc.labelled import read_labelled
from inquiry_svc.models.registry import Alias, Reference, Registry
from inquiry_svc_plugins.classifiers import minilm, xgboost
from inquiry_svc_plugins.classifiers.xgboost.model import overall_digest

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
@click.option("--rounds", default=8, show_default=True, type=click.IntRange(min=2))
@click.option("--seconds", "window_s", default=8.0, show_default=True, help="Of each window.")
@click.option("--load", default=0.8, show_default=True, help="As a share of what the service can do at that moment.")
@click.option("--seed", default=1, show_default=True)
def main(rounds: int, window_s: float, load: float, seed: int) -> None:
    """Measure, print, and write `results/models.json`."""
    use_core(LOAD_CORE)
    with TemporaryDirectory(prefix="inquiry-bench-models-") as folder:
        registry = Registry(Path(folder))
        models = some_models(registry)
        with inquiry_server(_LENIENT, data_dir=folder) as url:
            pairs = uvloop.run(_measured(url, registry, models, rounds, window_s, load, seed))
    found = {name: _told(of_case) for name, of_case in pairs.items()}
    write_results("models", seed=seed, load=load, rounds=rounds, seconds=window_s, cases=found)
    for name, figures in found.items():
        click.echo(f"{name:11}" + "".join(f"{key:>17} {value}" for key, value in figures.items()))


def _told(pairs: Sequence[Pair]) -> Mapping[str, Any]:
    """Medians over the pairs."""
    lower, middle, upper = p99_ratios(pairs)
    return {
        "requests_per_s": round(median(pair.requests_per_s for pair in pairs)),
        "quiet_p50_ms": round(median(pair.quiet.p50_ms for pair in pairs), 2),
        "p50_ms": round(median(pair.busy.p50_ms for pair in pairs), 2),
        "quiet_p99_ms": round(median(pair.quiet.p99_ms for pair in pairs), 2),
        "p99_ms": round(median(pair.busy.p99_ms for pair in pairs), 2),
        "p99_of_quiet": round(middle, 3),
        "quartiles": [round(lower, 3), round(upper, 3)],
    }


async def _measured(
    url: str,
    registry: Registry,
    models: Sequence[Reference],
    rounds: int,
    window_s: float,
    load: float,
    seed: int,
) -> Mapping[str, Sequence[Pair]]:
    dice = random.Random(seed)
    rows = dice.sample(read_labelled(sorted(CORPUS.glob("*.jsonl"))), 1000)
    requests = [
        request_bytes(
            "/api/v1/inquiries/classify", json.dumps({"subject": row.text.subject, "body": row.text.body}).encode()
        )
        for row in rows
    ]
    pairs: dict[str, list[Pair]] = {name: [] for name in CASES}
    with click.progressbar(length=rounds * len(CASES), label="Measuring") as bar:
        for number in range(rounds):
            for name, case in CASES.items():
                pair = await measured_pair(
                    url,
                    requests,
                    partial(case, registry, models),
                    load=load,
                    window_s=window_s,
                    number=number,
                    dice=dice,
                )
                pairs[name].append(pair)
                bar.update(1)
    return pairs


def some_models(registry: Registry, classifier: str = "xgboost") -> Sequence[Reference]:
    """The packaged one three times, each with other thresholds of review: as much to read, and no two are the same."""
    packaged = {"xgboost": xgboost, "minilm": minilm}[classifier].PACKAGED_MODEL
    found = []
    for number in range(1, 4):
        with registry.incoming() as folder:
            shutil.copytree(packaged, folder, dirs_exist_ok=True)
            manifest = json.loads((folder / "manifest.json").read_bytes())
            below = manifest["review"]["below_confidence"]
            below.update({category: share * (1 - number / 100) for category, share in below.items()})
            manifest["digest"] = _digest(classifier, manifest)
            (folder / "manifest.json").write_text(json.dumps(manifest))
            found.append(Reference(classifier, manifest["digest"]))
            registry.take_in(folder, found[-1])
    return found


def _digest(classifier: str, manifest: Mapping[str, Any]) -> str:
    files, below = manifest["files"], manifest["review"]["below_confidence"]
    if classifier == "minilm":
        from inquiry_svc_plugins.classifiers.minilm.model import overall_digest as digest_of_minilm  # needs an extra

        return digest_of_minilm(files, manifest["encoder"], below)
    return overall_digest(files, below)


@asynccontextmanager
async def swapping(registry: Registry, models: Sequence[Reference]) -> AsyncIterator[None]:
    """Each of these is the champion in turn, for 2 s, while open; then the built-in one, everywhere.

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
    await asyncio.sleep(_FOLLOWED_S)


def _going_back(registry: Registry, models: Sequence[Reference]) -> AbstractAsyncContextManager[None]:
    return swapping(registry, models[:2])


def _as(alias: Alias) -> Case:
    @asynccontextmanager
    async def case(registry: Registry, models: Sequence[Reference]) -> AsyncIterator[None]:
        registry.promote(models[1], alias, **_WHO)
        await asyncio.sleep(_FOLLOWED_S)
        yield
        registry.roll_back(alias, who="benchmark", why="")
        await asyncio.sleep(_FOLLOWED_S)

    return case


CASES: Final[Mapping[str, Case]] = {
    "swapping": swapping,
    "going back": _going_back,
    "shadow": _as("shadow"),
    "canary": _as("challenger"),
}

if __name__ == "__main__":
    main()
