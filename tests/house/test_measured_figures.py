"""The figures of the page on scaling out are those that the benchmarks found last."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = " ".join((ROOT / "docs/beyond-one-machine.md").read_text().split())
RESULTS: Final = ROOT / "benchmarks/results"


def found(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def row(name: str, /, **wanted: object) -> Any:
    [only] = [each for each in found(name)["rows"] if wanted.items() <= each.items()]
    return only


def of_submits(case: str, connections: int) -> str:
    measured = row("latest", case=case, connections=connections)
    digits = 0 if connections > 1 else 1
    return f"{measured['requests_per_s']:,}/s, p99 {measured['p99_ms']:.{digits}f} ms"


def per_s(case: str, connections: int) -> int:
    requests: int = row("latest", case=case, connections=connections)["requests_per_s"]
    return requests


def stored(store: str, batch: int, callers: int) -> str:
    return f"{row('stores', store=store, batch=batch, callers=callers)['rows_per_s']:,}"


def by_workers(case: str) -> list[str]:
    """One, then two."""
    return [f"{each['requests_per_s']:,.0f}" for each in found("growth")["plots"]["workers"][case]]


def kernel_us(characters: int) -> float:
    took_us: float = row("predictor", characters=characters, ascii=True, batch=64)["kernel_us"]
    return took_us


def more(traced: str) -> str:
    costs = found("tracing_cost")["cpu_us_of_a_submit"]
    return f"{costs[traced] / costs['none'] - 1:.0%}".replace("%", " %")


CLASSIFIED: Final = by_workers("classify")
SUBMITTED: Final = by_workers("submit, SQLite")
ON_POSTGRES: Final = by_workers("submit, PostgreSQL")
SAID: Final = [
    f"| SQLite, fsync on | {of_submits('submit, SQLite', 1).replace('/s', ' inquiries/s', 1)} |"
    f" {of_submits('submit, SQLite', 64)} |",
    f"| PostgreSQL beside it | {of_submits('submit, PostgreSQL', 1)} | {of_submits('submit, PostgreSQL', 64)} |",
    f"a commit for each instead of for a batch | {per_s('the same, a commit each', 1):,}/s |"
    f" {per_s('the same, a commit each', 64):,}/s |",
    f"| classified only, nothing stored | {per_s('classify', 1):,}/s | {per_s('classify', 64):,}/s |",
    f"On SQLite that makes {per_s('submit, SQLite', 64) * 86_400 / 1e6:.0f} million a day.",
    f"two workers classify {CLASSIFIED[1]} a second where one classifies {CLASSIFIED[0]}, and take {SUBMITTED[1]}"
    f" submits instead of {SUBMITTED[0]} on one SQLite file, or {ON_POSTGRES[1]} instead of {ON_POSTGRES[0]}"
    " on PostgreSQL",
    f"in batches of 64 the store alone takes {stored('sqlite', 64, 1)} rows a second instead of"
    f" {stored('sqlite', 1, 1)} (SQLite), or {stored('postgres', 64, 2)} instead of {stored('postgres', 1, 1)}"
    " (PostgreSQL, two writers).",
    f"one process with 64 callers takes {per_s('submit, PostgreSQL', 64):,} a second on it, and"
    f" {per_s('submit, SQLite', 64):,} on SQLite.",
    f"with {found('scoring')['parameters']['lines']:,} lines of the corpus: one process takes"
    f" {row('scoring', engine='local')['cpu_s']} s of a core, two workers with what looks after them"
    f" {row('scoring', engine='dask, 2 workers')['cpu_s']} s.",
    f"can be computed again in {kernel_us(150):.0f} to {kernel_us(900):.0f} microseconds a text (**measured**",
    f"one server took {stored('postgres', 64, 2)} rows a second",
    f"at each scrape: {found('metrics_cost')['scrape_of_5000_lines_ms']['added on the loop by workers']:.1f} ms more",
    f"all of them cost {more('on, 100 %')} more processor time a submit, a tenth of them {more('on, 10 %')} more",
]
FROM_ELSEWHERE: Final = ["the model's kernel is 28 % of a"]
"""Found with a profiler: benchmarks/README.md."""


@pytest.mark.parametrize("said", SAID)
def test_the_page_says_what_was_measured(said: str) -> None:
    assert said in PAGE, "the results are newer: let the page say this"


def test_whatever_the_page_calls_measured_is_one_of_these() -> None:
    text = PAGE
    for said in [*SAID, *FROM_ELSEWHERE]:
        text = text.replace(said, "")
    sentences = re.split(r"(?<=[.:;|]) ", text)
    units = r"\d[\d,.]+ (?:a second|ms|microseconds|s of|million|times)|\d %|\d/s"
    assert [sentence for sentence in sentences if re.search(units, sentence)] == []
    assert all(said in (ROOT / "benchmarks/README.md").read_text() for said in ("the model's kernel is 28 %",))
