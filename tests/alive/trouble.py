"""A plugin for what can't be done to a service from outside: the file beside it says what is wrong at the moment.

It is installed where the service finds it, and stands for a faulty release: of the model, or of a middleware.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Middleware

from inquiry_svc.contracts import Classifier, Host, Provider
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Model, Text, Verdict
from inquiry_svc.service import Service
from inquiry_svc_plugins.classifiers.xgboost import XgboostSettings, open_xgboost

Trouble: TypeAlias = Literal[
    "none", "the classifier raises", "the classifier is unsure", "one answer in two fails", "one answer in four is slow"
]

_FILE: Final = "trouble.txt"
SLOW_S: Final = 6.0
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
        return await self._inner.classify(texts)


@asynccontextmanager
async def open_troubled(settings: XgboostSettings, host: Host) -> AsyncIterator[Classifier]:
    async with open_xgboost(settings, host) as inner:
        yield TroubledClassifier(inner)


@hookimpl
def register_classifiers() -> Iterable[Provider[Classifier]]:
    return [Provider("troubled", open_troubled, XgboostSettings)]


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
        response = await handler(request)
        if number % 4 == 0 and is_now("one answer in four is slow"):
            await asyncio.sleep(SLOW_S)
        return response

    return [trouble]
