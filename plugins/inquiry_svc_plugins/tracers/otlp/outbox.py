"""The spans that ended and wait to be sent, and their way to the collector.

Instead of the SDK's own batch processor, which sends from a thread, forgets what it could not send, and counts neither
that nor what it drops: here the event loop sends, and what could not be sent waits on. Encoding is OpenTelemetry's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from inquiry_svc.errors import Unavailable
from inquiry_svc.metrics import CounterSeries, Metrics
from inquiry_svc.repeating import repeated
from inquiry_svc_plugins.otlp_collector import Collector, Refused
from inquiry_svc_plugins.tracers.otlp import DROPPED, SENT, WAITING

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 512


class Outbox(SpanProcessor):
    """Called by the SDK on the event loop's thread, where spans end."""

    def __init__(self, collector: Collector, max_waiting: int, metrics: Metrics) -> None:
        self._collector = collector
        self._max_waiting = max_waiting
        self._waiting: deque[ReadableSpan] = deque()
        self._sent = metrics.series(SENT)
        self._dropped = {reason: metrics.series(DROPPED, reason=reason) for reason in DROPPED.labels["reason"] or ()}
        metrics.series(WAITING).follow(lambda: len(self._waiting))

    def on_end(self, span: ReadableSpan) -> None:
        if len(self._waiting) < self._max_waiting:
            self._waiting.append(span)
        else:
            self._dropped["too_many"].inc()

    @asynccontextmanager
    async def sending(self, period_s: float, stop_limit_s: float) -> AsyncIterator[None]:
        """Send once a period while open, and what is left on leaving, for `stop_limit_s` at most."""
        failing = "the spans of traces can't be sent; trying again each period"
        sending = repeated(self._send, period_s=period_s, first_after_s=period_s, name="sending spans", failing=failing)
        async with sending:
            yield
        try:
            async with asyncio.timeout(stop_limit_s):
                await self._send()
        except (Unavailable, TimeoutError) as error:
            logger.warning("%d spans of traces were not sent before the stop", len(self._waiting), exc_info=error)
            self._dropped["stopped"].inc(len(self._waiting))

    async def _send(self) -> None:
        """All that wait. Those that are sent wait on until they are taken or refused for good. Raises `Unavailable`."""
        while self._waiting:
            spans = list(islice(self._waiting, _AT_ONCE))
            try:
                await self._collector.take(await asyncio.to_thread(_encoded, spans))
            except Refused:
                self._no_longer_wait(len(spans), self._dropped["refused"])
                raise
            self._no_longer_wait(len(spans), self._sent)

    def _no_longer_wait(self, count: int, counted_as: CounterSeries) -> None:
        counted_as.inc(count)
        for _ in range(count):
            self._waiting.popleft()


def _encoded(spans: Sequence[ReadableSpan]) -> bytes:
    request: bytes = encode_spans(spans).SerializeToString()
    return request
