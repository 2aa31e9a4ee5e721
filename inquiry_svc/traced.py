"""What of the service becomes a span: each of these stands around a part of it, put there when a tracer was chosen.

    POST /api/v1/inquiries/submit  <==links==>  classify batch          store batch
                                                |- cache get            |- router
                                                |- classifier           '- store save
                                                |- fallback classifier
                                                '- cache put

A batch works for many requests, so it is a trace of its own, linked with each request that is recorded; if none is, the
batch is not either. What the service does for nobody, such as checking its health, leaves no span.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import copy_context
from typing import Any, Final, Generic, TypeAlias, TypeVar

from inquiry_svc.batching import Batcher, Tell, Waiting
from inquiry_svc.contracts import Cache, Classifier, Provider, Router, Store
from inquiry_svc.guarded_store import GuardedStore
from inquiry_svc.inquiries import Inquiry, Model, Prediction, Route, Text, Verdict
from inquiry_svc.metrics import GaugeSeries, HistogramSeries, Metrics
from inquiry_svc.tracing import CURRENT, Attribute, Span, Tracer, begin_trace, part_of_trace

T = TypeVar("T")
R = TypeVar("R")
Awaited: TypeAlias = tuple[T, Span | None]
"""An item, and the span of whoever waits for it."""

BATCH_SIZE: Final = "inquiry_svc.batch.size"
BATCH_FAILED: Final = "inquiry_svc.batch.failed"
PROVIDER: Final = "inquiry_svc.provider"


class TracedBatcher(Generic[T, R]):
    """A `Batcher` whose batches are spans."""

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        max_batch: int,
        depth: GaugeSeries,
        size: HistogramSeries,
        tracer: Tracer,
        name: str,
        next_first: bool = False,
    ) -> None:
        self._work = work
        self._tracer = tracer
        self._name = name
        self._batcher: Batcher[Awaited[T], R] = Batcher(
            self._traced, max_batch=max_batch, depth=depth, size=size, next_first=next_first
        )

    def add(self, item: T, tell: Tell[R], *, until: float = math.inf) -> Waiting[Awaited[T], R]:
        return self._batcher.add((item, CURRENT.get()), _as_now(tell), until=until)

    def go_on(self, waiting: Waiting[Any, Any], item: T, tell: Tell[R]) -> None:
        self._batcher.go_on(waiting, (item, CURRENT.get()), _as_now(tell))

    def running(self) -> AbstractAsyncContextManager[None]:
        return self._batcher.running()

    async def _traced(self, batch: Sequence[Awaited[T]]) -> Sequence[R | Exception]:
        items = [item for item, _ in batch]
        requests = list({id(span): span for _, span in batch if span is not None and span.is_recorded}.values())
        if not requests:
            return await self._work(items)
        with begin_trace(self._tracer, self._name, "internal", {BATCH_SIZE: len(items)}, links=requests) as span:
            for request in requests:
                request.link(span)
            results = await self._work(items)
            failures = [result for result in results if isinstance(result, Exception)]
            if failures:
                span.set(BATCH_FAILED, len(failures))
                span.fail(type(failures[0]).__qualname__)
            return results


def _as_now(tell: Tell[R]) -> Tell[R]:
    """What is done when it is told is of the span that is current now, not of the batch's."""
    context = copy_context()
    return lambda result: context.run(tell, result)


class TracedCache:
    def __init__(self, cache: Cache, tracer: Tracer, provider: Provider[Cache]) -> None:
        self._cache = cache
        self._tracer = tracer
        self._attributes = _attributes_of(provider)
        self.check = cache.check

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        attributes = {**self._attributes, BATCH_SIZE: len(keys)}
        with part_of_trace(self._tracer, "cache get", "client", attributes) as span:
            values = await self._cache.get_many(keys)
            if span is not None:
                span.set("inquiry_svc.cache.hits", sum(value is not None for value in values))
            return values

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        attributes = {**self._attributes, BATCH_SIZE: len(values)}
        with part_of_trace(self._tracer, "cache put", "client", attributes):
            await self._cache.put_many(values)


class TracedClassifier:
    def __init__(self, classifier: Classifier, tracer: Tracer, name: str) -> None:
        self._classifier = classifier
        self._tracer = tracer
        self._name = name

    @property
    def model(self) -> Model:
        return self._classifier.model

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        model = self.model
        attributes: dict[str, Attribute] = {
            BATCH_SIZE: len(texts),
            "inquiry_svc.model.name": model.name,
            "inquiry_svc.model.version": model.version,
        }
        with part_of_trace(self._tracer, self._name, "internal", attributes):
            return await self._classifier.classify(texts)


class TracedRouter:
    def __init__(self, router: Router, tracer: Tracer, provider: str) -> None:
        self._router = router
        self._tracer = tracer
        self._provider = provider

    async def route(
        self, inquiries: Sequence[Inquiry], predictions: Sequence[Prediction], open_inquiries: Mapping[str, int]
    ) -> Sequence[Route]:
        attributes: dict[str, Attribute] = {PROVIDER: self._provider, BATCH_SIZE: len(inquiries)}
        with part_of_trace(self._tracer, "router", "internal", attributes):
            return await self._router.route(inquiries, predictions, open_inquiries)


class TracedStore(GuardedStore):
    """A `GuardedStore` whose calls are spans."""

    def __init__(
        self,
        store: Store,
        *,
        metrics: Metrics,
        timeout_s: float,
        tracer: Tracer,
        provider: Provider[Store],
    ) -> None:
        super().__init__(store, metrics=metrics, timeout_s=timeout_s)
        self._tracer = tracer
        self._attributes = _attributes_of(provider)

    @asynccontextmanager
    async def _call(self, operation: str) -> AsyncIterator[None]:
        attributes = {**self._attributes, "db.operation.name": operation}
        with part_of_trace(self._tracer, f"store {operation}", "client", attributes):
            async with super()._call(operation):
                yield


def _attributes_of(provider: Provider[Any]) -> Mapping[str, Attribute]:
    system = {} if provider.db_system is None else {"db.system.name": provider.db_system}
    return {PROVIDER: provider.name, **system}
