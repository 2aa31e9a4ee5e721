"""How fast is triage, beside what aiohttp can do at all? One run, interleaved repeats, medians.

All servers answer the same texts from the same load generator in turn (`measuring.py`), so the ratios hold on a machine
whose speed drifts; the absolute figures are this machine's.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click

from benchmarks.load import request_bytes
from benchmarks.measuring import Case, measure
from benchmarks.peers.catalogue import Server, constant, ourselves
from benchmarks.peers.processes import running
from benchmarks.results_file import write_results
from benchmarks.servers import LOAD_CORE, use_core
from inquiry_svc.labelled import read_labelled
from tests.servers.postgres import postgres_server

ROOT: Final = Path(__file__).parents[1]
CORPUS: Final = ROOT / "plugins/inquiry_svc_plugins/classifiers/xgboost/corpus"


@click.command()
@click.option("--repeats", default=3, show_default=True)
@click.option("--seconds", "duration_s", default=4.0, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(repeats: int, duration_s: float, seed: int) -> None:
    """Measure submit and classify against a constant answer, at 1 and 64 connections."""
    texts = [row.text for row in read_labelled(sorted(CORPUS.glob("*.jsonl")))]
    random.Random(seed).shuffle(texts)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="inquiry-bench-")))
        url = stack.enter_context(postgres_server(durable=True)).url()
        started = [stack.enter_context(running(server, folder)) for server in _servers(url, folder)]
        use_core(LOAD_CORE)
        requests = [[request_bytes(each.server.path, each.server.body(text)) for text in texts] for each in started]
        cases = [(each, Case(each.server, count), number) for count in (1, 64) for number, each in enumerate(started)]
        with click.progressbar(cases * repeats, label="Measuring") as bar:
            for each, case, number in bar:
                case.measured.append(
                    measure(each, requests[number], connections=case.connections, duration_s=duration_s)
                )
    ceilings = {case.connections: case for _, case, number in cases if number == 0}
    rows = [{"case": case.server.question, **case.row(ceilings[case.connections])} for _, case, _ in cases]
    _print(rows)
    write_results(
        "latest", rows=rows, parameters={"repeats": repeats, "seconds": duration_s, "seed": seed, "texts": len(texts)}
    )


def _servers(postgres_url: str, folder: Path) -> list[Server]:
    """The constant answer first."""
    ours = list(ourselves(postgres_url, folder))
    one_by_one = {**ours[-1].environment, "INQUIRY_BATCHING__MAX_BATCH": "1"}
    alone = replace(ours[-1], question="the same, a commit each", environment=one_by_one)
    return [replace(constant(), question="constant answer"), *ours, alone]


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("connections", "requests/s", "of constant", "by CPU", "p50 ms", "p99 ms", "CPU us", "busy", "load busy")
    click.echo(f"{'':26}" + "".join(f"{column:>12}" for column in columns))
    for row in rows:
        click.echo(
            f"{row['case']:26}{row['connections']:12}{row['requests_per_s']:12,}{row['of_constant']:12.2f}"
            f"{row['of_constant_by_cpu']:12.2f}{row['p50_ms']:12.2f}{row['p99_ms']:12.2f}{row['cpu_us']:12}"
            f"{row['server_busy']:12.2f}{row['load_busy']:12.2f}"
        )


if __name__ == "__main__":
    main()
