"""The exporter `openmetrics`: OpenMetrics 1.0 text, for a scraper that asks for it.

Beside what the Prometheus text page says, it tells units and since when a series counts (`_created`), so that a restart
is no guess; where requests are traced, a trace for each bucket of a histogram (exemplars). To have both, choose both:
`[exporters] providers = ["aioprometheus", "openmetrics"]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from inquiry_svc.contracts import Exporter, Host, NoSettings, Provider, ScrapedExporter
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Metric, Snapshot
from inquiry_svc_plugins.exporters.lines import Lines, escaped

_TIMEOUT_S: Final = 10


class OpenMetricsExporter:
    content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    def __init__(self) -> None:
        self._lines = Lines(openmetrics=True)

    async def render(self, snapshot: Snapshot) -> bytes:
        async with asyncio.timeout(_TIMEOUT_S):
            return await asyncio.to_thread(self._render, snapshot)

    def _render(self, snapshot: Snapshot) -> bytes:
        lines: list[str] = []
        for family in snapshot:
            lines += _head(family.metric)
            lines += self._lines.of(family)
        return ("\n".join([*lines, "# EOF"]) + "\n").encode()


def _head(metric: Metric) -> Iterator[str]:
    """A counter's family is named without `_total`."""
    name = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
    yield f"# TYPE {name} {metric.kind}"
    if metric.unit:
        yield f"# UNIT {name} {metric.unit}"
    yield f"# HELP {name} {escaped(metric.help)}"


@asynccontextmanager
async def open_openmetrics(settings: NoSettings, host: Host) -> AsyncIterator[ScrapedExporter]:
    yield OpenMetricsExporter()


@hookimpl
def register_exporters() -> Iterable[Provider[Exporter]]:
    return [Provider("openmetrics", open_openmetrics)]
