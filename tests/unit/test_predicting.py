"""Whatever the cache and the classifiers do, a text gets its prediction, and what went wrong is counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from inquiry_svc.catalogue import CACHE_LOOKUPS, CANDIDATE_TEXTS, CLASSIFIER_FALLBACKS, OWN_METRICS
from inquiry_svc.contracts import Cache, Classifier
from inquiry_svc.errors import TriageFailed, Unavailable
from inquiry_svc.inquiries import Label, Model, Prediction, Text, Verdict
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.open_models import LineUp, OpenModel, OpenModels
from inquiry_svc.models.second_opinions import SecondOpinions
from inquiry_svc.predicting import Predictor
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import ReviewSettings
from inquiry_svc.testing.providers import Classify, FunctionClassifier
from inquiry_svc.testing.samples import sample_verdict

TEXTS = [Text("", f"text {number}") for number in range(8)]
FALLBACK = Model("stand-in", "1", "f" * 32)


class RememberingCache:
    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return [self.kept.get(key) for key in keys]

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        self.kept.update(values)

    async def check(self) -> None:
        """It always works."""


class BrokenCache(RememberingCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        raise ConnectionError("gone")

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        raise ConnectionError("gone")


class StuckCache(RememberingCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        await asyncio.Event().wait()
        return []

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        await asyncio.Event().wait()


class CutOffCache(RememberingCache):
    """What it waits for is cancelled, as a client library may do by itself."""

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        raise asyncio.CancelledError

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        raise asyncio.CancelledError


class ShortCache(RememberingCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return [None]


class LyingCache(RememberingCache):
    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        return [b"\0" * 112 for _ in keys]


class StandIn(FunctionClassifier):
    def __init__(self, classify: Classify | None = None) -> None:
        super().__init__(classify)
        self.model = FALLBACK


class Bench:
    def __init__(
        self,
        classifier: Classifier,
        *,
        fallback: Classifier | None = None,
        cache: Cache | None = None,
        cached: bool = True,
    ) -> None:
        self.metrics = Metrics(OWN_METRICS)
        self.now = 0.0
        self.models = models = OpenModels(LineUp(OpenModel(classifier, self.metrics)))
        self.predictor = Predictor(
            models=models,
            fallback=OpenModel(fallback or StandIn(), self.metrics),
            second_opinions=SecondOpinions(models, self.metrics, nobody_waits=lambda: False, timeout_s=1.0),
            cache=(cache or RememberingCache()) if cached else None,
            metrics=self.metrics,
            timeout_s=0.05,
            rest_s=5.0,
            cache_timeout_s=0.02,
            policy=ReviewPolicy(ReviewSettings()),
            clock=lambda: self.now,
        )

    async def predict(self, texts: Sequence[Text] = TEXTS) -> list[Prediction]:
        results = (await self.predictor.predict(texts)).results
        assert all(isinstance(result, Prediction) for result in results), results
        return [result for result in results if isinstance(result, Prediction)]

    def fallbacks(self, reason: str) -> float:
        return self.metrics.series(CLASSIFIER_FALLBACKS, reason=reason).value

    def lookups(self, result: str) -> float:
        return self.metrics.series(CACHE_LOOKUPS, result=result).value


def failing_over(bad: Text) -> FunctionClassifier:
    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        if bad in texts:
            raise ValueError(bad.body)
        return [sample_verdict("sales") for _ in texts]

    return FunctionClassifier(classify)


async def hang(texts: Sequence[Text]) -> Sequence[Verdict]:
    await asyncio.Event().wait()
    return []


def stand_in_answered(prediction: Prediction) -> bool:
    told = prediction.degraded == ("classifier",) and prediction.review_reasons == ("degraded",)
    assert prediction.needs_review == bool(prediction.review_reasons)
    assert told == (prediction.model == FALLBACK), "a stand-in's answer must say so, and no other may"
    return told


# The classifier


async def test_a_text_that_makes_the_classifier_raise_alone_gets_the_fallback() -> None:
    bench = Bench(failing_over(TEXTS[3]))
    predictions = await bench.predict()
    assert [stand_in_answered(prediction) for prediction in predictions] == [text is TEXTS[3] for text in TEXTS]
    assert bench.fallbacks("error") == 1


def _spoilt(change: Callable[[Verdict], Any]) -> Classify:
    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        verdicts: list[Any] = [sample_verdict() for _ in texts]
        return [change(verdict) if text is TEXTS[3] else verdict for text, verdict in zip(texts, verdicts, strict=True)]

    return classify


@pytest.mark.parametrize(
    "change",
    [
        lambda verdict: Verdict.from_scores([float("nan"), *verdict.scores[1:]]),
        lambda verdict: Verdict.from_scores([float("inf"), *verdict.scores[1:]]),
        lambda verdict: Verdict.from_scores(
            [-1.0, *verdict.scores[1:5], verdict.scores[5] + 1.02, *verdict.scores[6:]]
        ),
        lambda verdict: Verdict.from_scores([np.float32(score) for score in verdict.scores]),  # type: ignore[misc]
        lambda verdict: Verdict.from_scores([np.float64(score) for score in verdict.scores]),
        lambda verdict: Verdict.from_scores([0.5 * score for score in verdict.scores]),
        lambda verdict: replace(verdict, scores=verdict.scores[:-1]),
        lambda verdict: replace(verdict, scores=list(verdict.scores)),
        lambda verdict: replace(verdict, category=Label("spam", 0.9)),
        lambda verdict: replace(verdict, category=Label("sales", 0.9)),
        lambda verdict: replace(verdict, category=Label("billing", np.float32(0.9))),  # type: ignore[arg-type]
        lambda verdict: replace(verdict, urgency=Label("medium", float("nan"))),
        lambda verdict: replace(verdict, evidence=float("nan")),
        lambda verdict: replace(verdict, evidence=1.5),
        lambda verdict: replace(verdict, evidence=np.float64(0.5)),
        lambda verdict: replace(verdict, evidence=None),
        lambda verdict: "billing",
        lambda verdict: None,
    ],
    ids=[
        *("NaN", "infinite", "negative", "float32", "float64", "halves", "short", "list", "unknown", "unlikely"),
        *("numpy-label", "nan-label", "nan-evidence", "much-evidence", "numpy-evidence", "no-evidence"),
        *("string", "nothing"),
    ],
)
async def test_nonsense_from_the_classifier_is_never_handed_on(change: Callable[[Verdict], Any]) -> None:
    bench = Bench(FunctionClassifier(_spoilt(change)))
    predictions = await bench.predict()
    assert [stand_in_answered(prediction) for prediction in predictions] == [text is TEXTS[3] for text in TEXTS]
    assert bench.fallbacks("error") == 1
    await bench.predict([TEXTS[3]])
    assert bench.fallbacks("error") == 2, "a stand-in's answer was remembered"


async def test_too_few_verdicts_are_nobodys_verdicts() -> None:
    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        return [sample_verdict() for _ in texts[1:]]

    bench = Bench(FunctionClassifier(classify))
    assert all(stand_in_answered(prediction) for prediction in await bench.predict())


async def test_a_classifier_that_hangs_is_answered_for_and_then_left_alone_for_a_while() -> None:
    classifier = FunctionClassifier(hang)
    bench = Bench(classifier)
    assert all(stand_in_answered(prediction) for prediction in await bench.predict())
    assert bench.fallbacks("timeout") == 8
    assert all(stand_in_answered(prediction) for prediction in await bench.predict())
    assert bench.fallbacks("resting") == 8
    with pytest.raises(Unavailable):
        await bench.predictor.check_classifier()
    assert len(classifier.batches) == 1, "it was not left alone"
    bench.now = 5.1
    await bench.predict()
    assert len(classifier.batches) == 2


async def test_a_hanging_health_check_does_not_add_to_the_wait() -> None:
    bench = Bench(FunctionClassifier(hang))
    check = asyncio.create_task(bench.predictor.check_classifier())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert all(stand_in_answered(prediction) for prediction in await bench.predict())
    check.cancel()
    await asyncio.gather(check, return_exceptions=True)
    assert bench.fallbacks("timeout") == 8


async def test_a_classifier_cancelled_from_within_is_answered_for() -> None:
    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        raise asyncio.CancelledError

    bench = Bench(FunctionClassifier(classify))
    assert all(stand_in_answered(prediction) for prediction in await bench.predict())


async def test_a_text_that_neither_classifier_can_read_fails_alone() -> None:
    bench = Bench(failing_over(TEXTS[3]), fallback=failing_over(TEXTS[3]))
    results = (await bench.predictor.predict(TEXTS)).results
    assert [isinstance(result, TriageFailed) for result in results] == [text is TEXTS[3] for text in TEXTS]


async def test_a_fallback_that_hangs_costs_only_those_who_needed_it() -> None:
    bench = Bench(failing_over(TEXTS[3]), fallback=StandIn(hang))
    results = (await bench.predictor.predict(TEXTS)).results
    assert [isinstance(result, Unavailable) for result in results] == [text is TEXTS[3] for text in TEXTS]


async def test_the_caller_of_predict_can_be_cancelled_and_the_classifier_is_free_again() -> None:
    called = asyncio.Event()

    async def call(texts: Sequence[Text]) -> Sequence[Verdict]:
        called.set()
        return await hang(texts)

    classifier = FunctionClassifier(call)
    bench = Bench(classifier)
    predicting = asyncio.create_task(bench.predictor.predict(TEXTS))
    await called.wait()
    predicting.cancel()
    await asyncio.gather(predicting, return_exceptions=True)
    assert predicting.cancelled()
    assert bench.fallbacks("timeout") == 0
    await bench.predict(TEXTS[:1])
    assert len(classifier.batches) == 2


# The cache


async def test_a_text_is_classified_once_and_remembered() -> None:
    classifier = FunctionClassifier()
    bench = Bench(classifier)
    first = await bench.predict([*TEXTS, *TEXTS])
    again = await bench.predictor.predict(TEXTS)
    assert [list(batch) for batch in classifier.batches] == [TEXTS]
    assert list(again.results) == first[:8] == first[8:]
    assert again.from_cache == 8
    assert bench.lookups("hit") == 8


async def test_what_a_classifier_had_to_do_without_is_told_and_the_answer_not_remembered() -> None:
    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        return [
            replace(sample_verdict(), degraded=("second classifier",) if text == TEXTS[0] else ()) for text in texts
        ]

    classifier = FunctionClassifier(classify)
    bench = Bench(classifier)
    for _ in range(2):
        told, untold = await bench.predict(TEXTS[:2])
        assert (told.degraded, told.needs_review, told.review_reasons) == (("second classifier",), True, ("degraded",))
        assert told.verdict == untold.verdict, "it is kept with the prediction"
        assert (untold.degraded, untold.needs_review) == ((), False)
    assert [list(batch) for batch in classifier.batches] == [TEXTS[:2], TEXTS[:1]]


async def test_without_a_cache_identical_texts_are_classified_once_and_nothing_is_looked_up() -> None:
    classifier = FunctionClassifier()
    bench = Bench(classifier, cached=False)
    alike = [Text("text 1", ""), Text("text", " 1"), Text("", "text 1")]
    again = [await bench.predictor.predict([*TEXTS, *TEXTS, *alike]) for _ in range(2)]
    assert [list(batch) for batch in classifier.batches] == 2 * [[*TEXTS, *alike[:2]]]
    assert [(len(each.results), each.from_cache) for each in again] == 2 * [(19, 0)]
    assert sum(map(bench.lookups, ("hit", "miss", "invalid", "error"))) == 0


async def test_without_a_cache_each_text_gets_its_own_prediction() -> None:
    urgent = Text("", "urgent")

    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        return [sample_verdict("legal" if text == urgent else "sales") for text in texts]

    bench = Bench(FunctionClassifier(classify), cached=False)
    predictions = await bench.predict([urgent, *TEXTS, urgent])
    labels = [prediction.verdict.category.label for prediction in predictions]
    assert labels == ["legal", *["sales"] * len(TEXTS), "legal"]


@pytest.mark.parametrize(
    ("cache", "counted"),
    [
        (BrokenCache(), "error"),
        (StuckCache(), "error"),
        (CutOffCache(), "error"),
        (ShortCache(), "error"),
        (LyingCache(), "invalid"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, RememberingCache) else "",
)
async def test_a_cache_that_is_gone_stuck_or_lying_is_gone_without_and_counted(cache: Cache, counted: str) -> None:
    classifier = FunctionClassifier()
    bench = Bench(classifier, cache=cache)
    assert not any(stand_in_answered(prediction) for prediction in await bench.predict())
    assert bench.lookups(counted) == 8
    assert len(classifier.batches) == 1


class ComingAndGoingCache(RememberingCache):
    away = True

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        await self.check()
        return await super().get_many(keys)

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        await self.check()
        await super().put_many(values)

    async def check(self) -> None:
        if self.away:
            raise ConnectionError("gone")


async def test_the_loss_of_a_cache_and_its_return_are_each_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cache = ComingAndGoingCache()
    bench = Bench(FunctionClassifier(), cache=cache)
    for cache.away in (True, True, True, False, False, False):
        await bench.predict()
    assert [record.message for record in caplog.records] == [
        "reading the cache failed; going on without it",
        "writing the cache failed; going on without it",
        "reading the cache works again",
        "writing the cache works again",
    ]


async def test_a_lone_surrogate_is_a_text_like_any_other() -> None:
    assert len(await Bench(FunctionClassifier()).predict([Text("\ud800", "\udfff"), *TEXTS])) == 9


# A challenger


class Canary(Bench):
    """Half of the texts are the challenger's."""

    def __init__(self, challenger: FunctionClassifier, *, cache: Cache | None = None) -> None:
        self.champion = FunctionClassifier(digest="1" * 32)
        super().__init__(self.champion, cache=cache)
        champion, other = (OpenModel(each, self.metrics) for each in (self.champion, challenger))
        self.models.line_up = LineUp(champion, other, canary_share=0.5)
        self.its_texts = [
            text for text, model in zip(TEXTS, self.models.line_up.answering(TEXTS), strict=True) if model is other
        ]
        assert 0 < len(self.its_texts) < len(TEXTS)

    def challenger_texts(self, result: str) -> float:
        return self.metrics.series(CANDIDATE_TEXTS, alias="challenger", result=result).value


def challenger_saying(category: str = "sales", *, failing_over: Sequence[Text] = ()) -> FunctionClassifier:
    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        if any(text in failing_over for text in texts):
            raise ValueError("no")
        return [sample_verdict(category) for _ in texts]

    return FunctionClassifier(classify, digest="2" * 32)


async def test_a_challenger_answers_its_share_and_says_so() -> None:
    bench = Canary(challenger_saying())
    predictions = await bench.predict()
    by_challenger = [text for text, each in zip(TEXTS, predictions, strict=True) if each.model.digest == "2" * 32]
    assert by_challenger == bench.its_texts
    assert {each.verdict.category.label for each in predictions if each.model.digest == "2" * 32} == {"sales"}
    assert bench.challenger_texts("classified") == len(bench.its_texts)


async def test_what_a_challenger_fails_over_the_champion_answers_and_nothing_is_degraded() -> None:
    bench = Canary(challenger_saying(failing_over=TEXTS))
    predictions = await bench.predict()
    assert {(each.model.digest, each.degraded) for each in predictions} == {("1" * 32, ())}
    assert bench.challenger_texts("failed") == len(bench.its_texts)
    assert bench.fallbacks("error") == 0


async def test_a_challenger_that_hangs_is_rested_and_counted_and_the_champion_answers() -> None:
    bench = Canary(FunctionClassifier(hang, digest="2" * 32))
    for _ in range(3):
        assert {each.model.digest for each in await bench.predict()} == {"1" * 32}
    assert bench.challenger_texts("failed") == 3 * len(bench.its_texts), "what it is spared counts too"
    assert not any(bench.fallbacks(reason) for reason in ("error", "timeout", "resting"))
    await bench.predictor.check_classifier()


async def test_neither_side_is_ever_given_the_others_answers_from_the_cache() -> None:
    cache = RememberingCache()
    with_canary = Canary(challenger_saying(), cache=cache)
    first = await with_canary.predict()
    assert await with_canary.predict() == first
    assert with_canary.lookups("hit") == len(TEXTS)
    with_canary.models.line_up = LineUp(with_canary.models.line_up.champion)
    without = await with_canary.predict()
    assert {each.model.digest for each in without} == {"1" * 32}
    assert {each.verdict.category.label for each in without} == {"billing"}
    assert with_canary.lookups("hit") == 2 * len(TEXTS) - len(with_canary.its_texts)


async def test_what_the_champion_answered_in_its_place_is_not_remembered_as_the_challengers() -> None:
    failing = list(TEXTS)
    bench = Canary(challenger_saying(failing_over=failing))
    await bench.predict()
    failing.clear()
    predictions = await bench.predict()
    assert sum(each.model.digest == "2" * 32 for each in predictions) == len(bench.its_texts)
