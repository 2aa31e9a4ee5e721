"""The models that are open, what each is for, and who still asks them: so that one can be swapped under load.

Whoever asks holds the line-up that was there when it began, and ends with it. Another line-up takes its place in one
assignment, and a model that is in it no more is closed when the last holder of the old one has let go.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from inquiry_svc.catalogue import (
    CANDIDATE_CONFIDENCE,
    CANDIDATE_DURATION,
    CANDIDATE_TEXTS,
    MODEL_INFERENCE_DURATION,
)
from inquiry_svc.contracts import Classifier
from inquiry_svc.inquiries import AXES, CATEGORIES, SENTIMENTS, URGENCIES, Model, Text, Verdict
from inquiry_svc.metrics import Metrics
from inquiry_svc.reviewing import own_thresholds
from inquiry_svc.traced import TracedClassifier
from inquiry_svc.tracing import Tracer
from inquiry_svc.verdict_cache import VerdictCodec

_SCORES: Final = sum(map(len, AXES.values()))
_AXES: Final = len(AXES)
_TOLERANCE: Final = 0.01


class CandidateSeries:
    """What is counted of a challenger or a shadow, besides what is counted of every model."""

    def __init__(self, metrics: Metrics, alias: str) -> None:
        self.duration_s = metrics.series(CANDIDATE_DURATION, alias=alias)
        self.confidence = metrics.series(CANDIDATE_CONFIDENCE, alias=alias)
        self.classified = metrics.series(CANDIDATE_TEXTS, alias=alias, result="classified")
        self.failed = metrics.series(CANDIDATE_TEXTS, alias=alias, result="failed")


class OpenModel:
    """A classifier that is open, asked as its contract says, and never trusted."""

    def __init__(
        self, classifier: Classifier, metrics: Metrics, tracer: Tracer | None = None, *, span: str = "classifier"
    ) -> None:
        """With a tracer, each call becomes a span of this name."""
        self.classifier = classifier
        self._classify = (classifier if tracer is None else TracedClassifier(classifier, tracer, span)).classify
        self.codec = VerdictCodec(classifier.model)
        self.review_below = own_thresholds(classifier)
        self.resting_until = -1.0
        """On the clock of whoever asks it: it did not answer in time and is left alone for a while."""
        self._turn = asyncio.Lock()
        """Held during a call: the contract promises one at a time."""
        self._duration_s = metrics.series(MODEL_INFERENCE_DURATION, model_name=classifier.model.name)

    @property
    def model(self) -> Model:
        return self.classifier.model

    async def classify(self, texts: Sequence[Text], candidate: CandidateSeries | None = None) -> Sequence[Verdict]:
        """Sound verdicts, or it raises."""
        async with self._turn:
            started = time.perf_counter()
            verdicts = await self._classify(texts)
            took_s = time.perf_counter() - started
        self._duration_s.observe(took_s)
        for verdict in verdicts:
            _refuse_nonsense(verdict)
        if candidate is not None:
            candidate.duration_s.observe(took_s)
            candidate.classified.inc(len(verdicts))
            for verdict in verdicts:
                candidate.confidence.observe(verdict.category.confidence)
        return verdicts


@dataclass(slots=True, eq=False)
class LineUp:
    champion: OpenModel
    challenger: OpenModel | None = None
    shadow: OpenModel | None = None
    former: OpenModel | None = None
    """The champion before: it stays open, and answers nobody."""
    canary_share: float = 0.0
    _holders: int = 0
    _let_go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def models(self) -> Sequence[OpenModel]:
        """Those that are asked, the champion first."""
        return [model for model in (self.champion, self.challenger, self.shadow) if model is not None]

    @property
    def open_models(self) -> Sequence[OpenModel]:
        """The same, and the champion before."""
        return [*self.models, *([] if self.former is None else [self.former])]

    def answering(self, texts: Sequence[Text]) -> Sequence[OpenModel]:
        """Who answers each text: the same one whenever and wherever it comes again."""
        challenger = self.challenger
        if challenger is None:
            return [self.champion] * len(texts)
        return [challenger if _place(text) < self.canary_share else self.champion for text in texts]

    async def unheld(self) -> None:
        """Wait until nobody holds it: those who do have time limits."""
        while self._holders:
            self._let_go.clear()
            await self._let_go.wait()

    @contextmanager
    def _held(self) -> Iterator[LineUp]:
        self._holders += 1
        try:
            yield self
        finally:
            self._holders -= 1
            if not self._holders:
                self._let_go.set()


def _place(text: Text) -> float:
    """From 0 to 1, evenly spread over texts."""
    checksum = zlib.crc32(
        text.body.encode(errors="surrogatepass"), zlib.crc32(text.subject.encode(errors="surrogatepass"))
    )
    return checksum / 2**32


@dataclass(slots=True, eq=False)
class OpenModels:
    """Where the line-up of this moment stands."""

    line_up: LineUp

    def held(self) -> AbstractContextManager[LineUp]:
        """The line-up, none of whose models is closed while it is held. Hold it for a bounded time."""
        return self.line_up._held()


def _refuse_nonsense(verdict: Verdict) -> None:
    """Raise unless these are plain, finite probabilities and the likeliest labels by them.

    A NaN or a NumPy scalar let through here would spoil sums in the metrics and JSON in the answer; a label that the
    scores don't give would change once the scores are remembered.
    """
    scores = verdict.scores
    if type(scores) is tuple and len(scores) == _SCORES and type(total := sum(scores)) is float:
        category, sentiment, urgency = verdict.category, verdict.sentiment, verdict.urgency
        categories, sentiments, urgencies = scores[:6], scores[6:9], scores[9:]
        if (
            -_TOLERANCE < total - _AXES < _TOLERANCE
            and min(scores) >= 0
            and type(category.confidence) is type(sentiment.confidence) is type(urgency.confidence) is float
            and category.confidence == (best := max(categories))
            and category.label == CATEGORIES[categories.index(best)]
            and sentiment.confidence == (best := max(sentiments))
            and sentiment.label == SENTIMENTS[sentiments.index(best)]
            and urgency.confidence == (best := max(urgencies))
            and urgency.label == URGENCIES[urgencies.index(best)]
            and type(verdict.evidence) is float
            and 0 <= verdict.evidence <= 1
            and type(verdict.degraded) is tuple
        ):
            return
    raise ValueError("the classifier gave something that is not a verdict: see Verdict.from_scores")
