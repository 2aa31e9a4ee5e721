"""Offers the tracer `otlp`: OpenTelemetry traces, sent over HTTP to Jaeger or any other collector.

Sending is never in the way of a request. Spans wait in the process, are sent together once a period, and wait on while
the collector is away; past `max_waiting` new ones are dropped and counted. At the stop what waits is sent, for
`stop_limit_s` at most.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from inquiry_svc.contracts import Host, Provider
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Counter, Gauge, Metric
from inquiry_svc.settings import Count, Seconds, Secret, Share
from inquiry_svc.tracing import Tracer

SENT: Final = Counter("trace_spans_sent_total", "Spans of traces that the collector took.")
DROPPED: Final = Counter(
    "trace_spans_dropped_total",
    "Spans of traces that no collector got: too many waited, it refused them, or the service stopped before.",
    {"reason": ("too_many", "refused", "stopped")},
)
WAITING: Final = Gauge("trace_spans_waiting", "Spans of traces that wait to be sent.")


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    url: str = "http://127.0.0.1:4318/v1/traces"
    headers: Secret = ""
    """`name=value`, several with commas between them; for a collector that wants a key."""
    sample_ratio: Share = 1.0
    """Share of the traces begun here that are recorded."""
    follow_caller: bool = True
    """What a caller recorded, or did not, is or is not recorded here. If false, `sample_ratio` is for all."""
    max_waiting: Count = 10_000
    """A span takes some 2 kB."""
    period_s: Seconds = 1.0
    timeout_s: Seconds = 5.0
    stop_limit_s: Seconds = 1.0
    """So long the stop waits for what is left to be sent, after `server.stop_timeout_s`. The rest is dropped."""
    service_name: str = "inquiry-svc"
    instance_id: str = ""
    """Tells this process from others of the name; the machine's name and the process id unless set."""


@asynccontextmanager
async def open_otlp(settings: OtlpSettings, host: Host) -> AsyncIterator[Tracer]:
    """Connects when there is something to send, so that a collector that is away keeps nobody from starting."""
    from inquiry_svc_plugins.tracers.otlp.tracer import opened

    async with opened(settings, host.metrics) as tracer:
        yield tracer


@hookimpl
def register_tracers() -> Iterable[Provider[Tracer]]:
    return [Provider("otlp", open_otlp, OtlpSettings, extra="traces")]


@hookimpl
def register_metrics() -> Iterable[Metric]:
    return [SENT, DROPPED, WAITING]
