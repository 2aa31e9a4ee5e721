"""A server with plugins that watch every event, or that declare metrics with many series.

python -m benchmarks.growth.prepared --watchers 16
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

import click
import uvloop

from inquiry_svc.cli.serve import _spare_what_stays
from inquiry_svc.events import Classified, Received, Routed, Stored
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import OPEN, Counter, Metric
from inquiry_svc.testing.running import running_service

_SERIES_A_METRIC = 500


class Watching:
    """Does what the least of watchers does: adds up."""

    def __init__(self) -> None:
        self.seen = 0

    @hookimpl
    def on_received(self, event: Received) -> None:
        self.seen += len(event.texts)

    @hookimpl
    def on_classified(self, event: Classified) -> None:
        self.seen += len(event.predictions)

    @hookimpl
    def on_routed(self, event: Routed) -> None:
        self.seen += len(event.outcomes)

    @hookimpl
    def on_stored(self, event: Stored) -> None:
        self.seen += len(event.outcomes)


class Filling:
    """Declares counters enough for so many series; each is capped."""

    def __init__(self, series: int) -> None:
        self.labels = [divmod(number, _SERIES_A_METRIC) for number in range(series)]
        count = -(-series // _SERIES_A_METRIC)
        self.counters = [Counter(f"filling_{number}_total", "Fills.", {"place": OPEN}) for number in range(count)]

    @hookimpl
    def register_metrics(self) -> Iterable[Metric]:
        return self.counters


@click.command()
@click.option("--watchers", default=0)
@click.option("--series", default=0)
def main(watchers: int, series: int) -> None:
    uvloop.run(_serve(watchers, series))


async def _serve(watchers: int, series: int) -> None:
    settings = {"classifier.provider": "xgboost", "logging.requests": "none"}
    filling = Filling(series)
    plugins = [filling, *(Watching() for _ in range(watchers))]
    async with running_service(settings, plugins=plugins) as running:
        for counter, place in filling.labels:
            running.service.metrics.series(filling.counters[counter], place=str(place)).inc()
        _spare_what_stays()
        print(f"serving on {running.url}", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
