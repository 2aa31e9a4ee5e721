"""How fast are the servers that one would otherwise pick, beside ours? The same model, texts and answers.

    make .venv-peers
    python -m benchmarks.peers

Each server is on one core, the load on the other, and all but the one under measurement are halted. Each is asked first
for a sample of texts, as many at a time; an answer that is not the reference's fails the run.
"""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import click
import uvloop

from benchmarks.__main__ import CORPUS
from benchmarks.load import request_bytes
from benchmarks.measuring import Case, measure
from benchmarks.peers.catalogue import OUR_NAME, OURS, Server, constant, ourselves, peers
from benchmarks.peers.checking import check
from benchmarks.peers.page import print_tables, write_page
from benchmarks.peers.processes import NotRunning, Running, running
from benchmarks.results_file import RESULTS, write_results
from benchmarks.servers import LOAD_CORE, use_core
from inquiry_svc.inquiries import Text
from inquiry_svc.labelled import read_labelled
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL
from inquiry_svc_plugins.classifiers.xgboost.model import TriageModel, load_model
from tests.servers.postgres import postgres_server

CHECKED: Final = 128
"""Texts, of each server before each measurement."""
STARTING_AT_ONCE: Final = 2
"""More on two cores, and some give up."""
TRIES: Final = 3


@click.command()
@click.option("--repeats", default=3, show_default=True)
@click.option("--seconds", "duration_s", default=3.0, show_default=True)
@click.option("--connections", default=[1, 64], multiple=True, show_default=True)
@click.option("--only", default="", help="Of the peers those with this in their name.")
@click.option("--seed", default=1, show_default=True)
def main(repeats: int, duration_s: float, connections: Sequence[int], only: str, seed: int) -> None:
    """Measure, compare, print, and write `results/peers.json` and `results/peers.md`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # else it would leave halted servers behind
    dice, reference = random.Random(seed), load_model(PACKAGED_MODEL)
    texts = [row.text for row in read_labelled(sorted(CORPUS.glob("*.jsonl")))]
    dice.shuffle(texts)
    with ExitStack() as stack:
        servers, not_here = _started(stack, only)
        use_core(LOAD_CORE)
        cases = [(each, Case(each.server, count)) for count in connections for each in servers]
        with click.progressbar(cases * repeats, label="Measuring") as bar:
            for each, case in bar:
                dice.shuffle(texts)
                _measure(case, each, texts, reference, duration_s)
    rows = list(_rows([case for _, case in cases]))
    print_tables(rows)
    parameters = {"repeats": repeats, "seconds": duration_s, "seed": seed, "texts": len(texts)}
    write_results("peers", rows=rows, not_here=not_here, parameters=parameters)
    write_page(RESULTS / "peers.json")


def _started(stack: ExitStack, only: str) -> tuple[list[Running], list[str]]:
    """All that could be started, and of the others why not."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="inquiry-bench-")))
    postgres = stack.enter_context(postgres_server(durable=True))
    wanted = [
        constant(),
        *ourselves(postgres.url(), folder),
        *(
            each
            for each in peers(lambda name: stack.enter_context(postgres.database(name)), folder)
            if only in each.name
        ),
    ]

    def start(server: Server) -> Running | str:
        why = ""
        for _ in range(TRIES):
            try:
                return stack.enter_context(running(server, folder))
            except NotRunning as error:
                why = str(error)
        if server.venv == OURS:
            raise NotRunning(why)
        return why

    with (
        ThreadPoolExecutor(STARTING_AT_ONCE) as threads,
        click.progressbar(threads.map(start, wanted), len(wanted), "Starting") as bar,
    ):
        found = list(bar)
    return [each for each in found if isinstance(each, Running)], [each for each in found if isinstance(each, str)]


def _measure(case: Case, asked: Running, texts: Sequence[Text], reference: TriageModel, duration_s: float) -> None:
    server, sample = asked.server, texts[:CHECKED]
    requests = [request_bytes(server.path, server.body(text)) for text in texts]
    asked.go_on()
    uvloop.run(check(asked, sample, reference.verdicts(sample), connections=case.connections))
    case.measured.append(measure(asked, requests, connections=case.connections, duration_s=duration_s))


def _rows(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Question by question, each after ours."""
    ours = {(case.server.question, case.connections): case for case in cases if case.server.name == OUR_NAME}
    ceilings = {case.connections: case for case in cases if not case.server.answers}
    for case in sorted(cases, key=lambda case: (case.connections, case.server.question)):
        our = ours[case.server.question, case.connections]
        yield {
            "question": case.server.question,
            "server": case.server.name,
            "predictor": case.server.predictor,
            **case.row(ceilings[case.connections]),
            "ours_to_it": round(our.times(case), 2),
            "ours_to_it_by_cpu": round(case.cpu_us / our.cpu_us, 2),
            "settings": case.server.settings,
        }


if __name__ == "__main__":
    main()
