"""How many outcomes a second does each store commit, a batch a transaction, beside a commit for each? One run.

Every store is asked in this process, by as many callers as the service has (one batch at a time) and by more. The
servers are durable: fsync is on. The answers are read back, so that a quick store that keeps nothing fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import click
import uvloop

from benchmarks.results_file import write_results
from inquiry_svc.contracts import Filters, Host, Store
from inquiry_svc.inquiries import Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.samples import sample_inquiry, sample_outcome
from inquiry_svc_plugins.stores.postgres import PostgresSettings, open_postgres
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite
from tests.servers.postgres import postgres_server

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]
BODY: Final = "My card was charged twice for March, and nobody answers the telephone. Please look into it. " * 2


@dataclass(frozen=True, slots=True)
class Case:
    store: str
    open_store: OpenStore
    batch: int
    callers: int


@click.command()
@click.option("--repeats", default=3, show_default=True)
@click.option("--seconds", "duration_s", default=1.5, show_default=True)
def main(repeats: int, duration_s: float) -> None:
    """Measure rows a second of each store, by size of batch and number of callers."""
    measured: dict[tuple[str, int, int], list[float]] = {}
    with ExitStack() as stack:
        cases = list(_cases(stack))
        rounds = [case for _ in range(repeats) for case in cases]
        with click.progressbar(rounds, label="Measuring") as bar:
            for case in bar:
                rows_per_s = uvloop.run(_rows_per_s(case, duration_s))
                measured.setdefault((case.store, case.batch, case.callers), []).append(rows_per_s)
    singles = {store: median(found) for (store, batch, callers), found in measured.items() if batch == callers == 1}
    rows = [
        {
            "store": store,
            "batch": batch,
            "callers": callers,
            "rows_per_s": round(median(found)),
            "lowest_to_highest": [round(min(found)), round(max(found))],
            "of_a_commit_each": round(median(found) / singles[store], 1),
        }
        for (store, batch, callers), found in measured.items()
    ]
    for row in rows:
        click.echo(
            f"{row['store']:12}{row['batch']:6} a commit{row['callers']:6} callers{row['rows_per_s']:10,} rows/s"
            f"{row['of_a_commit_each']:8.1f} x"
        )
    write_results("stores", rows=rows, parameters={"repeats": repeats, "seconds": duration_s})


def _cases(stack: ExitStack) -> Iterator[Case]:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="inquiry-bench-")))
    server = stack.enter_context(postgres_server(durable=True))
    host = Host(folder, Metrics())
    stores: dict[str, OpenStore] = {
        "sqlite": lambda: open_sqlite(SqliteSettings(), host),
        "postgres": lambda: open_postgres(PostgresSettings(server.url()), host),
    }
    for store, open_store in stores.items():
        for batch, callers in ((1, 1), (1, 10), (64, 1), (64, 2)):
            yield Case(store, open_store, batch, callers)


async def _rows_per_s(case: Case, duration_s: float) -> float:
    async with case.open_store() as store:
        await store.save([_outcome()])  # connected, and knows its statements
        batches = [[_outcome() for _ in range(case.batch)] for _ in range(int(200_000 * duration_s / case.batch))]
        saved = 0
        started = time.perf_counter()

        async def save_on() -> None:
            nonlocal saved
            while batches and time.perf_counter() - started < duration_s:
                stored = await store.save(batches.pop())
                saved += len(stored)

        await asyncio.gather(*(save_on() for _ in range(case.callers)))
        took_s = time.perf_counter() - started
        if len(await store.list(Filters(), limit=100, after=None)) < min(saved, 100):
            raise RuntimeError(f"{case.store} answered and did not keep")
        return saved / took_s


def _outcome() -> Outcome:
    return sample_outcome(sample_inquiry(body=BODY, received_at=datetime.now(UTC)))


if __name__ == "__main__":
    main()
