"""One life: a pipeline with its doors, callers who come, leave and come again, and what must hold of all of them.

- Who asks is told once, in time, and what was theirs; nobody but those who left is told that they did.
- Told that it is stored: it is, as told, and once for its key. Told that there was no place, or that a plugin failed
  over it: it is not stored. Nothing is stored that was not sent, nor with another's verdict or route.
- Where all is well but for a cache, everybody is served.
- Afterwards every place is free, every queue empty, nothing runs; and when the trouble is over all are served again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from inquiry_svc.admission import Admission
from inquiry_svc.catalogue import (
    DB_CONNECTIONS_ACTIVE,
    INQUIRIES_IN_FLIGHT,
    INQUIRIES_PROCESSED,
    OWN_METRICS,
    QUEUE_DEPTH,
    STAGES,
)
from inquiry_svc.contracts import Filters
from inquiry_svc.errors import IdempotencyKeyReused, Overloaded, TriageFailed, Unavailable
from inquiry_svc.guarded_store import GuardedStore
from inquiry_svc.inquiries import IdempotencyKey, Inquiry, Outcome, Prediction
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.open_models import LineUp, OpenModel, OpenModels
from inquiry_svc.models.second_opinions import SecondOpinions
from inquiry_svc.pipeline import Pipeline, Submission
from inquiry_svc.plugins import build_manager
from inquiry_svc.predicting import Predictor
from inquiry_svc.repeating import repeated
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import ReviewSettings
from inquiry_svc.testing.samples import sample_inquiry
from inquiry_svc.watchers import Watchers
from inquiry_svc.web.gate import Gate
from inquiry_svc.workload import Workload
from tests.simulation import virtual_time
from tests.simulation.callers import Asking, AtTheGate, InATask, in_short
from tests.simulation.providers import (
    UNREADABLE,
    UNWRITABLE,
    Fate,
    FatedCache,
    FatedClassifier,
    FatedRouter,
    FatedStore,
    route_of,
    verdict_of,
)

DEADLINE_S: Final = 0.8
_REST_S: Final = 0.5
_QUIET_S: Final = 1.5
"""By then a batch of the time of trouble is over, and so is the rest of a classifier that did not answer it."""
_CROWD_S: Final = 2.1
"""So long after a refusal all places are given again."""
_FOR_EVER_S: Final = 60.0
_NO_PLUGINS: Final = build_manager([], entry_points=False)


class Broken(AssertionError):
    def __init__(self, seed: int, why: BaseException, history: list[str]) -> None:
        again = f"again: python -m tests.simulation {seed}"
        super().__init__("\n".join([*history[-60:], f"seed {seed}: {type(why).__name__}: {why}", again]))


class Life:
    def __init__(self, seed: int) -> None:
        self.fate = Fate(seed)
        self.dice = self.fate.dice
        self.metrics = Metrics(OWN_METRICS)
        self.store = FatedStore(self.fate)
        self.workload = Workload()
        self.places = self.dice.choice((2, 4, 8))
        max_batch = self.dice.choice((2, 4, 64))
        self.crowd = self.dice.choice((None, max_batch))
        clock = asyncio.get_running_loop().time
        self.admission = Admission(self.places, self.metrics, when_crowded=self.crowd, clock=clock)
        self.gate = Gate(self.admission)
        champion, fallback = (
            OpenModel(FatedClassifier(self.fate, role), self.metrics) for role in ("champion", "fallback")
        )
        models = OpenModels(LineUp(champion))
        policy = ReviewPolicy(ReviewSettings(audit_share=0.0))
        self.predictor = Predictor(
            models=models,
            fallback=fallback,
            second_opinions=SecondOpinions(models, self.metrics, nobody_waits=lambda: False, timeout_s=1.0),
            cache=FatedCache(self.fate) if self.dice.random() < 0.8 else None,
            metrics=self.metrics,
            timeout_s=0.3,
            rest_s=_REST_S,
            cache_timeout_s=0.05,
            policy=policy,
            clock=clock,
        )
        self.pipeline = Pipeline(
            predictor=self.predictor,
            router=FatedRouter(self.fate),
            policy=policy,
            store=GuardedStore(self.store, metrics=self.metrics, timeout_s=0.4),
            workload=self.workload,
            watchers=Watchers(_NO_PLUGINS, self.metrics),
            admission=self.admission,
            metrics=self.metrics,
            max_batch=max_batch,
            deadline_s=DEADLINE_S,
        )
        self.all_asked: list[Asking] = []
        self.stopping = False

    async def live(self) -> None:
        callers = [asyncio.create_task(self._caller(number)) for number in range(self.dice.randint(1, 16))]
        async with self._examined(), self.pipeline.running():
            if self.dice.random() < 0.15:
                await asyncio.sleep(self.dice.uniform(0.0, 1.5))
                self._stop()
            else:
                await _end_of(callers, self.all_asked)
                await self._when_the_trouble_is_over()
        await _end_of(callers, self.all_asked)
        await asyncio.gather(*self.store.left_behind)
        await self._look_back()

    def _examined(self) -> AbstractAsyncContextManager[None]:
        """The classifiers are asked how they are meanwhile, as health does."""

        async def examine() -> None:
            async with asyncio.timeout(0.2):
                checks = self.predictor.check_classifier(), self.predictor.check_fallback()
                await asyncio.gather(*checks, return_exceptions=True)

        first = self.dice.choice((0.0, 0.3, _FOR_EVER_S))
        return repeated(examine, period_s=0.5, first_after_s=first, name="health", failing="it is not well")

    async def _caller(self, number: int) -> None:
        """Comes, asks, and mostly asks again where it was told to."""
        dice = self.dice
        await asyncio.sleep(dice.choice((0.0, 0.5, dice.uniform(0.0, 1.0))))
        body = dice.choice((*(["a text", "another text", f"text {number}"] * 4), UNREADABLE, UNWRITABLE))
        key = None if dice.random() < 0.4 else IdempotencyKey(f"key {dice.randrange(number + 1)}", body)
        only_classified = key is None and dice.random() < 0.3
        for _ in range(dice.randint(1, 4)):
            if self.stopping:
                return
            asking = self._asking(body, key, dice.random(), only_classified=only_classified)
            if dice.random() < 0.2:
                asyncio.get_running_loop().call_later(dice.choice((0.0, 0.01, 0.3, 0.7)), asking.leave)
            if not isinstance(await asking.answer(), Unavailable | Overloaded):
                return
            await asyncio.sleep(dice.choice((0.0, 0.05, 0.3)))

    def _asking(self, body: str, key: IdempotencyKey | None, way: float, *, only_classified: bool = False) -> Asking:
        number = len(self.all_asked)
        inquiry = sample_inquiry(inquiry_id=f"{number}", subject="", body=body, idempotency_key=key)
        patient = 0.5 < way < 0.75 and not only_classified
        pipeline = self.pipeline
        asking: Asking
        if way < 0.5:
            begin = partial(pipeline.classify_soon if only_classified else pipeline.submit_soon, inquiry)
            asking = AtTheGate(inquiry, self.gate, begin, self.fate, stages=1 if only_classified else 2)
        else:
            work = pipeline.classify(inquiry) if only_classified else pipeline.submit(inquiry, patient=patient)
            asking = InATask(inquiry, work, self.fate, patient=patient)
        self.all_asked.append(asking)
        return asking

    def _stop(self) -> None:
        """As the service does: who would come into a pipeline that has stopped is gone before."""
        self.fate.note("stop")
        self.stopping = True
        for asking in self.all_asked:
            if not asking.is_inside:
                asking.leave()

    async def _when_the_trouble_is_over(self) -> None:
        self.fate.note("the trouble is over")
        self.fate.trouble.clear()
        await asyncio.sleep(_CROWD_S if self.crowd else _QUIET_S)
        last = [self._asking("the last", None, way) for way in [0.6] * (self.places // 2) + [0.0] * (self.places // 2)]
        for asking in last:
            told = await asking.answer()
            assert isinstance(told, Submission), f"{asking} although the trouble is over: {told!r}"
            assert not told.outcome.prediction.degraded, f"{asking} by the fallback although the trouble is over"

    async def _look_back(self) -> None:
        assert not self.fate.broken, self.fate.broken
        stored = await self.store.list(Filters(), limit=10**6, after=None)
        self._check_what_is_stored(stored)
        by_id = {outcome.inquiry.inquiry_id: outcome for outcome in stored}
        for asking in self.all_asked:
            self._check(asking, by_id)
        for gauge in (INQUIRIES_IN_FLIGHT, DB_CONNECTIONS_ACTIVE):
            assert self.metrics.series(gauge).value == 0, gauge.name
        assert [self.metrics.series(QUEUE_DEPTH, stage=stage).value for stage in STAGES] == [0, 0], "somebody waits"
        runs_on = asyncio.all_tasks() - {asyncio.current_task()}
        assert not runs_on, runs_on
        new = sum(isinstance(told, Submission) and not told.replayed for each in self.all_asked for told in each.told)
        counted = self.metrics.series(INQUIRIES_PROCESSED, status="success").value
        assert new <= counted == sum(self.workload.open_inquiries.values()) <= len(stored), "miscounted"

    def _check_what_is_stored(self, stored: Sequence[Outcome]) -> None:
        sent = {asking.inquiry.inquiry_id: asking.inquiry for asking in self.all_asked}
        for outcome in stored:
            assert outcome.inquiry == sent[outcome.inquiry.inquiry_id]
            _check_prediction(outcome.inquiry, outcome.prediction)
            assert outcome.route == route_of(outcome.inquiry, outcome.prediction), "another's route"
        keys = [outcome.inquiry.idempotency_key.value for outcome in stored if outcome.inquiry.idempotency_key]
        assert len(keys) == len(set(keys)), "a key has two inquiries"

    def _check(self, asking: Asking, stored: Mapping[str, Outcome]) -> None:
        assert len(asking.told) == 1, f"{asking} was told {[*map(in_short, asking.told)]}"
        [told], inquiry = asking.told, asking.inquiry
        assert asking.took_s <= asking.at_most_s(DEADLINE_S), f"{asking} was told after {asking.took_s:.3f} s: {told!r}"
        if isinstance(told, Submission):
            kept = told.outcome.inquiry
            assert stored[kept.inquiry_id] == told.outcome, f"{asking} was told of what is not stored"
            same = kept.idempotency_key == inquiry.idempotency_key is not None
            assert same if told.replayed else kept == inquiry, f"{asking} was told of another's"
        elif isinstance(told, Prediction):
            _check_prediction(inquiry, told)
        elif isinstance(told, IdempotencyKeyReused):
            key = inquiry.idempotency_key
            others = [each.inquiry.idempotency_key for each in stored.values() if each.inquiry.idempotency_key]
            assert key
            assert any(other.value == key.value and other != key for other in others), f"{asking}: {told!r}"
        elif isinstance(told, Overloaded | TriageFailed):
            assert inquiry.inquiry_id not in stored, f"{asking} is stored although it was told {told!r}"
        elif isinstance(told, asyncio.CancelledError):
            assert asking.left, f"{asking} was told that it left"
        else:
            assert isinstance(told, Unavailable), f"{asking} was told {told!r}"
        if not self.stopping and not asking.left and self.fate.trouble_was <= {"cache"}:
            served = (Submission, Prediction, IdempotencyKeyReused, Overloaded)
            hopeless = inquiry.body in (UNREADABLE, UNWRITABLE) and isinstance(told, TriageFailed)
            assert hopeless or isinstance(told, served), f"{asking} was told {told!r} although at most the cache fails"


def _check_prediction(inquiry: Inquiry, prediction: Prediction) -> None:
    assert prediction.verdict == verdict_of(prediction.model.name, inquiry.body), "another's verdict"
    assert prediction.degraded == (("classifier",) if prediction.model.name == "fallback" else ())


async def _end_of(callers: list[asyncio.Task[None]], all_asked: list[Asking]) -> None:
    try:
        async with asyncio.timeout(_FOR_EVER_S):
            await asyncio.gather(*callers)
    except TimeoutError:
        raise AssertionError(f"for ever wait {[each for each in all_asked if not each.told]}") from None


def live(seed: int) -> list[str]:
    """What happened, line by line. Raises `Broken`."""
    history: list[str] = []

    async def main() -> None:
        life = Life(seed)
        life.fate.history = history
        await life.live()

    logging.disable(logging.CRITICAL)  # of misfortunes there are many, and each would leave a traceback
    try:
        virtual_time.run(main())
    except Exception as error:
        raise Broken(seed, error, history) from error
    finally:
        logging.disable(logging.NOTSET)
    return history
