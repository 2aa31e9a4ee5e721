"""What metrics cost: their share of a request's CPU, and a scrape's time on the event loop.

    python -m benchmarks.metrics_cost

Each call that counts is timed where it stands, in this process, over what a request costs a service alone in its
process: measuring it with and without its metrics, in turn, is drowned by whatever else the machine does.
The scrape is of 5,000 lines.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import Any, Final

import click
import msgspec
import psutil
import uvloop

from benchmarks.__main__ import CORPUS
from benchmarks.load import closed_loop, request_bytes
from benchmarks.results_file import write_results
from benchmarks.servers import inquiry_server
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.labelled import read_labelled
from inquiry_svc.metrics import (
    OPEN,
    Counter,
    CounterSeries,
    GaugeSeries,
    Histogram,
    HistogramSeries,
    Metric,
    Snapshot,
)
from inquiry_svc.testing.running import running_service
from inquiry_svc.watchers import Watchers
from inquiry_svc.web.edge import Edge
from inquiry_svc.workers.link import All, FromParent, to_numbers, to_snapshot

_LINES: Final = 5_000
_CONNECTIONS: Final = 64
_LONGEST_CALL_NS: Final = 200_000


@click.command()
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(seconds: float, seed: int) -> None:
    """Measure, print, and write `results/metrics_cost.json`."""
    shares = uvloop.run(_shares(seconds, seed))
    scrapes = uvloop.run(_scrapes())
    write_results("metrics_cost", share_of_cpu=shares, scrape_of_5000_lines_ms=scrapes)
    for path, found in shares.items():
        click.echo(
            f"{path:9} {found['request_us']:6.1f} us of CPU a request, of it metrics {found['metrics_us']:4.1f}: "
            f"{found['share']:.1%}"
        )
    for name, value in scrapes.items():
        click.echo(f"{name:34} {value:8.2f}")


# The share of a request's CPU

COUNTING: Final[Mapping[type, str]] = {
    CounterSeries: "inc",
    GaugeSeries: "set",
    HistogramSeries: "observe",
    Watchers: "tell",  # of the watchers, only the one that records is there
    Edge: "_measure",
}
"""All that counts, or has something counted. What one calls of another is the outer one's."""


class _Timed:
    """Times every call that counts, where it stands: with the caches as cold as they are there."""

    def __init__(self) -> None:
        self.spent_ns = 0
        self.calls = 0
        self._within = False

    @contextmanager
    def running(self) -> Iterator[None]:
        as_shipped = {owner: getattr(owner, method) for owner, method in COUNTING.items()}
        for owner, method in COUNTING.items():
            setattr(owner, method, self.timed(as_shipped[owner]))
        try:
            yield
        finally:
            for owner, method in COUNTING.items():
                setattr(owner, method, as_shipped[owner])

    def timed(self, counts: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            if self._within:
                return counts(*given)
            self._within, started_ns = True, time.perf_counter_ns()
            try:
                return counts(*given)
            finally:
                # A call that took longer was interrupted by another process.
                self.spent_ns += min(time.perf_counter_ns() - started_ns, _LONGEST_CALL_NS)
                self.calls += 1
                self._within = False

        return call


async def _shares(seconds: float, seed: int) -> dict[str, Any]:
    requests = _requests(seed)
    settings = {"classifier.provider": "xgboost", "store.provider": "sqlite", "logging.requests": "none"}
    async with running_service(settings) as running:
        costs = {path: await _cost(running.url, each, seconds) for path, each in requests.items()}
    whole_us = _whole_us(requests, seconds)
    return {
        path: {
            "request_us": round(whole_us[path], 1),
            "metrics_us": round(cost_us, 2),
            "share": round(cost_us / whole_us[path], 4),
        }
        for path, cost_us in costs.items()
    }


async def _cost(url: str, requests: list[bytes], seconds: float) -> float:
    """Microseconds a request spent in counting; what the timing itself takes is taken off."""
    timed = _Timed()
    nothing = timed.timed(lambda *_: None)
    for _ in range(100_000):
        nothing(1)
    own_ns = timed.spent_ns / timed.calls
    timed.spent_ns = timed.calls = 0
    with timed.running():
        figures = await closed_loop(url, requests, connections=_CONNECTIONS, duration_s=seconds, warm_up_s=0.0)
    return (timed.spent_ns - timed.calls * own_ns) / 1000 / (figures.requests_per_s * seconds)


def _requests(seed: int) -> dict[str, list[bytes]]:
    texts = [row.text for row in read_labelled(sorted(CORPUS.glob("*.jsonl")))]
    random.Random(seed).shuffle(texts)
    bodies = [{"subject": t.subject, "body": t.body} for t in texts]
    submits = [{**body, "sender_email": "ana@example.org"} for body in bodies]
    return {
        "classify": [request_bytes("/api/v1/inquiries/classify", json.dumps(body).encode()) for body in bodies],
        "submit": [request_bytes("/api/v1/inquiries/submit", json.dumps(body).encode()) for body in submits],
    }


def _whole_us(requests: Mapping[str, list[bytes]], seconds: float) -> dict[str, float]:
    """CPU time a request of a service alone in its process, all its threads."""
    found: dict[str, float] = {}
    before = set(psutil.Process().children())
    with inquiry_server() as url:
        (process,) = set(psutil.Process().children()) - before
        for path, each in requests.items():
            spent_s = sum(process.cpu_times()[:2])
            with ThreadPoolExecutor(1) as thread:  # in this one a loop runs
                load = closed_loop(url, each, connections=_CONNECTIONS, duration_s=seconds, warm_up_s=0.0)
                figures = thread.submit(uvloop.run, load).result()
            found[path] = (sum(process.cpu_times()[:2]) - spent_s) * 1e6 / (figures.requests_per_s * seconds)
    return found


# A scrape


class _Filling:
    """Declares metrics that fill the page up: half of the lines are of histograms."""

    def __init__(self, lines: int) -> None:
        buckets = tuple(float(bound) for bound in range(1, 14))
        per_series = len(buckets) + 3
        self.histograms = [Histogram(f"filling_{n}_seconds", "Fills.", {"endpoint": OPEN}, buckets) for n in range(4)]
        self.counters = [Counter(f"filling_{n}_total", "Fills.", {"a": OPEN, "b": OPEN}) for n in range(6)]
        self.of_each_histogram = lines // 2 // per_series // len(self.histograms)
        of_histograms = self.of_each_histogram * per_series * len(self.histograms)
        self.of_each_counter = (lines - of_histograms) // len(self.counters)

    @hookimpl
    def register_metrics(self) -> Iterable[Metric]:
        return [*self.histograms, *self.counters]


async def _scrapes() -> dict[str, float]:
    """Medians, in milliseconds, but for the number of lines."""
    settings = {"exporters.providers": ("aioprometheus", "openmetrics"), "logging.requests": "none"}
    async with running_service(settings) as running:
        own_page = await asyncio.to_thread(_get, f"{running.url}/metrics", "*/*")
    filling = _Filling(_LINES - len(own_page.splitlines()))
    async with running_service(settings, plugins=[filling]) as running:
        metrics, rng = running.service.metrics, random.Random(1)
        for histogram in filling.histograms:
            for number in range(filling.of_each_histogram):
                series = metrics.series(histogram, endpoint=f"/api/v1/filling/{number}")
                for _ in range(20):
                    series.observe(rng.uniform(0, 15))
        for counter in filling.counters:
            for number in range(filling.of_each_counter):
                metrics.series(counter, a=str(number), b="filling").inc(rng.uniform(0, 1e6))
        url = f"{running.url}/metrics"
        first = await _on_loop(lambda: _scraped(url))
        again = [await _on_loop(lambda: _scraped(url)) for _ in range(50)]
        openmetrics = [await _on_loop(lambda: _scraped(url, "application/openmetrics-text")) for _ in range(50)]
        stalls = [await _longest_stall(lambda: _scraped(url)) for _ in range(50)]
        stalls_without = [await _longest_stall(lambda: asyncio.sleep(0.02)) for _ in range(50)]
        lines = len((await asyncio.to_thread(_get, url, "*/*")).splitlines())
        snapshot = metrics.snapshot()
    found = {
        "lines": lines,
        "on the loop, first": first,
        "on the loop": median(again),
        "on the loop, openmetrics": median(openmetrics[1:]),
        "longest stall of the loop": median(stalls),
        "longest stall without a scrape": median(stalls_without),
        "added on the loop by workers": median(_by_workers(snapshot) for _ in range(50)),
    }
    return {name: round(value, 2) for name, value in found.items()}


async def _on_loop(work: Callable[[], Awaitable[object]]) -> float:
    """CPU time of the loop's own thread."""
    started = time.thread_time()
    await work()
    return (time.thread_time() - started) * 1000


async def _longest_stall(work: Callable[[], Awaitable[object]]) -> float:
    """How long the loop does not get to run anything else, once it could: wall time, so others' load shows."""
    longest_s, done = 0.0, False

    async def tick() -> None:
        nonlocal longest_s
        while not done:
            due = time.perf_counter() + 0.001
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, time.perf_counter() - due)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    longest_s = 0.0
    await work()
    done = True
    await ticking
    return longest_s * 1000


async def _scraped(url: str, accept: str = "*/*") -> None:
    await asyncio.to_thread(_get, url, accept)


def _get(url: str, accept: str) -> bytes:
    assert threading.current_thread() is not threading.main_thread()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as answer:
        found: bytes = answer.read()
        return found


def _by_workers(snapshot: Snapshot) -> float:
    """With workers, the scraped one tells its numbers to the parent and takes in everybody's."""
    started = time.thread_time()
    asked = msgspec.msgpack.encode(All(1, to_numbers(snapshot)))
    to_snapshot(msgspec.msgpack.decode(asked, type=FromParent).numbers or [])
    return (time.thread_time() - started) * 1000


if __name__ == "__main__":
    main()
