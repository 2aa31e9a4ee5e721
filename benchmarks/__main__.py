"""How fast is triage, beside what aiohttp can do at all? One run, interleaved repeats, medians.

Both servers answer the same requests from the same load generator in turn, so the ratios hold on a machine whose speed
drifts; the absolute figures are this machine's.
"""

from __future__ import annotations

import json
import random
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import click
import uvloop

from benchmarks.load import Figures, closed_loop, request_bytes
from benchmarks.results_file import write_results
from benchmarks.servers import LOAD_CORE, constant_server, inquiry_server, use_core
from inquiry_svc.labelled import read_labelled
from tests.servers.postgres import postgres_server

ROOT: Final = Path(__file__).parents[1]
CORPUS: Final = ROOT / "plugins/inquiry_svc_plugins/classifiers/xgboost/corpus"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    url: str
    requests: list[bytes]


@click.command()
@click.option("--repeats", default=3, show_default=True)
@click.option("--seconds", "duration_s", default=4.0, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(repeats: int, duration_s: float, seed: int) -> None:
    """Measure submit and classify against a constant answer, at 1 and 64 connections."""
    texts = [row.text for row in read_labelled(sorted(CORPUS.glob("*.jsonl")))]
    random.Random(seed).shuffle(texts)
    submits = [{"subject": t.subject, "body": t.body, "sender_email": "ana@example.org"} for t in texts]
    classifies = [{"subject": t.subject, "body": t.body} for t in texts]
    measured: dict[tuple[str, int], list[Figures]] = {}
    with ExitStack() as stack:
        constant, service = stack.enter_context(constant_server()), stack.enter_context(inquiry_server())
        postgres = {"INQUIRY_STORE__PROVIDER": "postgres"}
        postgres["INQUIRY_STORE__POSTGRES__URL"] = stack.enter_context(postgres_server(durable=True)).url()
        on_postgres = stack.enter_context(inquiry_server(postgres))
        one_by_one = stack.enter_context(inquiry_server({**postgres, "INQUIRY_BATCHING__MAX_BATCH": "1"}))
        use_core(LOAD_CORE)
        cases = [
            Case("constant answer", constant, _requests("/", submits)),
            Case("classify", service, _requests("/api/v1/inquiries/classify", classifies)),
            Case("submit, SQLite", service, _requests("/api/v1/inquiries/submit", submits)),
            Case("submit, PostgreSQL", on_postgres, _requests("/api/v1/inquiries/submit", submits)),
            Case("the same, a commit each", one_by_one, _requests("/api/v1/inquiries/submit", submits)),
        ]
        rounds = [(case, connections) for _ in range(repeats) for connections in (1, 64) for case in cases]
        with click.progressbar(rounds, label="Measuring") as bar:
            for case, connections in bar:
                figures = uvloop.run(
                    closed_loop(case.url, case.requests, connections=connections, duration_s=duration_s, warm_up_s=0.5)
                )
                measured.setdefault((case.name, connections), []).append(figures)
    rows = list(_rows(measured))
    _print(rows)
    write_results(
        "latest", rows=rows, parameters={"repeats": repeats, "seconds": duration_s, "seed": seed, "texts": len(texts)}
    )


def _requests(path: str, bodies: list[dict[str, str]]) -> list[bytes]:
    return [request_bytes(path, json.dumps(body).encode()) for body in bodies]


def _rows(measured: dict[tuple[str, int], list[Figures]]) -> list[dict[str, Any]]:
    ceilings = {
        connections: median(f.requests_per_s for f in figures)
        for (name, connections), figures in measured.items()
        if name == "constant answer"
    }
    return [
        {
            "case": name,
            "connections": connections,
            "requests_per_s": round(median(f.requests_per_s for f in figures)),
            "lowest_to_highest": [round(bound(f.requests_per_s for f in figures)) for bound in (min, max)],
            "of_constant": round(median(f.requests_per_s for f in figures) / ceilings[connections], 3),
            "p50_ms": round(median(f.p50_ms for f in figures), 3),
            "p99_ms": round(median(f.p99_ms for f in figures), 3),
        }
        for (name, connections), figures in measured.items()
    ]


def _print(rows: list[dict[str, Any]]) -> None:
    click.echo(f"{'':26}{'connections':>12}{'requests/s':>12}{'of constant':>13}{'p50 ms':>9}{'p99 ms':>9}")
    for row in sorted(rows, key=lambda row: row["connections"]):
        click.echo(
            f"{row['case']:26}{row['connections']:12}{row['requests_per_s']:12,}{row['of_constant']:13.2f}"
            f"{row['p50_ms']:9.2f}{row['p99_ms']:9.2f}"
        )


if __name__ == "__main__":
    main()
