"""Asks the challenger and the shadow what they say of texts that the champion has answered, when nobody waits.

Only while no inquiry is in the service is a text taken, one at a time, so that an answer waits for one text at most,
some tenths of a millisecond; and for a tenth of the time at most, so that few wait at all. What does not fit into the
queue by then is dropped and counted: under full load that is everything, and the figures are those of a sample.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from inquiry_svc.catalogue import CANDIDATE_AGREEMENT, SECOND_OPINIONS, SECOND_OPINIONS_WAITING
from inquiry_svc.inquiries import AXES, Prediction, Text, Verdict
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.open_models import CandidateSeries, LineUp, OpenModel, OpenModels
from inquiry_svc.told_to_stop import told_to_stop

K = TypeVar("K")

logger = logging.getLogger(__name__)

_PLACES: Final = 256
_AGAIN_AFTER_S: Final = 0.005
"""Where somebody waits for an answer."""
_PAUSES: Final = 9
"""After a text nobody is asked for so many times as long."""
_LONGEST_PAUSE_S: Final = 0.1
"""After a model that takes long in a thread, or does not answer in time: it held up nobody."""


class SecondOpinions:
    def __init__(
        self, models: OpenModels, metrics: Metrics, *, nobody_waits: Callable[[], bool], timeout_s: float
    ) -> None:
        self._models = models
        self._nobody_waits = nobody_waits
        self._timeout_s = timeout_s
        self._waiting: deque[tuple[Text, Prediction]] = deque()
        self._failing: dict[str, str] = {}
        """The digest of the model that failed last, by alias."""
        self._arrived = asyncio.Event()
        self._shadow = CandidateSeries(metrics, "shadow")
        self._agreement = {
            (alias, axis, agrees): metrics.series(
                CANDIDATE_AGREEMENT, alias=alias, axis=axis, agrees=str(agrees).lower()
            )
            for alias in ("challenger", "shadow")
            for axis in AXES
            for agrees in (True, False)
        }
        self._asked, self._dropped = (metrics.series(SECOND_OPINIONS, result=each) for each in ("asked", "dropped"))
        metrics.series(SECOND_OPINIONS_WAITING).follow(lambda: len(self._waiting))

    def ask_for(self, line_up: LineUp, texts: Mapping[K, Text], answers: Mapping[K, Prediction]) -> None:
        """Note what the champion has said just now, by the same keys. Returns at once."""
        if line_up.challenger is None and line_up.shadow is None:
            return
        for key, prediction in answers.items():
            if len(self._waiting) < _PLACES:
                self._waiting.append((texts[key], prediction))
            else:
                self._dropped.inc()
        self._arrived.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run(), name="second opinions")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._waiting.clear()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._waiting:
                self._arrived.clear()
                continue
            await _those_who_have_come()
            if not self._nobody_waits():
                await asyncio.sleep(_AGAIN_AFTER_S)
                continue
            started = time.perf_counter()
            await self._ask(*self._waiting.popleft())
            await asyncio.sleep(min(_PAUSES * (time.perf_counter() - started), _LONGEST_PAUSE_S))

    async def _ask(self, text: Text, answer: Prediction) -> None:
        with self._models.held() as line_up:
            if answer.model != line_up.champion.model:  # it was swapped meanwhile
                self._dropped.inc()
                return
            self._asked.inc()
            if line_up.challenger is not None:
                await self._compare("challenger", line_up.challenger, None, text, answer.verdict)
            if line_up.shadow is not None:
                await self._compare("shadow", line_up.shadow, self._shadow, text, answer.verdict)

    async def _compare(
        self, alias: str, model: OpenModel, candidate: CandidateSeries | None, text: Text, verdict: Verdict
    ) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                (opinion,) = await model.classify([text], candidate)
        except (Exception, asyncio.CancelledError) as error:
            if told_to_stop():
                raise
            if candidate is not None:
                candidate.failed.inc()
            if self._failing.get(alias) != model.model.digest:
                logger.warning("the %s could not classify a text", alias, exc_info=error)
            self._failing[alias] = model.model.digest
            return
        self._failing.pop(alias, None)
        for axis in AXES:
            agrees = getattr(opinion, axis).label == getattr(verdict, axis).label
            self._agreement[alias, axis, agrees].inc()


async def _those_who_have_come() -> None:
    """Let the requests that have arrived meanwhile be read, and their tasks begin: this task was woken before them."""
    for _ in range(2):
        await asyncio.sleep(0)
