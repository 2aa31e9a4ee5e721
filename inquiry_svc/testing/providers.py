"""Providers that do what a test tells them to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from inquiry_svc.contracts import (
    Cache,
    Classifier,
    Host,
    NoSettings,
    Notifier,
    Provider,
    Router,
    Source,
    Store,
    Submit,
)
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Model, Outcome, Text, Verdict
from inquiry_svc.notices import NOTICE_KINDS, Notice, NoticeKind
from inquiry_svc.testing.samples import sample_verdict

T = TypeVar("T")
Classify = Callable[[Sequence[Text]], Awaitable[Sequence[Verdict]]]


class FunctionClassifier:
    """A classifier that is a function, and remembers the batches that it was called with."""

    def __init__(self, classify: Classify | None = None, *, digest: str = "0" * 32) -> None:
        self.model = Model(name="function", version="1", digest=digest)
        self.batches: list[Sequence[Text]] = []
        self._classify = classify

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        self.batches.append(texts)
        if self._classify is None:
            return [sample_verdict() for _ in texts]
        return await self._classify(texts)


class FunctionSource:
    """A source that is a function."""

    def __init__(self, run: Callable[[Submit, asyncio.Event], Awaitable[None]]) -> None:
        self._run = run

    async def run(self, submit: Submit, stopping: asyncio.Event) -> None:
        await self._run(submit, stopping)


class FunctionNotifier:
    """A notifier that is a function, and remembers what it was called with."""

    def __init__(
        self,
        notify: Callable[[Notice, Outcome], Awaitable[None]] | None = None,
        *,
        kinds: Collection[NoticeKind] = NOTICE_KINDS,
    ) -> None:
        self.kinds = kinds
        self.called: list[Notice] = []
        self._notify = notify

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        self.called.append(notice)
        if self._notify is not None:
            await self._notify(notice, outcome)


class Offering:
    """A plugin that offers ready-made providers, all under the name `given`."""

    def __init__(
        self,
        *,
        classifier: Classifier | None = None,
        router: Router | None = None,
        cache: Cache | None = None,
        store: Store | None = None,
        source: Source | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._classifier = classifier
        self._router = router
        self._cache = cache
        self._store = store
        self._source = source
        self._notifier = notifier

    @hookimpl
    def register_classifiers(self) -> Iterable[Provider[Classifier]]:
        return _offered(self._classifier)

    @hookimpl
    def register_routers(self) -> Iterable[Provider[Router]]:
        return _offered(self._router)

    @hookimpl
    def register_caches(self) -> Iterable[Provider[Cache]]:
        return _offered(self._cache)

    @hookimpl
    def register_stores(self) -> Iterable[Provider[Store]]:
        return _offered(self._store)

    @hookimpl
    def register_sources(self) -> Iterable[Provider[Source]]:
        return _offered(self._source)

    @hookimpl
    def register_notifiers(self) -> Iterable[Provider[Notifier]]:
        return _offered(self._notifier)


def _offered(thing: T | None) -> Iterable[Provider[T]]:
    if thing is None:
        return []

    @asynccontextmanager
    async def open_given(settings: NoSettings, host: Host) -> AsyncIterator[T]:
        yield thing

    return [Provider("given", open_given)]
