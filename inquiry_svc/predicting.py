"""Texts to predictions, whatever happens: remembered -> classified -> or the fallback answers.

A cache that fails is gone without. A classifier that raises over one text gives that text alone to the fallback; one
that does not answer in time is rested for a while and the fallback answers for it. Nothing of this is silent: it is
counted, and a prediction by the fallback says so and asks for review.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from inquiry_svc.batching import isolate
from inquiry_svc.catalogue import CACHE_LOOKUPS, CLASSIFIER_FALLBACKS, MODEL_INFERENCE_DURATION
from inquiry_svc.contracts import Cache, Classifier
from inquiry_svc.errors import TriageFailed, Unavailable
from inquiry_svc.inquiries import AXES, CATEGORIES, SENTIMENTS, URGENCIES, Label, Model, Prediction, Text, Verdict
from inquiry_svc.metrics import HistogramSeries, Metrics
from inquiry_svc.verdict_cache import VerdictCodec

logger = logging.getLogger(__name__)

Content: TypeAlias = tuple[str, str]
"""What decides a prediction: subject and body."""

_PROBE: Final = Text("", "Is the classifier there?")
_SCORES: Final = sum(map(len, AXES.values()))
_TOLERANCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Predictions:
    """A prediction or an exception for each text, in order; `from_cache` of them were remembered."""

    results: Sequence[Prediction | Exception]
    from_cache: int


class Predictor:
    def __init__(
        self,
        *,
        classifier: Classifier,
        fallback: Classifier,
        cache: Cache | None,
        metrics: Metrics,
        timeout_s: float,
        rest_s: float,
        cache_timeout_s: float,
        review_below: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_s` bounds one call to a classifier; after a time-out the first is not called for `rest_s`.

        Without a cache no keys are made, and no lookups are counted.
        """
        self._classifier = classifier
        self._fallback = fallback
        self._cache = cache
        self._codec = VerdictCodec(classifier.model)
        self._timeout_s = timeout_s
        self._rest_s = rest_s
        self._cache_timeout_s = cache_timeout_s
        self._review_below = review_below
        self._clock = clock
        self._resting_until = -1.0
        self._cache_lost: set[str] = set()
        self._turn = asyncio.Lock()
        """Held during a call to the first classifier: its contract promises one call at a time."""
        self._lookups = {
            result: metrics.series(CACHE_LOOKUPS, result=result) for result in ("hit", "miss", "invalid", "error")
        }
        self._fallbacks = {
            reason: metrics.series(CLASSIFIER_FALLBACKS, reason=reason) for reason in ("error", "timeout", "resting")
        }
        self._inference_s = metrics.series(MODEL_INFERENCE_DURATION, model_name=classifier.model.name)
        self._fallback_inference_s = metrics.series(MODEL_INFERENCE_DURATION, model_name=fallback.model.name)

    async def predict(self, texts: Sequence[Text]) -> Predictions:
        """A prediction for each text. Identical texts are classified once. Not to be called concurrently."""
        contents = [(text.subject, text.body) for text in texts]
        distinct = dict(zip(contents, texts, strict=True))
        if self._cache is None:
            known = dict(zip(distinct, await self._classified(list(distinct.values())), strict=True))
            return Predictions([known[content] for content in contents], from_cache=0)
        return await self._predicted_with(self._cache, contents, distinct)

    async def _predicted_with(
        self, cache: Cache, contents: Sequence[Content], distinct: Mapping[Content, Text]
    ) -> Predictions:
        keys = {content: self._codec.key(text) for content, text in distinct.items()}
        remembered = await self._remembered(cache, list(keys.values()))
        known: dict[Content, Prediction | Exception] = {
            content: remembered[key] for content, key in keys.items() if key in remembered
        }
        from_cache = sum(content in known for content in contents)
        missing = [content for content in distinct if content not in known]
        if missing:
            known |= zip(missing, await self._classified([distinct[content] for content in missing]), strict=True)
            await self._remember(cache, {keys[content]: known[content] for content in missing})
        return Predictions([known[content] for content in contents], from_cache)

    # Remembering

    async def _remembered(self, cache: Cache, keys: list[bytes]) -> dict[bytes, Prediction]:
        try:
            async with asyncio.timeout(self._cache_timeout_s):
                values = await cache.get_many(keys)
            if len(values) != len(keys):
                raise ValueError(f"the cache gave {len(values)} values for {len(keys)} keys")
        except Exception as error:
            self._lookups["error"].inc(len(keys))
            self._note_cache("reading", error)
            return {}
        self._note_cache("reading", None)
        found: dict[bytes, Prediction] = {}
        for key, value in zip(keys, values, strict=True):
            verdict = self._codec.verdict(key, value) if isinstance(value, bytes) else None
            if verdict is not None:
                found[key] = self._prediction(verdict)
            self._lookups["hit" if verdict else "miss" if value is None else "invalid"].inc()
        return found

    async def _remember(self, cache: Cache, results: dict[bytes, Prediction | Exception]) -> None:
        values = {
            key: self._codec.value(key, result.verdict)
            for key, result in results.items()
            if isinstance(result, Prediction) and not result.degraded
        }
        if not values:
            return
        try:
            async with asyncio.timeout(self._cache_timeout_s):
                await cache.put_many(values)
        except Exception as error:
            self._note_cache("writing", error)
        else:
            self._note_cache("writing", None)

    def _note_cache(self, what: str, error: Exception | None) -> None:
        """Say it once when the cache is lost and once when it is back: there are hundreds of batches a second."""
        if error is not None and what not in self._cache_lost:
            self._cache_lost.add(what)
            logger.warning("%s the cache failed; going on without it", what, exc_info=error)
        elif error is None and what in self._cache_lost:
            self._cache_lost.remove(what)
            logger.info("%s the cache works again", what)

    # Classifying

    async def _classified(self, texts: Sequence[Text]) -> Sequence[Prediction | Exception]:
        verdicts = await self._by_classifier(texts)
        left = [text for text, verdict in zip(texts, verdicts, strict=True) if verdict is None]
        answers = iter(await self._by_fallback(left) if left else ())
        return [next(answers) if verdict is None else self._prediction(verdict) for verdict in verdicts]

    async def _by_classifier(self, texts: Sequence[Text]) -> Sequence[Verdict | None]:
        """A verdict for each text, None where the fallback must answer."""
        nothing: list[Verdict | None] = [None] * len(texts)
        if self._clock() < self._resting_until:
            self._fallbacks["resting"].inc(len(texts))
            return nothing
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                results = await isolate(self._call_classifier, texts)
        except (TimeoutError, Unavailable) as error:
            self._resting_until = self._clock() + self._rest_s
            self._fallbacks["timeout"].inc(len(texts))
            logger.error("the classifier did not answer; resting it for %g s", self._rest_s, exc_info=error)
            return nothing
        for result in results:
            if isinstance(result, Exception):
                self._fallbacks["error"].inc()
                logger.error("the classifier raised over one text; the fallback answers", exc_info=result)
        return [None if isinstance(result, Exception) else result for result in results]

    async def _by_fallback(self, texts: Sequence[Text]) -> Sequence[Prediction | Exception]:
        try:
            async with asyncio.timeout(self._timeout_s):
                results = await isolate(self._call_fallback, texts)
        except (TimeoutError, Unavailable) as error:
            failure = Unavailable("neither classifier answered in time")
            failure.__cause__ = error
            return [failure] * len(texts)
        return [self._prediction_by_fallback(result) for result in results]

    async def _call_classifier(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        return await _timed_call(self._classifier, texts, self._inference_s)

    async def _call_fallback(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        return await _timed_call(self._fallback, texts, self._fallback_inference_s)

    def _prediction(self, verdict: Verdict) -> Prediction:
        return prediction_of(verdict, self._classifier.model, review_below=self._review_below)

    def _prediction_by_fallback(self, result: Verdict | Exception) -> Prediction | Exception:
        if isinstance(result, Exception):
            failure = TriageFailed("no classifier could read this text")
            failure.__cause__ = result
            return failure
        return Prediction(result, self._fallback.model, needs_review=True, degraded=("classifier",))

    # Being asked

    async def check_classifier(self) -> None:
        """Raise unless the first classifier reads a text now."""
        if self._clock() < self._resting_until:
            raise Unavailable("the classifier did not answer in time and is being rested")
        async with self._turn:
            await self._call_classifier([_PROBE])

    async def check_fallback(self) -> None:
        """Raise unless the fallback reads a text now."""
        await self._call_fallback([_PROBE])


def prediction_of(verdict: Verdict, model: Model, *, review_below: float) -> Prediction:
    """The verdict as a prediction: a person should look where the category is less sure than `review_below`."""
    return Prediction(verdict, model, needs_review=verdict.category.confidence < review_below)


async def _timed_call(classifier: Classifier, texts: Sequence[Text], duration_s: HistogramSeries) -> Sequence[Verdict]:
    started = time.perf_counter()
    verdicts = await classifier.classify(texts)
    duration_s.observe(time.perf_counter() - started)
    for verdict in verdicts:
        _refuse_nonsense(verdict)
    return verdicts


def _refuse_nonsense(verdict: Verdict) -> None:
    """Raise unless these are plain, finite probabilities and the likeliest labels by them.

    A NaN or a NumPy scalar let through here would spoil sums in the metrics and JSON in the answer; a label that the
    scores don't give would change once the scores are remembered.
    """
    scores = verdict.scores
    total = sum(scores)
    if (
        type(total) is not float
        or type(scores) is not tuple
        or len(scores) != _SCORES
        or not abs(total - len(AXES)) < _TOLERANCE
        or not min(scores) >= 0
        or not _is_likeliest(verdict.category, CATEGORIES, scores[:6])
        or not _is_likeliest(verdict.sentiment, SENTIMENTS, scores[6:9])
        or not _is_likeliest(verdict.urgency, URGENCIES, scores[9:])
    ):
        raise ValueError("the classifier gave something that is not a verdict: see Verdict.from_scores")


def _is_likeliest(label: Label, labels: tuple[str, ...], scores: tuple[float, ...]) -> bool:
    best = max(scores)
    return type(label.confidence) is float and label.confidence == best and label.label == labels[scores.index(best)]
