"""Offers the source `redis_stream`: inquiries that others queue in a Redis stream, each becoming one inquiry.

A message has one field, `inquiry`: the JSON body of a submit, held to the same rules as over HTTP. It may have
`traceparent` and `tracestate`, to be gone on with where requests are traced; other fields are not looked at. With the
service on `[sources] providers = ["redis_stream"]`, this queues one:

    redis-cli XADD inquiries '*' inquiry '{"body": "Charged twice.", "sender_email": "ana@example.org"}'

Leave the id to Redis, as `'*'` does: it tells a new message from one brought again, and when it came. A message leaves
the stream once its inquiry is committed. One that can't become an inquiry goes to the dead-letter stream, with
`dead:reason`, `dead:stream` and `dead:id` beside its own fields, and stays there. To bring it again once its cause is
mended, add its `inquiry` to the stream anew.

Every process is one consumer of the group. What one that died had taken is taken over by another after `claim_idle_s`.
Redis 6.2 or newer; what it forgets in a crash is lost, so give it `appendonly yes`. Where two Redis servers feed one
store, their streams need different names.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from inquiry_svc.contracts import Host, Provider, Source
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Counter, Gauge, Metric
from inquiry_svc.settings import Count, Seconds, Secret

RECEIVED: Final = Counter("redis_stream_received_total", "Messages read from the stream, each time that one is read.")
COMMITTED: Final = Counter("redis_stream_committed_total", "Messages acknowledged because their inquiry is committed.")
DEAD_LETTERS: Final = Counter(
    "redis_stream_dead_letters_total",
    "Messages put aside: no valid inquiry, one that triage failed over, or one that was never done with.",
    {"reason": ("invalid", "failed", "too_many_deliveries")},
)
PENDING: Final = Gauge(
    "redis_stream_pending", "Messages taken by any process of the group and not acknowledged.", across="max"
)
LAG: Final = Gauge(
    "redis_stream_lag_seconds", "Age of the oldest message that is not acknowledged, taken or not.", across="max"
)


@dataclass(frozen=True, slots=True)
class RedisStreamSettings:
    url: Secret = "redis://127.0.0.1:6379/0"
    """redis://, rediss:// (TLS) or unix://; may hold a password, so it is never shown."""
    stream: str = "inquiries"
    group: str = "inquiry-svc"
    """Made where it is missing, from the first message on."""
    consumer: str = ""
    """Names this process in the group; its host and process id unless set."""
    dead_letter_stream: str = "inquiries:dead"
    batch_size: Count = 128
    """So many messages are taken at once at most, and no more until they are done with."""
    block_s: Seconds = 1.0
    """How long to wait for a message before looking whether it is time to stop."""
    timeout_s: Seconds = 2.0
    """How long Redis may take beyond that."""
    claim_idle_s: Seconds = 15.0
    """What a consumer has held for so long unheard is taken over. Keep it above `batching.deadline_s`."""
    max_deliveries: Count = 5
    """A message delivered more often than that, and never done with, may be what ends the process: it is put aside."""
    delete_committed: bool = True
    """Set to false where other groups read the stream too, and trim it otherwise: else it only grows."""


@asynccontextmanager
async def open_redis_stream(settings: RedisStreamSettings, host: Host) -> AsyncIterator[Source]:
    """Connects when it runs, so that a Redis that is away keeps nobody from starting."""
    from inquiry_svc_plugins.sources.redis_stream.source import RedisStreamSource
    from inquiry_svc_plugins.sources.redis_stream.stream import Stream

    if settings.stream == settings.dead_letter_stream:
        raise ConfigurationError(
            f"sources.redis_stream.dead_letter_stream is the stream {settings.stream!r} itself; name another"
        )
    stream = Stream(settings, settings.consumer or f"{socket.gethostname()}-{os.getpid()}")
    try:
        yield RedisStreamSource(stream, settings, host.metrics)
    finally:
        await stream.aclose()


@hookimpl
def register_sources() -> Iterable[Provider[Source]]:
    return [Provider("redis_stream", open_redis_stream, RedisStreamSettings, extra="redis")]


@hookimpl
def register_metrics() -> Iterable[Metric]:
    return [RECEIVED, COMMITTED, DEAD_LETTERS, PENDING, LAG]
