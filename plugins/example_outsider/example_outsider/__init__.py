"""A plugin by somebody else, in one file: copy it and change what you need.

It adds a classifier (`[classifier] provider = "shortest"`), a notifier, a metric, a route that shows it, and a
middleware. Nothing here runs at import, and heavy libraries would be imported inside `open_shortest`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from aiohttp import web
from aiohttp.typedefs import Middleware
from msgspec import Meta

from inquiry_svc.api_keys import needs
from inquiry_svc.contracts import Classifier, Host, NoSettings, Notifier, Provider
from inquiry_svc.events import Stored
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import CATEGORIES, DEPARTMENTS, Model, Outcome, Text, Verdict
from inquiry_svc.metrics import Counter, Metric, Metrics
from inquiry_svc.notices import Notice
from inquiry_svc.service import Service

# A metric of your own, in three steps: declare it, hand it over, count.

BUSINESS = Counter(
    "business_metric_total",
    "Inquiries stored, by category and department.",
    {"category": CATEGORIES, "department": DEPARTMENTS},
)


@hookimpl
def register_metrics() -> Iterable[Metric]:
    return [BUSINESS]


@hookimpl
def on_stored(event: Stored, metrics: Metrics) -> None:
    for outcome in event.outcomes:
        category = outcome.prediction.verdict.category.label
        metrics.series(BUSINESS, category=category, department=outcome.route.department).inc()


# A classifier: whoever writes briefly wants something now.


@dataclass(frozen=True, slots=True)
class ShortestSettings:
    urgent_below_characters: Annotated[int, Meta(ge=1)] = 40
    """`[classifier.shortest] urgent_below_characters`"""


class ShortestClassifier:
    def __init__(self, settings: ShortestSettings) -> None:
        self.model = Model("shortest", version="1", digest=f"shortest-{settings.urgent_below_characters}")
        self._limit = settings.urgent_below_characters

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        return [Verdict.from_scores(self._scores(text)) for text in texts]

    def _scores(self, text: Text) -> list[float]:
        category = [0.5, 0.1, 0.1, 0.1, 0.1, 0.1]
        sentiment = [0.2, 0.6, 0.2]
        urgency = [0.1, 0.2, 0.6, 0.1] if len(text.body) < self._limit else [0.6, 0.2, 0.1, 0.1]
        return category + sentiment + urgency


@asynccontextmanager
async def open_shortest(settings: ShortestSettings, host: Host) -> AsyncIterator[Classifier]:
    yield ShortestClassifier(settings)


@hookimpl
def register_classifiers() -> Iterable[Provider[Classifier]]:
    return [Provider("shortest", open_shortest, ShortestSettings)]


# A notifier: `[notifiers] providers = ["diary"]` writes a line for each escalation into a file of the data folder.


class DiaryNotifier:
    kinds = ("escalated",)

    def __init__(self, file: Path) -> None:
        self._file = file

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        """Whatever it raises, the service comes again later with the same notice: a line may be there twice."""
        line = f"{notice.created_at.isoformat()} {notice.notice_id} {notice.kind} {outcome.inquiry.inquiry_id}\n"
        await asyncio.to_thread(self._append, line)

    def _append(self, line: str) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line)


@asynccontextmanager
async def open_diary(settings: NoSettings, host: Host) -> AsyncIterator[Notifier]:
    yield DiaryNotifier(host.data_dir / "diary.txt")


@hookimpl
def register_notifiers() -> Iterable[Provider[Notifier]]:
    return [Provider("diary", open_diary)]


# A route and a middleware.


@hookimpl
def register_routes(service: Service) -> Iterable[web.AbstractRouteDef]:
    @needs("metrics")
    async def business(request: web.Request) -> web.Response:
        family = next(family for family in service.metrics.snapshot() if family.metric is BUSINESS)
        return web.json_response({"/".join(labels): value for labels, value in family.values.items() if value})

    return [web.get("/example/business", business)]


@hookimpl
def register_middlewares(service: Service) -> Iterable[Middleware]:
    @web.middleware
    async def server_timing(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        started = time.perf_counter()
        response = await handler(request)
        if not response.prepared:
            response.headers["Server-Timing"] = f"total;dur={(time.perf_counter() - started) * 1000:.2f}"
        return response

    return [server_timing]
