"""One inquiry's way, with providers that misbehave at each stage: who is told what, and what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from inquiry_svc.admission import Admission
from inquiry_svc.catalogue import (
    INQUIRIES_IN_FLIGHT,
    INQUIRIES_PROCESSED,
    INQUIRIES_REPLAYED,
    OWN_METRICS,
    QUEUE_DEPTH,
    STAGES,
)
from inquiry_svc.errors import IdempotencyKeyReused, StoreUnavailable, TriageFailed, Unavailable
from inquiry_svc.events import Classified, Failed, Received, Routed, Stored
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import IdempotencyKey, Inquiry, Outcome, Prediction, Route, Text, Verdict
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.open_models import LineUp, OpenModel, OpenModels
from inquiry_svc.models.second_opinions import SecondOpinions
from inquiry_svc.notices import Notice
from inquiry_svc.pipeline import Pipeline
from inquiry_svc.plugins import build_manager
from inquiry_svc.predicting import Predictor
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import ReviewSettings
from inquiry_svc.testing.providers import FunctionClassifier
from inquiry_svc.testing.samples import sample_inquiry, sample_outcome, sample_verdict
from inquiry_svc.watchers import Watchers
from inquiry_svc.workload import Workload
from inquiry_svc_plugins.stores.memory import MemoryStore

BAD = "BAD"


class GivenRouter:
    """Routes everything alike, unless `change` makes something else of an inquiry's route."""

    def __init__(self, change: Callable[[Inquiry, Route], Awaitable[Any]] | None = None) -> None:
        self._change = change

    async def route(
        self, inquiries: Sequence[Inquiry], predictions: Sequence[Prediction], open_inquiries: Mapping[str, int]
    ) -> Sequence[Route]:
        routes = [sample_outcome(inquiry).route for inquiry in inquiries]
        if self._change is None:
            return routes
        return [await self._change(inquiry, route) for inquiry, route in zip(inquiries, routes, strict=True)]


class GivenStore(MemoryStore):
    """Refuses the bad ones; all of them when it is away; leaves once it has saved; answers none while it is stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.leaves = False
        self.unstuck = asyncio.Event()
        self.unstuck.set()

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        await self.unstuck.wait()
        if self.away:
            raise StoreUnavailable("away")
        if any(outcome.inquiry.body == BAD for outcome in outcomes):
            raise ValueError("a row that can't be written")
        self.away = self.leaves
        return await super().save(outcomes, notices)


class Witness:
    def __init__(self) -> None:
        self.events: list[Any] = []

    @hookimpl
    def on_received(self, event: Received) -> None:
        self.events.append(event)

    @hookimpl
    def on_classified(self, event: Classified) -> None:
        self.events.append(event)

    @hookimpl
    def on_routed(self, event: Routed) -> None:
        self.events.append(event)

    @hookimpl
    def on_stored(self, event: Stored) -> None:
        self.events.append(event)

    @hookimpl
    def on_failed(self, event: Failed) -> None:
        self.events.append(event)

    def failures(self) -> list[tuple[str, int]]:
        return [(event.stage, event.count) for event in self.events if isinstance(event, Failed)]


class Bench:
    def __init__(
        self,
        *,
        router: GivenRouter | None = None,
        classifier: FunctionClassifier | None = None,
        audit_share: float = 0.0,
        deadline_s: float = 0.2,
    ) -> None:
        self.metrics = Metrics(OWN_METRICS)
        self.store = GivenStore()
        self.witness = Witness()
        self.workload = Workload()
        model = OpenModel(classifier or FunctionClassifier(), self.metrics)
        models = OpenModels(LineUp(model))
        policy = ReviewPolicy(ReviewSettings(audit_share=audit_share))
        self.pipeline = Pipeline(
            predictor=Predictor(
                models=models,
                fallback=model,
                second_opinions=SecondOpinions(models, self.metrics, nobody_waits=lambda: False, timeout_s=1.0),
                cache=None,
                metrics=self.metrics,
                timeout_s=0.1,
                rest_s=0.1,
                cache_timeout_s=0.1,
                policy=policy,
            ),
            router=router or GivenRouter(),
            policy=policy,
            store=self.store,
            workload=self.workload,
            watchers=Watchers(build_manager([self.witness], entry_points=False), self.metrics),
            admission=Admission(100, self.metrics),
            metrics=self.metrics,
            max_batch=16,
            deadline_s=deadline_s,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.pipeline.running():
            yield
            self.nothing_is_left()

    async def submit(self, inquiries: Sequence[Inquiry]) -> list[Any]:
        return await asyncio.gather(*map(self.pipeline.submit, inquiries), return_exceptions=True)

    def nothing_is_left(self) -> None:
        assert self.metrics.series(INQUIRIES_IN_FLIGHT).value == 0
        assert [self.metrics.series(QUEUE_DEPTH, stage=stage).value for stage in STAGES] == [0, 0]

    def processed(self, status: str) -> float:
        return self.metrics.series(INQUIRIES_PROCESSED, status=status).value


def inquiries(count: int = 8, bad: int | None = None) -> list[Inquiry]:
    return [sample_inquiry(body=BAD if number == bad else f"text {number}") for number in range(count)]


async def test_what_is_answered_is_stored_and_each_stage_is_told_once_a_batch() -> None:
    bench, sent = Bench(), inquiries()
    async with bench.running():
        submissions = await bench.submit(sent)
    assert [submission.outcome.inquiry for submission in submissions] == sent
    assert [await bench.store.get(inquiry.inquiry_id) for inquiry in sent] == [each.outcome for each in submissions]
    assert [type(event) for event in bench.witness.events] == [Received, Classified, Routed, Stored]
    assert bench.processed("success") == 8
    assert bench.workload.open_inquiries == {"Finance Team A": 8}


async def test_an_inquiry_that_no_classifier_can_read_fails_alone() -> None:
    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        if any(text.body == BAD for text in texts):
            raise ValueError(BAD)
        return [sample_verdict() for _ in texts]

    bench = Bench(classifier=FunctionClassifier(classify))
    async with bench.running():
        answers = await bench.submit(inquiries(bad=3))
    assert [isinstance(answer, TriageFailed) for answer in answers] == [number == 3 for number in range(8)]
    assert bench.witness.failures() == [("classify", 1)]
    assert (bench.processed("success"), bench.processed("failed")) == (7, 1)


async def _raise(inquiry: Inquiry, route: Route) -> Route:
    if inquiry.body == BAD:
        raise ValueError(inquiry.body)
    return route


def _instead(**changes: Any) -> Callable[[Inquiry, Route], Awaitable[Any]]:
    async def change(inquiry: Inquiry, route: Route) -> Any:
        return replace(route, **changes) if inquiry.body == BAD else route

    return change


async def _nothing(inquiry: Inquiry, route: Route) -> Any:
    return None if inquiry.body == BAD else route


@pytest.mark.parametrize(
    "change",
    [_raise, _nothing, _instead(department="kitchen"), _instead(priority_score=float("nan"))],
    ids=["raises", "nothing", "unknown department", "NaN"],
)
async def test_an_inquiry_that_the_router_fails_over_fails_alone(
    change: Callable[[Inquiry, Route], Awaitable[Any]],
) -> None:
    bench = Bench(router=GivenRouter(change))
    async with bench.running():
        answers = await bench.submit(inquiries(bad=3))
    assert [isinstance(answer, TriageFailed) for answer in answers] == [number == 3 for number in range(8)]
    assert bench.witness.failures() == [("route", 1)]


async def test_a_row_that_cannot_be_written_fails_alone() -> None:
    bench = Bench()
    async with bench.running():
        answers = await bench.submit(inquiries(bad=3))
    assert [isinstance(answer, TriageFailed) for answer in answers] == [number == 3 for number in range(8)]
    assert bench.witness.failures() == [("store", 1)]
    assert bench.workload.open_inquiries == {"Finance Team A": 7}


async def test_what_was_stored_of_a_batch_before_the_store_went_away_is_answered_and_counted() -> None:
    bench = Bench()
    bench.store.leaves = True
    async with bench.running():
        answers = await bench.submit(inquiries(bad=7))
    assert [isinstance(answer, StoreUnavailable) for answer in answers] == [number > 3 for number in range(8)], answers
    assert (bench.processed("success"), bench.processed("failed")) == (4, 4)
    assert bench.workload.open_inquiries == {"Finance Team A": 4}


async def test_a_router_that_hangs_is_told_of_and_left_behind() -> None:
    hanging = True

    async def change(inquiry: Inquiry, route: Route) -> Route:
        if hanging:
            await asyncio.Event().wait()
        return route

    bench = Bench(router=GivenRouter(change), deadline_s=2.0)
    async with bench.running():
        answers = await bench.submit(inquiries(5 * 16))
        assert {type(answer) for answer in answers} == {Unavailable}, "the store is well"
        hanging = False
        answers = await bench.submit(inquiries())
        while any(isinstance(answer, Unavailable) for answer in answers):  # the batch before may be on its way still
            answers = await bench.submit(inquiries())
    assert ("route", 16) in bench.witness.failures()


async def test_of_a_text_that_is_only_classified_nobody_says_that_the_store_is_to_blame_for_its_being_late() -> None:
    async def hang(texts: Sequence[Text]) -> Sequence[Verdict]:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    bench = Bench(classifier=FunctionClassifier(hang), deadline_s=0.01)
    async with bench.running():
        with pytest.raises(Unavailable) as told:
            await bench.pipeline.classify(Text("", "text"))
    assert type(told.value) is Unavailable


async def test_a_store_that_is_away_fails_the_batch_at_once_and_the_next_one_when_it_is_back_does_well() -> None:
    bench = Bench()
    bench.store.away = True
    async with bench.running():
        answers = await bench.submit(inquiries())
        assert all(isinstance(answer, StoreUnavailable) for answer in answers), answers
        bench.store.away = False
        assert not any(isinstance(answer, Exception) for answer in await bench.submit(inquiries()))
    assert bench.witness.failures() == [("store", 8)]
    assert (bench.processed("success"), bench.processed("failed")) == (8, 8)


async def test_a_store_that_is_stuck_is_waited_for_until_the_deadline_only() -> None:
    bench = Bench()
    bench.store.unstuck.clear()
    async with bench.running():
        answers = await bench.submit(inquiries(40))
        assert all(isinstance(answer, StoreUnavailable) for answer in answers), answers
        bench.nothing_is_left()
        bench.store.unstuck.set()
        assert not any(isinstance(answer, Exception) for answer in await bench.submit(inquiries()))


async def test_a_caller_who_hangs_up_mid_queue_is_not_stored_and_disturbs_nobody() -> None:
    bench, sent = Bench(), inquiries(60)
    bench.store.unstuck.clear()
    async with bench.running():
        callers = [asyncio.create_task(bench.pipeline.submit(inquiry)) for inquiry in sent]
        while bench.metrics.series(QUEUE_DEPTH, stage="store").value == 0:  # noqa: ASYNC110 (no event tells it)
            await asyncio.sleep(0)
        for caller in callers[1::3]:
            caller.cancel()
        bench.store.unstuck.set()
        answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [n % 3 == 1 for n in range(60)]
    assert not any(isinstance(answer, Exception) for answer in answers)
    assert await bench.store.get(sent[-2].inquiry_id) is None, "it was stored though its caller had left the queue"


async def test_who_submits_without_a_task_is_told_once_and_holds_a_place_until_then() -> None:
    bench, told = Bench(), dict[str, list[Any]]()
    bench.store.unstuck.clear()

    def begin(inquiry: Inquiry) -> Any:
        return bench.pipeline.submit_soon(inquiry, told.setdefault(inquiry.inquiry_id, []).append)

    async with bench.running():
        working, left, waiting = sample_inquiry(), sample_inquiry(), sample_inquiry()
        begin(working)
        while not any(isinstance(event, Routed) for event in bench.witness.events):  # noqa: ASYNC110 (nor this)
            await asyncio.sleep(0)
        leaving = begin(left)
        begin(waiting)
        while bench.metrics.series(QUEUE_DEPTH, stage="store").value < 2:  # noqa: ASYNC110 (no event tells it)
            await asyncio.sleep(0)
        leaving.cancel()
        leaving.cancel()
        assert bench.metrics.series(INQUIRIES_IN_FLIGHT).value == 2
        assert not told[working.inquiry_id]
        bench.store.unstuck.set()
        last = await bench.pipeline.submit(sample_inquiry())
        assert not last.replayed
    [[stored], [gone], [after]] = (told[each.inquiry_id] for each in (working, left, waiting))
    assert isinstance(gone, asyncio.CancelledError)
    assert [await bench.store.get(each.outcome.inquiry.inquiry_id) for each in (stored, after)] == [
        stored.outcome,
        after.outcome,
    ]
    assert await bench.store.get(left.inquiry_id) is None
    assert (bench.processed("success"), bench.processed("failed")) == (3, 0)


async def test_who_submits_without_a_task_is_told_of_a_store_that_is_stuck() -> None:
    bench, told = Bench(), list[Any]()
    bench.store.unstuck.clear()
    async with bench.running():
        bench.pipeline.submit_soon(sample_inquiry(), told.append)
        async with asyncio.timeout(30):
            while not told:  # noqa: ASYNC110 (told by the clock)
                await asyncio.sleep(0.01)
        bench.nothing_is_left()
        bench.store.unstuck.set()
    assert [type(each) for each in told] == [StoreUnavailable]
    assert bench.processed("failed") == 1


async def test_the_deadline_of_the_pipeline_never_hides_that_the_caller_was_cancelled() -> None:
    bench = Bench()
    bench.store.unstuck.clear()
    async with bench.running():
        caller = asyncio.create_task(bench.pipeline.submit(sample_inquiry()))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        assert caller.cancelled()
        bench.store.unstuck.set()


async def test_a_key_used_again_gives_the_first_outcome_and_for_another_payload_it_is_refused() -> None:
    bench = Bench()
    first, again, other = (
        sample_inquiry(idempotency_key=IdempotencyKey("key", fingerprint)) for fingerprint in ("a", "a", "b")
    )
    async with bench.running():
        submission = await bench.pipeline.submit(first)
        replay = await bench.pipeline.submit(again)
        assert (submission.replayed, replay.replayed) == (False, True)
        assert replay.outcome == submission.outcome
        with pytest.raises(IdempotencyKeyReused):
            await bench.pipeline.submit(other)
    assert bench.processed("success") == 1
    assert bench.metrics.series(INQUIRIES_REPLAYED).value == 1


# The audit


async def test_what_chance_picks_is_looked_at_whatever_the_answer_and_the_others_are_left_alone() -> None:
    bench = Bench(audit_share=0.5)
    async with bench.running():
        sent = inquiries(200)
        submissions = [await bench.pipeline.submit(inquiry) for inquiry in sent]
    predictions = [submission.outcome.prediction for submission in submissions]
    audited = [each.review_reasons == ("audit",) for each in predictions]
    assert [each.needs_review for each in predictions] == audited
    assert 60 < sum(audited) < 140, "half of 200, give or take"
    policy = ReviewPolicy(ReviewSettings(audit_share=0.5))
    assert audited == [policy.audits(inquiry.inquiry_id) for inquiry in sent]


async def test_what_is_only_classified_is_never_audited() -> None:
    bench = Bench(audit_share=1.0)
    async with bench.running():
        assert not (await bench.pipeline.classify(Text("", "text"))).needs_review
