"""What Redis is asked by one consumer of a group: take, hold, acknowledge, put aside, take over.

The one module of this source that imports redis-py, whose own retries are switched off: they wait for seconds and hide
that Redis is away. Every call raises `Unavailable` where Redis is away, hangs or refuses.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from inquiry_svc.errors import ConfigurationError, Unavailable
from inquiry_svc_plugins.sources.redis_stream import RedisStreamSettings

_STREAMS_EXIST_SINCE: Final = datetime(2018, 1, 1, tzinfo=UTC)
_FIRST: Final = b"0-0"
_LEAVE: Final = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
"""


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    """Empty where somebody deleted or trimmed the message after it was taken."""

    @property
    def added_at(self) -> datetime | None:
        """By its id; None where that was not made of the time."""
        try:
            added_at = datetime.fromtimestamp(_milliseconds(self.id) / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            return None
        return min(added_at, datetime.now(UTC)) if added_at > _STREAMS_EXIST_SINCE else None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the group has not acknowledged: how many are taken, and the age of the oldest, taken or not."""

    pending: int
    lag_s: float


class Stream:
    def __init__(self, settings: RedisStreamSettings, consumer: str) -> None:
        """Raises `ConfigurationError`."""
        self.name = settings.stream
        self._settings = settings
        self._consumer = consumer
        self._claim_idle_ms = int(settings.claim_idle_s * 1000)
        self._redis = _client(settings)

    async def create_group(self) -> None:
        """Nothing where it exists."""
        async with self._call():
            try:
                await self._redis.xgroup_create(self.name, self._settings.group, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def take(self) -> Sequence[Message]:
        """Up to `batch_size` messages that nobody has taken. None after `block_s` without any."""
        block_ms = max(1, int(self._settings.block_s * 1000))
        return await self._read(">", self._settings.batch_size, block_ms)

    async def taken_after(self, message_id: str) -> Message | None:
        """The next message that this consumer has taken and not acknowledged; counts as a delivery."""
        found = await self._read(message_id, 1, None)
        return found[0] if found else None

    async def _read(self, after: str, count: int, block_ms: int | None) -> Sequence[Message]:
        group = self._settings.group
        async with self._call(waits_ms=block_ms or 0):
            found: Any = await self._redis.xreadgroup(group, self._consumer, {self.name: after}, count, block_ms)
        return [Message(message_id.decode(), fields) for _, messages in found for message_id, fields in messages]

    async def deliveries(self, message_id: str) -> int:
        """How often a message that is taken was delivered since it was last held."""
        async with self._call():
            found: Any = await self._redis.xpending_range(self.name, self._settings.group, message_id, message_id, 1)
        return int(found[0]["times_delivered"]) if found else 0

    async def hold(self, messages: Sequence[Message]) -> None:
        """Say that this consumer is alive and still has them. What delayed them was no fault of theirs."""
        ids: Any = [message.id for message in messages]
        async with self._call():
            await self._redis.xclaim(self.name, self._settings.group, self._consumer, 0, ids, retrycount=1, justid=True)

    async def take_over(self) -> tuple[int, Sequence[Message]]:
        """Take up to `batch_size` messages of consumers that hold theirs unheard: how many.

        Also those that are in the stream no more, which newer Redis forgets thereby.
        """
        cursor = _FIRST
        while True:
            async with self._call():
                cursor, taken, *gone = await self._redis.xautoclaim(
                    self.name,
                    self._settings.group,
                    self._consumer,
                    self._claim_idle_ms,
                    cursor,
                    self._settings.batch_size,
                    justid=True,
                )
            lost = [Message(message_id.decode()) for message_id in (gone[0] if gone else ())]
            if taken or lost or cursor == _FIRST:
                return len(taken), lost

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        ids = [message.id for message in messages]
        async with self._call(), self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(self.name, self._settings.group, *ids)
            if self._settings.delete_committed:
                pipeline.xdel(self.name, *ids)
            await pipeline.execute()

    async def put_aside(self, message: Message, reason: str) -> None:
        """Add it to the dead letters, then acknowledge it: a crash in between adds it twice rather than never."""
        told: dict[Any, Any] = {
            **message.fields,
            "dead:reason": reason.encode("utf-8", "backslashreplace"),
            "dead:stream": self.name,
            "dead:id": message.id,
        }
        async with self._call():
            await self._redis.xadd(self._settings.dead_letter_stream, told)
        await self.acknowledge([message])

    async def backlog(self) -> Backlog:
        async with self._call():
            pending: Any = await self._redis.xpending(self.name, self._settings.group)
            groups: Any = await self._redis.xinfo_groups(self.name)
            delivered = next(each for each in groups if each["name"] == self._settings.group.encode())
            after = b"(" + delivered["last-delivered-id"]
            waiting: Any = await self._redis.xrange(self.name, min=after, count=1)
        unfinished = [message_id for message_id in (pending["min"], *(found[0] for found in waiting)) if message_id]
        ages_s = [time.time() - _milliseconds(message_id.decode()) / 1000 for message_id in unfinished]
        return Backlog(pending["pending"], max(0.0, *ages_s) if ages_s else 0.0)

    async def leave(self) -> None:
        """Take this consumer off the group's list, unless it has messages, which would be forgotten with it."""
        async with self._call():
            left: Any = self._redis.eval(_LEAVE, 1, self.name, self._settings.group, self._consumer)
            await left

    async def aclose(self) -> None:
        await self._redis.aclose()

    @asynccontextmanager
    async def _call(self, *, waits_ms: int = 0) -> AsyncIterator[None]:
        """Only the kind of an error is told on: its text may quote what a stranger keeps in this Redis."""
        try:
            async with asyncio.timeout(self._settings.timeout_s + waits_ms / 1000):
                yield
        except (RedisError, OSError) as error:
            code = str(error).partition(" ")[0]
            what = code if isinstance(error, ResponseError) and code.isupper() else type(error).__name__
            raise Unavailable(f"Redis failed: {what}") from error


def _milliseconds(message_id: str) -> int:
    return int(message_id.partition("-")[0])


def _client(settings: RedisStreamSettings) -> aioredis.Redis:
    try:
        client: aioredis.Redis = aioredis.Redis.from_url(
            settings.url,
            socket_timeout=None,  # `_call` limits; redis-py's asyncio.wait_for loses cancellations before Python 3.12
            socket_connect_timeout=settings.timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:
        # Neither the URL nor what its parser says of it: both may hold a password.
        raise ConfigurationError(
            "setting sources.redis_stream.url is no URL of a Redis; write redis://host:6379/0, rediss://... or unix://..."
        ) from None
    client.set_response_callback("XAUTOCLAIM", _as_it_came)
    return client


def _as_it_came(response: Any, **_: Any) -> Any:
    """redis-py would drop the cursor, and what is gone."""
    return response
