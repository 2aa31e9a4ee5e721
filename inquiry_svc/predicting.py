"""Texts to predictions, whatever happens: remembered -> classified -> or the fallback answers.

A cache that fails is gone without. A model that raises over one text gives that text alone to the next one; one that
does not answer in time is rested for a while and the next one answers for it. After a challenger that is the champion,
after the champion the fallback. Nothing of this is silent: it is counted, and a prediction by the fallback says so and
asks for review.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from msgspec.structs import replace

from inquiry_svc.batching import isolate
from inquiry_svc.catalogue import CACHE_LOOKUPS, CLASSIFIER_FALLBACKS
from inquiry_svc.contracts import Cache
from inquiry_svc.errors import TriageFailed, Unavailable
from inquiry_svc.inquiries import Model, Prediction, Text, Verdict
from inquiry_svc.metrics import CounterSeries, Metrics
from inquiry_svc.models.open_models import CandidateSeries, LineUp, OpenModel, OpenModels
from inquiry_svc.models.second_opinions import SecondOpinions
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.told_to_stop import told_to_stop

logger = logging.getLogger(__name__)

Content: TypeAlias = tuple[str, str]
"""What decides a prediction: subject and body."""
Results: TypeAlias = dict[Content, Prediction | Exception]

_PROBE: Final = Text("", "Is the classifier there?")


@dataclass(frozen=True, slots=True)
class Predictions:
    """A prediction or an exception for each text, in order; `from_cache` of them were remembered."""

    results: Sequence[Prediction | Exception]
    from_cache: int


class Predictor:
    def __init__(
        self,
        *,
        models: OpenModels,
        fallback: OpenModel,
        second_opinions: SecondOpinions,
        cache: Cache | None,
        metrics: Metrics,
        timeout_s: float,
        rest_s: float,
        cache_timeout_s: float,
        policy: ReviewPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_s` bounds one call to a model; after a time-out it is not called for `rest_s`.

        Without a cache no keys are made, and no lookups are counted.
        """
        self._models = models
        self._fallback = fallback
        self._second_opinions = second_opinions
        self._cache = cache
        self._timeout_s = timeout_s
        self._rest_s = rest_s
        self._cache_timeout_s = cache_timeout_s
        self._policy = policy
        self._clock = clock
        self._cache_lost: set[str] = set()
        self._lookups = {
            result: metrics.series(CACHE_LOOKUPS, result=result) for result in ("hit", "miss", "invalid", "error")
        }
        self._fallbacks = {
            reason: metrics.series(CLASSIFIER_FALLBACKS, reason=reason) for reason in ("error", "timeout", "resting")
        }
        self._challenger = CandidateSeries(metrics, "challenger")
        self._challenger_misses = dict.fromkeys(self._fallbacks, self._challenger.failed)

    async def predict(self, texts: Sequence[Text]) -> Predictions:
        """A prediction for each text. Identical texts are classified once. Not to be called concurrently."""
        contents = [(text.subject, text.body) for text in texts]
        distinct = dict(zip(contents, texts, strict=True))
        with self._models.held() as line_up:
            models = dict(zip(distinct, line_up.answering(list(distinct.values())), strict=True))
            if self._cache is None:
                known = await self._classified(line_up, distinct, models)
                from_cache = 0
            else:
                keys = {content: model.codec.key(distinct[content]) for content, model in models.items()}
                known = await self._remembered(self._cache, keys, models)
                from_cache = sum(content in known for content in contents)
                missing = {content: text for content, text in distinct.items() if content not in known}
                if missing:
                    found = await self._classified(line_up, missing, models)
                    await self._remember(self._cache, found, keys, models)
                    known |= found
        return Predictions([known[content] for content in contents], from_cache)

    # Remembering

    async def _remembered(
        self, cache: Cache, keys: Mapping[Content, bytes], models: Mapping[Content, OpenModel]
    ) -> Results:
        """Those that are known, of the model that would answer."""
        try:
            async with asyncio.timeout(self._cache_timeout_s):
                values = await cache.get_many(list(keys.values()))
            if len(values) != len(keys):
                raise ValueError(f"the cache gave {len(values)} values for {len(keys)} keys")
        except (Exception, asyncio.CancelledError) as error:
            if told_to_stop():
                raise asyncio.CancelledError from error
            self._lookups["error"].inc(len(keys))
            self._note_cache("reading", error)
            return {}
        self._note_cache("reading", None)
        found: Results = {}
        for (content, key), value in zip(keys.items(), values, strict=True):
            model = models[content]
            verdict = model.codec.verdict(key, value) if isinstance(value, bytes) else None
            if verdict is not None:
                found[content] = prediction_of(verdict, model.model, self._policy, model.review_below)
            self._lookups["hit" if verdict else "miss" if value is None else "invalid"].inc()
        return found

    async def _remember(
        self, cache: Cache, results: Results, keys: Mapping[Content, bytes], models: Mapping[Content, OpenModel]
    ) -> None:
        """But for what another model had to answer, or the model without a part of itself."""
        values = {
            keys[content]: models[content].codec.value(keys[content], result.verdict)
            for content, result in results.items()
            if isinstance(result, Prediction) and result.model == models[content].model and not result.degraded
        }
        if not values:
            return
        try:
            async with asyncio.timeout(self._cache_timeout_s):
                await cache.put_many(values)
        except (Exception, asyncio.CancelledError) as error:
            if told_to_stop():
                raise asyncio.CancelledError from error
            self._note_cache("writing", error)
        else:
            self._note_cache("writing", None)

    def _note_cache(self, what: str, error: BaseException | None) -> None:
        """Say it once when the cache is lost and once when it is back: there are hundreds of batches a second."""
        if error is not None and what not in self._cache_lost:
            self._cache_lost.add(what)
            logger.warning("%s the cache failed; going on without it", what, exc_info=error)
        elif error is None and what in self._cache_lost:
            self._cache_lost.remove(what)
            logger.info("%s the cache works again", what)

    # Classifying

    async def _classified(
        self, line_up: LineUp, missing: Mapping[Content, Text], models: Mapping[Content, OpenModel]
    ) -> Results:
        found: Results = {}
        if (challenger := line_up.challenger) is not None:
            its_share = {content: text for content, text in missing.items() if models[content] is challenger}
            found |= await self._by_model(challenger, its_share, self._challenger_misses, self._challenger)
        left = _without(missing, found)
        by_champion = await self._by_model(line_up.champion, left, self._fallbacks)
        self._second_opinions.ask_for(line_up, left, by_champion)
        found |= by_champion
        if len(found) < len(missing):
            left = _without(left, found)
            found |= zip(left, await self._by_fallback(list(left.values())), strict=True)
        return found

    async def _by_model(
        self,
        model: OpenModel,
        texts: Mapping[Content, Text],
        misses: Mapping[str, CounterSeries],
        candidate: CandidateSeries | None = None,
    ) -> dict[Content, Prediction]:
        """Without those that another model must answer, which are counted in `misses`."""
        if not texts:
            return {}
        if self._clock() < model.resting_until:
            misses["resting"].inc(len(texts))
            return {}
        try:
            async with asyncio.timeout(self._timeout_s):
                results = await isolate(partial(model.classify, candidate=candidate), list(texts.values()))
        except (TimeoutError, Unavailable) as error:
            model.resting_until = self._clock() + self._rest_s
            misses["timeout"].inc(len(texts))
            logger.error("the classifier did not answer; resting it for %g s", self._rest_s, exc_info=error)
            return {}
        for result in results:
            if isinstance(result, Exception):
                misses["error"].inc()
                logger.error("the classifier raised over one text; another answers", exc_info=result)
        said_by, policy, review_below = model.model, self._policy, model.review_below
        return {
            content: prediction_of(result, said_by, policy, review_below)
            for content, result in zip(texts, results, strict=True)
            if isinstance(result, Verdict)
        }

    async def _by_fallback(self, texts: Sequence[Text]) -> Sequence[Prediction | Exception]:
        try:
            async with asyncio.timeout(self._timeout_s):
                results = await isolate(self._fallback.classify, texts)
        except (TimeoutError, Unavailable) as error:
            failure = Unavailable("neither classifier answered in time")
            failure.__cause__ = error
            return [failure] * len(texts)
        return [self._prediction_by_fallback(result) for result in results]

    def _prediction_by_fallback(self, result: Verdict | Exception) -> Prediction | Exception:
        if isinstance(result, Exception):
            failure = TriageFailed("no classifier could read this text")
            failure.__cause__ = result
            return failure
        return Prediction(
            result, self._fallback.model, needs_review=True, degraded=("classifier",), review_reasons=("degraded",)
        )

    # Being asked

    async def check_classifier(self) -> None:
        """Raise unless the champion reads a text now."""
        with self._models.held() as line_up:
            if self._clock() < line_up.champion.resting_until:
                raise Unavailable("the classifier did not answer in time and is being rested")
            await line_up.champion.classify([_PROBE])

    async def check_fallback(self) -> None:
        """Raise unless the fallback reads a text now."""
        await self._fallback.classify([_PROBE])


def _without(texts: Mapping[Content, Text], found: Results) -> Mapping[Content, Text]:
    return {content: text for content, text in texts.items() if content not in found} if found else texts


def prediction_of(
    verdict: Verdict, model: Model, policy: ReviewPolicy, review_below: Mapping[str, float]
) -> Prediction:
    """The verdict as a prediction: a person should look where the policy has a reason."""
    reasons = policy.reasons(verdict, review_below)
    degraded = verdict.degraded
    if degraded:
        verdict = replace(verdict, degraded=())  # said of the prediction, and kept with that
    return Prediction(verdict, model, needs_review=bool(reasons), degraded=degraded, review_reasons=reasons)
