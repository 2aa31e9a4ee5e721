"""The exporter `aioprometheus`: the Prometheus text page, rendered by aioprometheus from a snapshot.

Only its collectors and its formatter are used, and what that formatter (23.12) leaves undone is done here: label values
and help texts are escaped, so that a quote or a newline in a value can't forge a line. Rendering happens in a thread,
because thousands of series would hold up the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from inquiry_svc.contracts import Exporter, Host, NoSettings, Provider
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Distribution, Family, Histogram, Snapshot

_TIMEOUT_S: Final = 10


class AioprometheusExporter:
    content_type = "text/plain; version=0.0.4; charset=utf-8"

    async def render(self, snapshot: Snapshot) -> bytes:
        async with asyncio.timeout(_TIMEOUT_S):
            return await asyncio.to_thread(_render, snapshot)


def _render(snapshot: Snapshot) -> bytes:
    from aioprometheus.collectors import Collector, Counter, Gauge, Registry
    from aioprometheus.collectors import Histogram as HistogramCollector
    from aioprometheus.formats.text import TextFormatter

    kinds: dict[str, type[Collector]] = {"counter": Counter, "gauge": Gauge, "histogram": HistogramCollector}
    formatter = TextFormatter()
    lines: list[str] = []
    for family in snapshot:
        metric = family.metric
        collector = kinds[metric.kind](metric.name, _escaped_help(metric.help), registry=Registry())
        # Filled through its own methods, a collector takes each label set to JSON and back (30 us a series).
        vars(collector)["get_all"] = partial(_samples, family)
        lines += formatter.marshall_lines(collector)
    return ("\n".join(lines) + "\n").encode(errors="backslashreplace")


def _samples(family: Family) -> list[tuple[dict[str, str], Any]]:
    names = family.metric.labels
    return [
        (
            {name: _escaped_label(label) for name, label in zip(names, labels, strict=True)},
            _buckets(family.metric, value) if isinstance(value, Distribution) else value,
        )
        for labels, value in family.values.items()
    ]


def _buckets(metric: Any, value: Distribution) -> dict[float | str, float]:
    assert isinstance(metric, Histogram)
    bounds = (*map(float, metric.buckets), float("inf"))
    return {
        **dict(zip(bounds, value.cumulative, strict=True)),
        "sum": value.sum,
        "count": value.cumulative[-1],
    }


def _escaped_label(value: str) -> str:
    return _escaped_help(value).replace('"', '\\"')


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


@asynccontextmanager
async def open_aioprometheus(settings: NoSettings, host: Host) -> AsyncIterator[Exporter]:
    yield AioprometheusExporter()


@hookimpl
def register_exporters() -> Iterable[Provider[Exporter]]:
    return [Provider("aioprometheus", open_aioprometheus)]
