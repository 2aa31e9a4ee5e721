"""Has the chosen notifiers tell what waits in the store, for as long as the service serves: each thing at least once.

What is due is claimed in the store, so that several processes share the work, told, and settled. A process that dies
leaves claims that run out. A notifier that does not get through is asked with one notice at a time, and seldom, until
it does: a receiver that is down is not overrun. What a notifier must do is in `contracts.py`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from inquiry_svc.contracts import Notifier
from inquiry_svc.errors import InquiryServiceError, Unavailable, Undeliverable
from inquiry_svc.metrics import Metrics
from inquiry_svc.notice_metrics import NOTICE_DELAY, NOTICE_DELIVERIES
from inquiry_svc.notices import Delivery, NoticeStore, Settled
from inquiry_svc.settings import NotifiersSettings
from inquiry_svc.told_to_stop import told_to_stop
from inquiry_svc.tracing import Attribute, Tracer, begin_trace

logger = logging.getLogger(__name__)

_FAILING: Final = 3
"""So many failures in a row are no matter of one notice: the notifier does not get through."""
_BREAK_OFF_S: Final = 1.0
"""At the stop, for what is broken off to end and be given back."""
_LONGEST_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon and how often."""

    look_every_s: float = 1.0
    """For what other processes stored, and what is due again."""
    gather_s: float = 0.02
    """At least so long between two looks: what ends or is stored meanwhile is one commit, not many beside the saves."""
    claim_beyond_s: float = 15.0
    """A claim outlasts the time limit of what it is for: the clocks of hosts differ, and the store may be slow."""
    first_again_s: float = 5.0
    last_again_s: float = 3600.0
    """What failed is due again after the first of these, then after twice as long each time, up to the last."""
    first_rest_s: float = 1.0
    longest_rest_s: float = 60.0
    """The same between any two notices, while nothing gets through."""


_USUAL: Final = Pace()


class Notifying:
    def __init__(
        self,
        notifiers: Mapping[str, Notifier],
        store: NoticeStore,
        settings: NotifiersSettings,
        metrics: Metrics,
        *,
        finish_s: float,
        tracer: Tracer | None = None,
        pace: Pace = _USUAL,
    ) -> None:
        """From `stop` on, what is being told has `finish_s` to end; what has not by then is given back."""
        self._notifiers = [
            _Telling(name, notifier, store, settings, metrics, tracer, pace) for name, notifier in notifiers.items()
        ]
        self._finish_s = finish_s
        self._give_up_at: float | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell while open. Leaving stops."""
        tasks = [asyncio.create_task(each.run(), name=f"notifier {each.name}") for each in self._notifiers]
        try:
            yield
        finally:
            self.stop()
            if tasks:
                await asyncio.wait(tasks, timeout=max(0.0, (self._give_up_at or 0.0) - time.monotonic()))
                for each in self._notifiers:
                    each.break_off()
                await asyncio.wait(tasks, timeout=_BREAK_OFF_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        """Something was kept: look at once."""
        for each in self._notifiers:
            each.wake()

    def stop(self) -> None:
        """Claim nothing more. What is being told goes on meanwhile, until `running` is left."""
        if self._give_up_at is None:
            self._give_up_at = time.monotonic() + self._finish_s
            for each in self._notifiers:
                each.stop()


class _Telling:
    """One notifier's."""

    def __init__(
        self,
        name: str,
        notifier: Notifier,
        store: NoticeStore,
        settings: NotifiersSettings,
        metrics: Metrics,
        tracer: Tracer | None,
        pace: Pace,
    ) -> None:
        self.name = name
        self._notifier = notifier
        self._store = store
        self._settings = settings
        self._tracer = tracer
        self._pace = pace
        self._claim_for = timedelta(seconds=settings.timeout_s + pace.claim_beyond_s)
        self._give_up_after = timedelta(seconds=settings.give_up_after_s)
        self._count = {
            result: metrics.series(NOTICE_DELIVERIES, notifier=name, result=result)
            for result in ("delivered", "failed", "set_aside")
        }
        self._delay_s = metrics.series(NOTICE_DELAY, notifier=name)
        self._something_to_do = asyncio.Event()
        self._stopping = asyncio.Event()
        self._being_told: dict[asyncio.Task[None], Delivery] = {}
        self._settled: list[Settled] = []
        """Not put down in the store yet; no more than may be told at once."""
        self._store_is_away = False
        self._failures_in_a_row = 0
        self._rest_s = self._pace.first_rest_s
        self._rests_until = 0.0
        self._got_through_at: datetime | None = None

    async def run(self) -> None:
        """Until `stop`, and then until all that was begun has ended."""
        while not self._stopping.is_set() or self._being_told:
            self._something_to_do.clear()
            await self._look()
            await asyncio.sleep(self._pace.gather_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.look_every_s):
                    await self._something_to_do.wait()
        await self._look()

    def wake(self) -> None:
        self._something_to_do.set()

    def stop(self) -> None:
        self._stopping.set()
        self.wake()

    def break_off(self) -> None:
        for task in self._being_told:
            task.cancel()

    async def _look(self) -> None:
        """Settle what has ended and begin what is due. While the store is away both wait."""
        try:
            await self._settle()
            await self._begin()
            self._store_is_away = False
        except (Exception, asyncio.CancelledError) as error:
            if told_to_stop():
                raise
            if not self._store_is_away:
                logger.warning("the notices of notifier %s wait: the store does not answer", self.name, exc_info=error)
            self._store_is_away = True

    async def _settle(self) -> None:
        settled = list(self._settled)
        if not settled:
            return
        try:
            await self._store.settle_notices(settled)
        except Unavailable:
            raise
        except Exception:
            del self._settled[: len(settled)]  # it would fail again; they are told again when their claims have run out
            raise
        del self._settled[: len(settled)]

    async def _begin(self) -> None:
        may_begin = (1 if self._is_failing else self._settings.at_once) - len(self._being_told)
        if self._stopping.is_set() or may_begin <= 0 or time.monotonic() < self._rests_until:
            return
        now = datetime.now(UTC)
        until = now + self._claim_for
        for delivery in await self._store.claim_notices(self.name, now=now, until=until, limit=may_begin):
            if self._stopping.is_set():
                self._settled.append(Settled(delivery, "returned", datetime.now(UTC)))
                continue
            task = asyncio.create_task(self._tell(delivery), name=f"notifying {self.name}")
            self._being_told[task] = delivery
            task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[None]) -> None:
        delivery = self._being_told.pop(task)
        if task.cancelled():  # perhaps before it began
            self._settled.append(Settled(delivery, "returned", datetime.now(UTC)))
        self.wake()

    async def _tell(self, delivery: Delivery) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                with self._span(delivery):
                    await self._notifier.notify(delivery.notice, delivery.outcome)
        except Undeliverable as error:
            self._got_through()
            self._ended(delivery, "set_aside", _reason(error))
        except (Exception, asyncio.CancelledError) as error:
            if told_to_stop():
                raise
            is_its_own = self._others_got_through(delivery)
            if not is_its_own:
                self._failed(error)
            if datetime.now(UTC) - delivery.waiting_since >= self._give_up_after:
                self._ended(delivery, "set_aside", _reason(error))
            else:
                self._ended(
                    delivery, "failed", _reason(error), again_in_s=self._again_in_s(delivery, error, is_its_own)
                )
        else:
            self._got_through()
            self._delay_s.observe(max(0.0, (datetime.now(UTC) - delivery.notice.created_at).total_seconds()))
            self._ended(delivery, "delivered")

    def _span(self, delivery: Delivery) -> AbstractContextManager[object]:
        if self._tracer is None:
            return nullcontext()
        notice = delivery.notice
        attributes: dict[str, Attribute] = {
            "inquiry_svc.provider": self.name,
            "inquiry_svc.notice.id": notice.notice_id,
            "inquiry_svc.notice.kind": notice.kind,
            "inquiry_svc.notice.attempts": delivery.attempts,
        }
        return begin_trace(self._tracer, f"notify {self.name}", "client", attributes)

    def _ended(
        self,
        delivery: Delivery,
        result: Literal["delivered", "failed", "set_aside"],
        reason: str | None = None,
        *,
        again_in_s: float = 0.0,
    ) -> None:
        self._count[result].inc()
        at = datetime.now(UTC) + timedelta(seconds=again_in_s)
        self._settled.append(Settled(delivery, result, at, reason))
        if result == "set_aside":
            notice = delivery.notice
            logger.warning(
                "notice %s (%s, inquiry %s) of notifier %s was set aside: %s",
                notice.notice_id,
                notice.kind,
                notice.inquiry_id,
                self.name,
                reason,
            )

    # Whether anything gets through

    @property
    def _is_failing(self) -> bool:
        return self._failures_in_a_row >= _FAILING

    def _got_through(self) -> None:
        if self._is_failing:
            logger.info("notifier %s gets through again", self.name)
        self._got_through_at = datetime.now(UTC)
        self._failures_in_a_row = 0
        self._rest_s = self._pace.first_rest_s
        self._rests_until = 0.0

    def _others_got_through(self, delivery: Delivery) -> bool:
        """While this one has waited and failed: then it fails for itself, and none has to wait for it."""
        at = self._got_through_at
        return delivery.attempts > 0 and at is not None and at > delivery.waiting_since

    def _failed(self, error: BaseException) -> None:
        self._failures_in_a_row += 1
        if self._failures_in_a_row == _FAILING:
            logger.warning("notifier %s does not get through; it tries one notice at a time", self.name, exc_info=error)
        if self._is_failing and time.monotonic() >= self._rests_until:  # else they were begun together
            self._rests_until = time.monotonic() + _about(self._rest_s)
            self._rest_s = min(2 * self._rest_s, self._pace.longest_rest_s)

    def _again_in_s(self, delivery: Delivery, error: BaseException, is_its_own: bool) -> float:
        """Where nothing gets through, it is not this notice's fault: it need not wait for longer than the others."""
        own_s = min(self._pace.first_again_s * 2.0 ** min(delivery.attempts, 30), self._pace.last_again_s)
        in_s = _about(min(own_s, self._rest_s) if self._is_failing and not is_its_own else own_s)
        return max(in_s, min(error.retry_after_s, self._pace.last_again_s)) if isinstance(error, Unavailable) else in_s


def _about(seconds: float) -> float:
    """So that several processes, or notices that failed together, do not all come at once."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 (no secret)


def _reason(error: BaseException) -> str:
    """In one short line. The message of an exception that is not ours may quote an inquiry."""
    if isinstance(error, InquiryServiceError):
        told = str(error) or type(error).__qualname__
    elif isinstance(error, TimeoutError):
        told = "no answer in time"
    elif isinstance(error, OSError) and error.strerror:
        told = error.strerror
    else:
        told = type(error).__qualname__
    printable = "".join(each if each.isprintable() else " " for each in told)
    return " ".join(printable.split())[:_LONGEST_REASON]
