"""A plugin for what can't be done to a service from outside: the file beside it says what is wrong at the moment.

It is installed where the service finds it, and stands for a faulty release: of the model, of a middleware or a watcher;
and for a machine with little room.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Middleware

from inquiry_svc.contracts import Classifier, Host, NoSettings, Provider
from inquiry_svc.events import Stored
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Model, Text, Verdict
from inquiry_svc.service import Service
from inquiry_svc_plugins.classifiers.keyword import KeywordClassifier
from inquiry_svc_plugins.classifiers.xgboost import XgboostSettings, open_xgboost

Trouble: TypeAlias = Literal[
    "none",
    "the classifier raises",
    "the classifier is unsure",
    "the classifier is slow",
    "the fallback raises",
    "a watcher raises",
    "one answer in two fails",
    "one answer in thirty fails",
    "one answer in four is slow",
    "every answer is slow",
    "the disk fills up",
    "the disk is almost full",
]

_FILE: Final = "trouble.txt"
SLOW_S: Final = 6.0
RATHER_SLOW_S: Final = 2.5
BUSY_S: Final = 0.6
"""What a classifier takes that can't keep up with those who write."""
FREE_BYTES: Final[Mapping[Trouble, int]] = {"the disk fills up": 2**30, "the disk is almost full": 100 * 2**20}
FEW_FILES: Final = 256
"""A worker may have open, as some systems have it."""
UNSURE: Final = Verdict.from_scores([0.25, 0.15, 0.15, 0.15, 0.15, 0.15, 0.6, 0.2, 0.2, 0.7, 0.1, 0.1, 0.1])


def tell(folder: Path, trouble: Trouble) -> None:
    """Have this be wrong from now on, in the services that find the plugin in `folder`."""
    (folder / _FILE).write_text(trouble)


def is_now(trouble: Trouble) -> bool:
    return Path(__file__).with_name(_FILE).read_text() == trouble


class TroubledClassifier:
    """The default classifier, unless in trouble."""

    def __init__(self, inner: Classifier) -> None:
        self._inner = inner

    @property
    def model(self) -> Model:
        return self._inner.model

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        if is_now("the classifier raises"):
            raise RuntimeError("as wanted")
        if is_now("the classifier is unsure"):
            return [UNSURE] * len(texts)
        if is_now("the classifier is slow"):
            await asyncio.sleep(BUSY_S)
        return await self._inner.classify(texts)


class TroubledFallback(KeywordClassifier):
    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        if is_now("the fallback raises"):
            raise RuntimeError("as wanted")
        return await super().classify(texts)


@asynccontextmanager
async def open_troubled(settings: XgboostSettings, host: Host) -> AsyncIterator[Classifier]:
    _make_the_machine_small()
    async with open_xgboost(settings, host) as inner:
        yield TroubledClassifier(inner)


@asynccontextmanager
async def open_fallback(settings: NoSettings, host: Host) -> AsyncIterator[Classifier]:
    yield TroubledFallback()


@hookimpl
def register_classifiers() -> Iterable[Provider[Classifier]]:
    return [Provider("troubled", open_troubled, XgboostSettings), Provider("troubled_fallback", open_fallback)]


@hookimpl
def on_stored(event: Stored) -> None:
    if is_now("a watcher raises"):
        raise RuntimeError("as wanted")


@hookimpl
def register_middlewares(service: Service) -> Iterable[Middleware]:
    numbers = itertools.count()

    @web.middleware
    async def trouble(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.method != "POST":
            return await handler(request)
        number = next(numbers)
        if number % 2 == 0 and is_now("one answer in two fails"):
            raise RuntimeError("as wanted")
        if number % 30 == 0 and is_now("one answer in thirty fails"):
            raise RuntimeError("as wanted")
        response = await handler(request)
        if number % 4 == 0 and is_now("one answer in four is slow"):
            await asyncio.sleep(SLOW_S)
        if is_now("every answer is slow"):
            await asyncio.sleep(RATHER_SLOW_S)
        return response

    return [trouble]


def _make_the_machine_small() -> None:
    """Before the service measures it."""
    import psutil

    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    measured = psutil.disk_usage

    def disk_usage(path: str) -> Any:
        found = measured(path)
        return found._replace(free=next((size for name, size in FREE_BYTES.items() if is_now(name)), found.free))

    psutil.disk_usage = disk_usage
