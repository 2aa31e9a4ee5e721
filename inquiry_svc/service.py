"""The whole service, opened and closed: providers in order, the pipeline over them, plugins' own lifespans last.

`open_service` is the one place where everything is put together. What it opened is closed in reverse, whatever happens.
Serving it over HTTP is `web`'s work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import pluggy

from inquiry_svc.admission import Admission
from inquiry_svc.announcing import AnnouncingStore
from inquiry_svc.catalogue import OWN_METRICS, WORKERS_RUNNING
from inquiry_svc.contracts import (
    Cache,
    Classifier,
    Exporter,
    Host,
    Notifier,
    PushingExporter,
    Router,
    ScrapedExporter,
    Source,
    Store,
)
from inquiry_svc.data_folder import writable
from inquiry_svc.drift import Drift
from inquiry_svc.errors import InquiryNotFound, PluginError
from inquiry_svc.events import Resolved, Reviewed
from inquiry_svc.exemplars import ExemplifiedSeries
from inquiry_svc.explaining import Explaining
from inquiry_svc.explanations import Explanation
from inquiry_svc.guarded_store import GuardedStore
from inquiry_svc.health import Component, Health
from inquiry_svc.inquiries import Feedback, Inquiry, Model, Outcome, Prediction, Text
from inquiry_svc.metrics import HistogramSeries, Metrics, Snapshot
from inquiry_svc.models.canary import Canary
from inquiry_svc.models.named import names_of
from inquiry_svc.models.open_models import OpenModel
from inquiry_svc.models.registry import Registry
from inquiry_svc.models.second_opinions import SecondOpinions
from inquiry_svc.models.swapping import Swapper, swapping
from inquiry_svc.notifying import Notifying
from inquiry_svc.opening import Opener
from inquiry_svc.pipeline import Pipeline, Submission
from inquiry_svc.plugins import Offers, asked
from inquiry_svc.predicting import Predictor
from inquiry_svc.pushing import OwnTurns, Turns, pushed_regularly
from inquiry_svc.rate_limits import SharedWindows
from inquiry_svc.recording import begin_with
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.reviews import Decision, Reviews
from inquiry_svc.settings import NO_TRACER, Settings
from inquiry_svc.sources import Sources
from inquiry_svc.store_gauges import store_gauges_kept_current
from inquiry_svc.traced import TracedCache, TracedRouter, TracedStore
from inquiry_svc.tracing import Tracer
from inquiry_svc.watchers import Watchers
from inquiry_svc.workload import Workload

_BATCHES_WHEN_CROWDED: Final = 2
"""One is stored while the next is classified."""


@dataclass(slots=True)
class Service:
    """An open service. Its methods are the way in; the rest is there to be read."""

    settings: Settings
    manager: pluggy.PluginManager
    metrics: Metrics
    store: Store
    exporters: Mapping[str, ScrapedExporter]
    """Those that are asked, in the order in which they were chosen."""
    health: Health
    pipeline: Pipeline
    workload: Workload
    watchers: Watchers
    models: Swapper
    canary: Canary
    explaining: Explaining
    reviews: Reviews
    sources: Sources
    notifying: Notifying
    admission: Admission
    tracer: Tracer | None
    """None where nothing is traced."""
    stopping: bool = False
    """Set when the stop has begun: readiness says 503 from then on."""
    handing_over: bool = False
    """Set before `stopping` where another worker has taken this one's place: readiness is the successor's then."""
    numbers_of_all: Callable[[], Awaitable[Snapshot]] | None = None
    """Asks every process of the service for its numbers; None where this is the only one."""
    windows: SharedWindows | None = None
    """Of the rate limits, which every process of the service shares; None where this is the only one."""

    async def submit(self, inquiry: Inquiry, *, patient: bool = False) -> Submission:
        """Triage and store. See `Pipeline.submit`."""
        return await self.pipeline.submit(inquiry, patient=patient)

    async def classify(self, text: Text) -> Prediction:
        """Triage without storing. See `Pipeline.classify`."""
        return await self.pipeline.classify(text)

    async def explain(self, text: Text, decided_by: Model) -> Explanation:
        """Why a model says what it says of a text. See `Explaining.explain`."""
        return await self.explaining.explain(text, decided_by)

    async def explain_stored(self, inquiry_id: str) -> tuple[Outcome, Explanation]:
        """An outcome, and why: by the model that decided it unless that is open no more.

        Raises `InquiryNotFound`, `CannotExplain`, `Overloaded`, `Unavailable`.
        """
        outcome = await self.store.get(inquiry_id)
        if outcome is None:
            raise InquiryNotFound
        return outcome, await self.explaining.explain(outcome.inquiry, outcome.prediction.model)

    async def snapshot(self) -> Snapshot:
        """The numbers of the whole service, whichever of its processes is asked. Raises `Unavailable`."""
        return self.metrics.snapshot() if self.numbers_of_all is None else await self.numbers_of_all()

    def begin_to_stop(self) -> None:
        """Not ready any more, nothing more is taken from the sources, and the notifiers finish."""
        self.stopping = True
        self.sources.stop()
        self.notifying.stop()

    async def give_feedback(self, inquiry_id: str, feedback: Feedback) -> Outcome:
        """A person says what the inquiry should have been. Raises `InquiryNotFound`."""
        return self._reviewed(await self.store.add_feedback(inquiry_id, feedback))

    async def decide_review(self, inquiry_id: str, reviewer: str, decision: Decision) -> Outcome:
        """What a reviewer says of an inquiry in the queue, as feedback. Raises `InquiryNotFound`, `ReviewNotYours`."""
        return self._reviewed(await self.reviews.decide(inquiry_id, reviewer, decision))

    async def resolve(self, inquiry_id: str, resolved_at: datetime) -> Outcome:
        """The inquiry was answered: its consultant has one less. Raises `InquiryNotFound`, `AlreadyResolved`."""
        outcome = await self.store.resolve(inquiry_id, resolved_at)
        self.workload.give_back(outcome)
        self.watchers.tell(Resolved(outcome))
        return outcome

    def _reviewed(self, outcome: Outcome) -> Outcome:
        self.canary.reviewed(outcome)
        self.watchers.tell(Reviewed(outcome))
        return outcome


@asynccontextmanager
async def open_service(
    settings: Settings, manager: pluggy.PluginManager, offers: Offers, *, turns: Turns | None = None
) -> AsyncIterator[Service]:
    """`turns` says when this process sends metrics, where it is not the only one.

    Raises `ConfigurationError` when a provider can't be opened as configured.
    """
    is_traced = settings.tracing.provider != NO_TRACER
    metrics = Metrics(OWN_METRICS, histogram=ExemplifiedSeries if is_traced else HistogramSeries)
    for _, declared in asked(manager, "register_metrics"):
        for metric in declared:
            metrics.declare(metric)
    host = Host(data_dir=writable(Path(settings.server.data_dir)), metrics=metrics)

    async with AsyncExitStack() as stack:
        enter, opener = stack.enter_async_context, Opener(settings, offers, host)
        tracer: Tracer | None = None
        if is_traced:
            tracer = await enter(opener.open("tracer", settings.tracing.provider))
        opened_store: Store = await enter(opener.open("store", settings.store.provider))
        cache: Cache | None = await enter(opener.open("cache", settings.cache.provider))
        stand_in: Classifier = await enter(opener.open("classifier", settings.classifier.fallback))
        fallback = OpenModel(stand_in, metrics, tracer, span="fallback classifier")
        registry = Registry(host.data_dir)
        names = names_of(registry, settings, offers)
        swapper = await enter(swapping(names, opener, metrics, tracer, canary_share=settings.models.canary_share))
        router: Router = await enter(opener.open("router", settings.router.provider))
        exporters: dict[str, Exporter] = {
            name: await enter(opener.open("exporter", name)) for name in settings.exporters.providers
        }
        asked_for, sending = _sorted_out(exporters)
        opened_sources: dict[str, Source] = {
            name: await enter(opener.open("source", name)) for name in settings.sources.providers
        }
        notifiers: dict[str, Notifier] = {
            name: await enter(opener.open("notifier", name)) for name in settings.notifiers.providers
        }

        store: Store
        if tracer is None:
            store = GuardedStore(opened_store, metrics=metrics, timeout_s=settings.store.timeout_s)
        else:
            if cache is not None:
                cache = TracedCache(cache, tracer, offers.provider("cache", settings.cache.provider))
            router = TracedRouter(router, tracer, settings.router.provider)
            store = TracedStore(
                opened_store,
                metrics=metrics,
                timeout_s=settings.store.timeout_s,
                tracer=tracer,
                provider=offers.provider("store", settings.store.provider),
            )
        finish_s = settings.server.stop_timeout_s / 2
        notifying = Notifying(notifiers, store, settings.notifiers, metrics, finish_s=finish_s, tracer=tracer)
        if notifiers:
            store = AnnouncingStore(store, notifiers, on_kept=notifying.wake)
        workload = Workload()
        await enter(workload.kept_current(store))
        await enter(store_gauges_kept_current(store, metrics, notifiers=notifiers))
        admission = Admission(
            settings.batching.places,
            metrics,
            when_crowded=_BATCHES_WHEN_CROWDED * settings.batching.max_batch,
        )
        second_opinions = SecondOpinions(
            swapper.open_models,
            metrics,
            nobody_waits=lambda: admission.is_empty,
            timeout_s=settings.classifier.timeout_s,
        )
        policy = ReviewPolicy(settings.review)
        predictor = Predictor(
            models=swapper.open_models,
            fallback=fallback,
            second_opinions=second_opinions,
            cache=cache,
            metrics=metrics,
            timeout_s=settings.classifier.timeout_s,
            rest_s=settings.classifier.rest_s,
            cache_timeout_s=settings.cache.timeout_s,
            policy=policy,
        )
        drift = Drift(
            lambda: [*(model.classifier for model in swapper.open_models.line_up.models), fallback.classifier], metrics
        )
        manager.register(drift, name="drift")
        stack.callback(manager.unregister, drift)
        watchers = Watchers(manager, metrics)
        pipeline = Pipeline(
            predictor=predictor,
            router=router,
            policy=policy,
            store=store,
            workload=workload,
            watchers=watchers,
            admission=admission,
            metrics=metrics,
            max_batch=settings.batching.max_batch,
            deadline_s=settings.batching.deadline_s,
            tracer=tracer,
        )
        health = Health(
            [
                Component("database", settings.store.provider, store.check, "unhealthy"),
                Component("cache", settings.cache.provider, _always_well if cache is None else cache.check, "degraded"),
                Component("classifier", settings.classifier.provider, predictor.check_classifier, "degraded"),
                Component("fallback", settings.classifier.fallback, predictor.check_fallback, "degraded"),
                Component("models", "registry", swapper.check, "degraded"),
                Component("queue", "admission", admission.check, "unhealthy"),
            ],
            metrics,
        )
        begin_with(fallback.model, metrics, role="fallback")
        metrics.series(WORKERS_RUNNING).set(1)
        explain_timeout_s = settings.classifier.explain_timeout_s
        explaining = Explaining(swapper.open_models, fallback, metrics=metrics, timeout_s=explain_timeout_s)
        canary = Canary(swapper, registry, settings.models, metrics)
        sources = Sources(
            opened_sources,
            partial(pipeline.submit, patient=True),
            metrics,
            finish_s=settings.server.stop_timeout_s,
            tracer=tracer,
        )
        service = Service(
            settings=settings,
            manager=manager,
            metrics=metrics,
            store=store,
            exporters=asked_for,
            health=health,
            pipeline=pipeline,
            workload=workload,
            watchers=watchers,
            models=swapper,
            canary=canary,
            explaining=explaining,
            reviews=Reviews(store, metrics, lease_s=settings.review.lease_s),
            sources=sources,
            notifying=notifying,
            admission=admission,
            tracer=tracer,
        )
        await enter(pushed_regularly(sending, turns or OwnTurns(metrics), metrics))
        await enter(drift.counted())
        await enter(pipeline.running())
        await enter(second_opinions.running())
        await enter(health.watched())
        for _, lifespan in asked(manager, "lifespan", service=service):
            await enter(lifespan)
        await enter(canary.watched(service.snapshot))  # not while it opens: the numbers would be a worker's own
        await enter(notifying.running())
        await enter(sources.running())  # last, so that they stop first
        yield service


def _sorted_out(
    exporters: Mapping[str, Exporter],
) -> tuple[dict[str, ScrapedExporter], dict[str, PushingExporter]]:
    """Those that are asked, and those that send. Raises `PluginError` for one that does neither."""
    asked_for = {name: exporter for name, exporter in exporters.items() if isinstance(exporter, ScrapedExporter)}
    sending = {name: exporter for name, exporter in exporters.items() if isinstance(exporter, PushingExporter)}
    for name in exporters.keys() - asked_for.keys() - sending.keys():
        raise PluginError(f"exporter {name!r} has neither render nor push; see inquiry_svc.contracts")
    return asked_for, sending


async def _always_well() -> None:
    """There is no cache that could fail."""
