"""Brings in what is in the stream: what was delivered before first and one by one, then what is new, in batches.

A message that was taken is held until it is committed or put aside. While the service can't take it, this consumer
waits with it and says that it is alive. Where Redis fails, the run ends and the next one starts with what it held.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal, TypeAlias

from inquiry_svc.contracts import Submit
from inquiry_svc.errors import InquiryInvalid, InquiryServiceError, Overloaded, Unavailable
from inquiry_svc.inquiries import Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc_plugins.sources.redis_stream import (
    COMMITTED,
    DEAD_LETTERS,
    LAG,
    PENDING,
    RECEIVED,
    RedisStreamSettings,
)
from inquiry_svc_plugins.sources.redis_stream.stream import Message, Stream

logger = logging.getLogger(__name__)

Reason: TypeAlias = Literal["invalid", "failed", "too_many_deliveries"]

FIELD: Final = b"inquiry"
_CALLER: Final = (b"traceparent", b"tracestate")
_MEASURE_EVERY_S: Final = 5.0


class RedisStreamSource:
    def __init__(self, stream: Stream, settings: RedisStreamSettings, metrics: Metrics) -> None:
        self._stream = stream
        self._max_deliveries = settings.max_deliveries
        self._look_every_s = settings.claim_idle_s / 3
        """Often enough for those who hold messages to be heard of in time."""
        self._received = metrics.series(RECEIVED)
        self._committed = metrics.series(COMMITTED)
        self._metrics = metrics
        self._judged: set[str] = set()
        """The service has answered for these, but Redis could not be told yet: they end no process."""
        self._look_at = 0.0
        self._measure_at = 0.0

    async def run(self, submit: Submit, stopping: asyncio.Event) -> None:
        """Raises `Unavailable` where Redis fails."""
        await self._stream.create_group()
        await self._bring_again(submit, stopping)
        while not stopping.is_set():
            await self._measure()
            if await self._has_taken_over(submit, stopping):
                await self._bring_again(submit, stopping)
                continue
            messages = await self._stream.take()
            self._received.inc(len(messages))
            await self._bring(messages, submit, stopping)
        await self._stream.leave()

    async def _bring_again(self, submit: Submit, stopping: asyncio.Event) -> None:
        """What this consumer had taken. One at a time: if one of them ends the process, no other is suspected."""
        last = "0"
        while not stopping.is_set() and (message := await self._stream.taken_after(last)) is not None:
            last = message.id
            self._received.inc()
            deliveries = await self._stream.deliveries(message.id)
            if deliveries > self._max_deliveries and message.id not in self._judged:
                told = f"it was delivered {deliveries} times and never done with: it may be what ends the process"
                await self._put_aside(message, "too_many_deliveries", told)
            else:
                await self._bring([message], submit, stopping)
        self._judged.clear()  # if any are left, another consumer has taken them over

    async def _has_taken_over(self, submit: Submit, stopping: asyncio.Event) -> bool:
        if time.monotonic() < self._look_at:
            return False
        taken, lost = await self._stream.take_over()
        await self._bring(lost, submit, stopping)
        if not taken:
            self._look_at = time.monotonic() + self._look_every_s
        return taken > 0

    async def _bring(self, messages: Sequence[Message], submit: Submit, stopping: asyncio.Event) -> None:
        """Until each is committed or put aside. When stopping, those that can't be now are left to the next run."""
        pause_s = min(1.0, self._look_every_s)
        while messages:
            messages = await self._try(messages, submit)
            if not messages:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stopping.wait()
                return
            await self._stream.hold(messages)
            await self._measure()
            pause_s = min(pause_s * 2, self._look_every_s)

    async def _try(self, messages: Sequence[Message], submit: Submit) -> Sequence[Message]:
        """Those to be tried again. Raises what says nothing about a message, once the others are done with."""
        tries = (self._submit(message, submit) for message in messages)
        results = await asyncio.gather(*tries, return_exceptions=True)
        found = list(zip(messages, results, strict=True))
        judged = {message.id for message, result in found if isinstance(result, Outcome | InquiryServiceError)}
        self._judged |= judged
        committed = [message for message, result in found if isinstance(result, Outcome)]
        if committed:
            await self._stream.acknowledge(committed)
            self._committed.inc(len(committed))
        again: list[Message] = []
        unexpected: BaseException | None = None
        for message, result in found:
            if isinstance(result, Overloaded | Unavailable):
                again.append(message)
            elif isinstance(result, InquiryInvalid):
                await self._put_aside(message, "invalid", "; ".join(result.reasons))
            elif isinstance(result, InquiryServiceError):
                await self._put_aside(message, "failed", str(result))
            elif isinstance(result, BaseException):
                unexpected = result
        self._judged -= judged
        if unexpected is not None:
            raise unexpected
        return again

    async def _submit(self, message: Message, submit: Submit) -> Outcome:
        if not message.fields:
            raise InquiryInvalid(["it was deleted from the stream before it was done with"])
        if FIELD not in message.fields:
            raise InquiryInvalid([f"it has no field {FIELD.decode()!r}"])
        key = f"{self._stream.name} {message.id}"
        caller = {name.decode(): message.fields[name].decode("latin-1") for name in _CALLER if name in message.fields}
        return await submit(message.fields[FIELD], key=key, received_at=message.added_at, caller=caller)

    async def _put_aside(self, message: Message, reason: Reason, told: str) -> None:
        await self._stream.put_aside(message, told)
        self._metrics.series(DEAD_LETTERS, reason=reason).inc()
        logger.warning("message %s of stream %s was put aside (%s)", message.id, self._stream.name, reason)

    async def _measure(self) -> None:
        if time.monotonic() >= self._measure_at:
            backlog = await self._stream.backlog()
            self._metrics.series(PENDING).set(backlog.pending)
            self._metrics.series(LAG).set(backlog.lag_s)
            self._measure_at = time.monotonic() + _MEASURE_EVERY_S
