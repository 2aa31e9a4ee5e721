"""Keeps the chosen sources bringing inquiries in for as long as the service serves, and lets them finish at its end.

A source that fails is logged, counted and started again after a pause, and the others go on. What a source must do is
in `contracts.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Final

from inquiry_svc.catalogue import SOURCE_FAILURES
from inquiry_svc.contracts import Source
from inquiry_svc.errors import InquiryInvalid
from inquiry_svc.inquiries import IdempotencyKey, Inquiry, Outcome
from inquiry_svc.intake.bodies import SubmitIn
from inquiry_svc.intake.checking import MAX_BODY_BYTES, NotValid, checked
from inquiry_svc.intake.inquiry import fingerprint_of, inquiry_of
from inquiry_svc.intake.strict_json import NotJson
from inquiry_svc.metrics import Metrics
from inquiry_svc.pipeline import Submission
from inquiry_svc.told_to_stop import told_to_stop
from inquiry_svc.tracing import Tracer, begin_trace

logger = logging.getLogger(__name__)

_LONGEST_PAUSE_S: Final = 2.0
_STEADY_S: Final = 10.0
"""A run that lasted so long was no failed start: the pause after it is the shortest again."""


class Sources:
    def __init__(
        self,
        sources: Mapping[str, Source],
        submit: Callable[[Inquiry], Awaitable[Submission]],
        metrics: Metrics,
        *,
        finish_s: float,
        first_pause_s: float = 0.1,
        tracer: Tracer | None = None,
    ) -> None:
        """From `stop` on, the sources have `finish_s` to finish."""
        self._sources = sources
        self._submit = submit
        self._finish_s = finish_s
        self._first_pause_s = first_pause_s
        self._tracer = tracer
        self._failures = {name: metrics.series(SOURCE_FAILURES, source=name) for name in sources}
        self._stopping = asyncio.Event()
        self._give_up_at = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Bring in while open. Leaving stops and waits until what was taken is finished."""
        tasks = [
            asyncio.create_task(self._keep_running(name, source), name=f"source {name}")
            for name, source in self._sources.items()
        ]
        try:
            yield
        finally:
            self.stop()
            if tasks:
                await asyncio.wait(tasks, timeout=max(0.0, self._give_up_at - time.monotonic()))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Have the sources take nothing more. They finish meanwhile, until `running` is left."""
        if not self._stopping.is_set():
            self._give_up_at = time.monotonic() + self._finish_s
            self._stopping.set()

    async def _keep_running(self, name: str, source: Source) -> None:
        pause_s = self._first_pause_s
        while not self._stopping.is_set():
            started = time.monotonic()
            failure = await self._run(name, source)
            if self._stopping.is_set():
                if failure is not None:
                    logger.error("source %s failed while it was to finish", name, exc_info=failure)
                return
            if time.monotonic() - started > _STEADY_S:
                pause_s = self._first_pause_s
            self._failures[name].inc()
            logger.error("source %s ended; it is to run again after %g s", name, pause_s, exc_info=failure)
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _run(self, name: str, source: Source) -> BaseException | None:
        """Once; what ended it."""
        try:
            await source.run(partial(self._take_in, name), self._stopping)
        except (Exception, asyncio.CancelledError) as error:
            if told_to_stop():
                raise
            return error
        return None

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _take_in(
        self,
        source: str,
        body: bytes,
        *,
        key: str,
        received_at: datetime | None = None,
        caller: Mapping[str, str] | None = None,
    ) -> Outcome:
        """What a source is given as its `Submit`."""
        if self._tracer is None:
            return await self._submitted(source, body, key, received_at)
        attributes = {"messaging.operation.name": "process", "messaging.system": source}
        with begin_trace(self._tracer, f"process {source}", "consumer", attributes, caller=caller or {}):
            return await self._submitted(source, body, key, received_at)

    async def _submitted(self, source: str, body: bytes, key: str, received_at: datetime | None) -> Outcome:
        checked_body = _checked(body)
        # A tab, which no header may hold: no client can use up the key of a message.
        own_key = IdempotencyKey(f"{source}\t{key}", fingerprint_of(checked_body))
        inquiry = inquiry_of(checked_body, idempotency_key=own_key, received_at=received_at)
        return (await self._submit(inquiry)).outcome


def _checked(body: bytes) -> SubmitIn:
    if len(body) > MAX_BODY_BYTES:
        raise InquiryInvalid([f"the body is larger than {MAX_BODY_BYTES} bytes"])
    try:
        return checked(body, SubmitIn)
    except NotJson as error:
        raise InquiryInvalid([f"the body is not JSON: {error}"]) from error
    except NotValid as error:
        raise InquiryInvalid([f"{fault.pointer or 'the body'} {fault.message}" for fault in error.faults]) from error
