"""Spans by the OpenTelemetry SDK, with nothing of it global: no environment is read, other tracers are left alone.

Our span is OpenTelemetry's current span too, so that a plugin's `opentelemetry.propagate.inject(headers)` hands the
trace on to whomever it calls.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from inquiry_svc.metrics import Metrics
from inquiry_svc.release import VERSION
from inquiry_svc.tracing import Attribute, Kind, Span
from inquiry_svc_plugins.otlp_collector import open_collector
from inquiry_svc_plugins.tracers.otlp import OtlpSettings
from inquiry_svc_plugins.tracers.otlp.outbox import Outbox

_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
_NOWHERE: Final = Context()
_W3C: Final = TraceContextTextMapPropagator()
_FAILED: Final = Status(StatusCode.ERROR)
_MAX_LINKS: Final = 1024
"""A batch has one for each request, a request one for each batch that it was in."""


class OtlpSpan:
    __slots__ = ("_span", "is_recorded")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self.is_recorded = span.get_span_context().trace_flags.sampled

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        return trace.format_span_id(self._span.get_span_context().span_id)

    def set(self, name: str, value: Attribute) -> None:
        self._span.set_attribute(name, value)

    def link(self, other: Span) -> None:
        self._span.add_link(_context_of(other))

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(_FAILED)


class OtlpTracer:
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Mapping[str, Attribute],
        *,
        caller: Mapping[str, str] | None = None,
        links: Sequence[Span] = (),
    ) -> Iterator[Span]:
        if links:
            parent = _NOWHERE
        elif caller is not None:
            parent = _W3C.extract(caller, _NOWHERE)
        else:
            parent = current.get_current()
        linked = [Link(_context_of(each)) for each in links]
        span = self._tracer.start_span(name, parent, _KINDS[kind], attributes, linked)
        before = current.attach(trace.set_span_in_context(span, parent))
        try:
            yield OtlpSpan(span)
        finally:
            current.detach(before)
            span.end()


def _context_of(span: Span) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if span.is_recorded else TraceFlags.DEFAULT)
    return SpanContext(int(span.trace_id, 16), int(span.span_id, 16), is_remote=False, trace_flags=flags)


class _WithItsLinks(Sampler):
    """Records what is linked to others, which are recorded; asks another sampler of all else."""

    def __init__(self, otherwise: Sampler) -> None:
        self._otherwise = otherwise

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: trace.TraceState | None = None,
    ) -> SamplingResult:
        sampler = ALWAYS_ON if links else self._otherwise
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"linked, or {self._otherwise.get_description()}"


def _sampler(settings: OtlpSettings) -> Sampler:
    ratio = TraceIdRatioBased(settings.sample_ratio)
    if settings.follow_caller:
        return _WithItsLinks(ParentBased(ratio))
    return _WithItsLinks(ParentBased(ratio, remote_parent_sampled=ratio, remote_parent_not_sampled=ratio))


@asynccontextmanager
async def opened(settings: OtlpSettings, metrics: Metrics) -> AsyncIterator[OtlpTracer]:
    """Raises `ConfigurationError` for headers that are none."""
    resource = Resource(
        {
            "service.name": settings.service_name,
            "service.version": VERSION,
            "service.instance.id": settings.instance_id or f"{socket.gethostname()}-{os.getpid()}",
        }
    )
    async with open_collector(
        settings.url, settings.headers, timeout_s=settings.timeout_s, section="tracing.otlp"
    ) as collector:
        outbox = Outbox(collector, settings.max_waiting, metrics)
        provider = TracerProvider(
            _sampler(settings),
            resource,
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_links=_MAX_LINKS, max_span_attribute_length=256),
        )
        provider.add_span_processor(outbox)
        async with outbox.sending(settings.period_s, settings.stop_limit_s):
            yield OtlpTracer(provider.get_tracer("inquiry_svc", VERSION))
