"""The way of one inquiry, top to bottom: a place -> predicted in a batch -> routed and stored in a batch -> answered.

    submit --place--> [classify batch: remembered? classified] --> [store batch: routed, one transaction] --> Outcome

The two stages overlap: while one batch is being committed the next is classified. What is returned is committed; what
raises was not acknowledged. This file knows nothing of HTTP and of no particular provider.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from inquiry_svc.admission import Admission
from inquiry_svc.batching import Batcher, Tell, Waiting, awaited, isolate
from inquiry_svc.catalogue import BATCH_SIZE, INQUIRIES_PROCESSED, PROCESSING_DURATION, QUEUE_DEPTH
from inquiry_svc.contracts import Router, Store
from inquiry_svc.errors import IdempotencyKeyReused, StoreUnavailable, TriageFailed, Unavailable
from inquiry_svc.events import Classified, Failed, Received, Routed, Stage, Stored
from inquiry_svc.inquiries import DEPARTMENTS, Inquiry, Outcome, Prediction, Route, Text
from inquiry_svc.metrics import Metrics
from inquiry_svc.predicting import Predictor
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.traced import TracedBatcher
from inquiry_svc.tracing import Tracer
from inquiry_svc.watchers import Watchers
from inquiry_svc.workload import Workload

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Predicted: TypeAlias = tuple[Inquiry, Prediction]


class Submission(Struct, frozen=True):
    """What became of a submission: the stored outcome, which is an earlier one's if `replayed`."""

    outcome: Outcome
    replayed: bool


class Pipeline:
    def __init__(
        self,
        *,
        predictor: Predictor,
        router: Router,
        policy: ReviewPolicy,
        store: Store,
        workload: Workload,
        watchers: Watchers,
        admission: Admission,
        metrics: Metrics,
        max_batch: int,
        deadline_s: float,
        tracer: Tracer | None = None,
    ) -> None:
        """Whoever has waited for `deadline_s` is told so; where it was for the store, that it can't be reached."""
        self._predictor = predictor
        self._router = router
        self._policy = policy
        self._store = store
        self._workload = workload
        self._watchers = watchers
        self._admission = admission
        self._deadline_s = deadline_s
        self._too_late = f"no answer within {deadline_s:g} s"
        self._route_timeout_s = deadline_s / 2
        """Who waits for the router is told of it before the deadline."""
        self._is_routing = False
        self._failed = metrics.series(INQUIRIES_PROCESSED, status="failed")
        self._duration_s = metrics.series(PROCESSING_DURATION)
        self._classifying = _batcher(self._classify_batch, "classify", max_batch, metrics, tracer)
        self._storing = _batcher(self._store_batch, "store", max_batch, metrics, tracer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._storing.running(), self._classifying.running():
            yield

    # One inquiry

    async def classify(self, text: Text) -> Prediction:
        """Raises `Overloaded`, `Unavailable`, `TriageFailed`."""
        return await awaited(partial(self.classify_soon, text))

    def classify_soon(self, text: Text, tell: Tell[Prediction]) -> Waiting[Any, Prediction]:
        """The same, without a task: `tell` is called when it is done, with what `classify` gives or raises.

        It is called once, with `CancelledError` where that is cancelled; it must not raise. Raises `Overloaded`.
        """
        self._admission.take_place()

        def answered(result: Prediction | BaseException) -> None:
            self._admission.leave(patient=False)
            tell(Unavailable(self._too_late) if isinstance(result, TimeoutError) else result)

        return self._classifying.add(text, answered, until=time.monotonic() + self._deadline_s)

    async def submit(self, inquiry: Inquiry, *, patient: bool = False) -> Submission:
        """Triage and commit. A `patient` caller waits for a place where another is refused.

        Raises `Overloaded`, `Unavailable`, `TriageFailed`, `IdempotencyKeyReused`.
        """
        await self._admission.enter(patient=patient)
        return await awaited(partial(self._submit_inside, inquiry, patient=patient))

    def submit_soon(self, inquiry: Inquiry, tell: Tell[Submission]) -> Waiting[Any, Any]:
        """The same, without a task, as `classify_soon` is. Raises `Overloaded`."""
        self._admission.take_place()
        return self._submit_inside(inquiry, tell, patient=False)

    def _submit_inside(self, inquiry: Inquiry, tell: Tell[Submission], *, patient: bool) -> Waiting[Any, Any]:
        """For who has a place. From one batch straight into the next: between them nobody has to be woken."""
        started = time.monotonic()

        def classified(found: Prediction | BaseException) -> None:
            if isinstance(found, Prediction):
                self._storing.go_on(waiting, (inquiry, found), ended)
            else:
                ended(Unavailable(self._too_late) if isinstance(found, TimeoutError) else found)

        def ended(found: Outcome | BaseException) -> None:
            self._admission.leave(patient=patient)
            if isinstance(found, Outcome):
                self._duration_s.observe(time.monotonic() - started)
                tell(_submission(inquiry, found))
                return
            if isinstance(found, Exception):
                self._failed.inc()
            if isinstance(found, TimeoutError):
                found = (Unavailable if self._is_routing else StoreUnavailable)(self._too_late)
            tell(found)

        waiting: Waiting[Any, Any] = self._classifying.add(inquiry, classified, until=started + self._deadline_s)
        return waiting

    # One batch

    async def _classify_batch(self, texts: Sequence[Text]) -> Sequence[Prediction | Exception]:
        self._watchers.tell(Received(texts))
        started = time.perf_counter()
        with self._telling_failure("classify", len(texts)):
            predicted = await self._predictor.predict(texts)
        self._tell_failures("classify", predicted.results)
        done = [result for result in predicted.results if isinstance(result, Prediction)]
        self._watchers.tell(Classified(done, predicted.from_cache, time.perf_counter() - started))
        return predicted.results

    async def _store_batch(self, items: Sequence[Predicted]) -> Sequence[Outcome | Exception]:
        with self._telling_failure("route", len(items)):
            routes = await isolate(self._route, items)
        processed_at = datetime.now(UTC)
        outcomes = [
            Outcome(inquiry, self._drawn(inquiry, prediction), route, processed_at)
            for (inquiry, prediction), route in zip(items, routes, strict=True)
            if isinstance(route, Route)
        ]
        self._watchers.tell(Routed(outcomes))
        self._tell_failures("route", routes)
        stored = iter(await self._save(outcomes) if outcomes else ())
        return [next(stored) if isinstance(route, Route) else _triage_failed(route) for route in routes]

    def _drawn(self, inquiry: Inquiry, prediction: Prediction) -> Prediction:
        """With one more reason for review where the inquiry is of the audit sample."""
        if not self._policy.audits(inquiry.inquiry_id):
            return prediction
        return replace(prediction, needs_review=True, review_reasons=(*prediction.review_reasons, "audit"))

    async def _route(self, items: Sequence[Predicted]) -> Sequence[Route]:
        inquiries, predictions = zip(*items, strict=True)
        self._is_routing = True
        try:
            async with asyncio.timeout(self._route_timeout_s):
                routes = await self._router.route(inquiries, predictions, self._workload.open_inquiries)
        except TimeoutError as error:
            raise Unavailable(f"the router did not answer within {self._route_timeout_s:g} s") from error
        finally:
            self._is_routing = False
        for route in routes:
            _refuse_nonsense(route)
        return routes

    async def _save(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome | Exception]:
        started = time.perf_counter()
        with self._telling_failure("store", len(outcomes)):
            results = await isolate(self._store.save, outcomes, keep_done=True)
        self._tell_failures("store", results)
        kept = [(sent, stored) for sent, stored in zip(outcomes, results, strict=True) if isinstance(stored, Outcome)]
        new = [stored for sent, stored in kept if stored.inquiry.inquiry_id == sent.inquiry.inquiry_id]
        replayed = sum(_is_replay(sent.inquiry, stored) for sent, stored in kept)
        self._workload.take(new)
        self._watchers.tell(Stored(new, replayed, time.perf_counter() - started))
        answers = (Outcome, Unavailable, TimeoutError)
        return [stored if isinstance(stored, answers) else _triage_failed(stored) for stored in results]

    def _tell_failures(self, stage: Stage, results: Sequence[object]) -> None:
        failures = [result for result in results if isinstance(result, Exception)]
        if failures:
            self._watchers.tell(Failed(stage, len(failures), failures[0]))
            logger.error("%d of a batch of %d failed (%s)", len(failures), len(results), stage, exc_info=failures[0])

    @contextmanager
    def _telling_failure(self, stage: Stage, count: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._watchers.tell(Failed(stage, count, error))
            logger.error("a whole batch of %d failed (%s)", count, stage, exc_info=error)
            raise


def _batcher(
    work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
    stage: Stage,
    max_batch: int,
    metrics: Metrics,
    tracer: Tracer | None,
) -> Batcher[T, R] | TracedBatcher[T, R]:
    depth, size = metrics.series(QUEUE_DEPTH, stage=stage), metrics.series(BATCH_SIZE, stage=stage)
    waits = stage == "store"
    if tracer is None:
        return Batcher(work, max_batch=max_batch, depth=depth, size=size, next_first=waits)
    return TracedBatcher(
        work, max_batch=max_batch, depth=depth, size=size, tracer=tracer, name=f"{stage} batch", next_first=waits
    )


def _refuse_nonsense(route: Route) -> None:
    """Raise unless it can be stored, counted and answered: a router of somebody else's may give anything."""
    if not isinstance(route, Route) or route.department not in DEPARTMENTS or not 0 <= route.priority_score <= 100:
        raise ValueError("the router gave something that is not a route")


def _triage_failed(cause: Exception) -> Exception:
    failure = TriageFailed("a plugin failed over this inquiry")
    failure.__cause__ = cause
    return failure


def _submission(sent: Inquiry, stored: Outcome) -> Submission | IdempotencyKeyReused:
    if stored.inquiry.inquiry_id == sent.inquiry_id:
        return Submission(stored, replayed=False)
    if _is_replay(sent, stored):
        return Submission(stored, replayed=True)
    return IdempotencyKeyReused("this idempotency key was used before for another payload; use a new one")


def _is_replay(sent: Inquiry, stored: Outcome) -> bool:
    if stored.inquiry.inquiry_id == sent.inquiry_id:
        return False
    first, again = stored.inquiry.idempotency_key, sent.idempotency_key
    return first is not None and again is not None and first.fingerprint == again.fingerprint
