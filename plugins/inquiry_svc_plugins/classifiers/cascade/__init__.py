"""The classifier `cascade`: a quick one answers what it is sure of, the rest go on to a slower one.

Both are any that are registered, opened by their names as they are configured. On the axes that the second is asked
about, the answers of both are joined where the first was less sure than `below`; all else is the first's. What holds
too little to go by does not go on: the first knows that it doesn't know, and the second might not. Where the second
fails or has no time left, the first's answer stands and says that it is degraded.

An explanation says, axis by axis, whose the answer is, and is made of their reasons: see `explaining.py`. What it says
of words left out is what the cascade would say without them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated, Final, Literal

from msgspec import Meta
from msgspec.structs import replace

from inquiry_svc.contracts import Cautious, Classifier, Host, Profiled, Provider
from inquiry_svc.errors import Unavailable
from inquiry_svc.explanations import AxisExplanation, Contest, Explanation, Weigher, contests, scores_of
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import AXES, Model, Text, Verdict
from inquiry_svc.leaving_out import borne_out, trials_of
from inquiry_svc.metrics import Counter, Metric, Metrics
from inquiry_svc.model_folders import ModelFolders
from inquiry_svc.profiles import Profile
from inquiry_svc.settings import ReviewSettings, Seconds, Share
from inquiry_svc_plugins.classifiers.cascade.explaining import ALONE, LEAST, Part, made_of

logger = logging.getLogger(__name__)

VERSION: Final = "2"
ENOUGH_EVIDENCE: Final = ReviewSettings().below_evidence
"""With less, a text does not go on, whatever `[review] below_evidence` is set to: that one is about people."""
AT_ONCE: Final = 4
"""Texts in one call of the second: what is answered when its time is up counts."""
DEGRADED: Final = ("second classifier",)

TEXTS: Final = Counter(
    "cascade_texts_total",
    "Texts, by what became of them: the first classifier was sure, the second answered, or the first's answer stands "
    "all the same: there was too little to go by, or the second raised or was out of reach, had no time left, or "
    "is being rested.",
    {"result": ("sure", "second", "no_evidence", "error", "timeout", "resting")},
)


@dataclass(frozen=True, slots=True)
class CascadeSettings:
    first: str = "xgboost"
    second: str = "minilm"
    below: Share = 0.55
    """The second is asked where the first is less sure than this. Of `xgboost` and `minilm`, on authors held out of
    both trainings, this sends one text in six on and makes the category right 0.8 points more often; 0.65 sends twice
    as many for 0.3 more: see benchmarks/accuracy.md."""
    weights: tuple[Share, Share] = (0.7, 0.45)
    """Powers of the first's and the second's probabilities, whose product, made to sum to 1, is the answer. With 0 and
    1 the second's answer stands alone. These make the right answers of `xgboost` and `minilm` about authors held out of
    both trainings likeliest; a second that knows far better deserves more."""
    axes: Annotated[tuple[Literal["category", "sentiment", "urgency"], ...], Meta(min_length=1)] = (
        "category",
        "sentiment",
    )
    """What the second is asked about. `minilm` knows less of urgency even where `xgboost` is unsure."""
    timeout_s: Seconds = 0.5
    """Of a batch, for all that goes on; keep it well below `[classifier] timeout_s`, which holds for both."""
    rest_s: Seconds = 5.0
    """A second that did not answer at all in that time is left alone for so long."""


class Member:
    """One of the two, asked by turns, since its contract promises it one call at a time; or aside, where it can be."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self._turn = asyncio.Lock()

    @property
    def model(self) -> Model:
        return self.classifier.model

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        async with self._turn:
            return await self.classifier.classify(texts)

    async def verdict(self, text: Text) -> Verdict:
        """For an explanation."""
        aside = isinstance(self.classifier, Weigher)
        (verdict,) = await (self.judge([text]) if aside else self.classify([text]))
        return verdict

    async def judge(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        """Aside, of the first texts as many as it will; of none where it can't."""
        return await self.classifier.judge(texts) if isinstance(self.classifier, Weigher) else []

    async def weigh(self, text: Text, between: Mapping[str, Contest]) -> Mapping[str, AxisExplanation]:
        """Nothing where it can't."""
        return await self.classifier.weigh(text, between) if isinstance(self.classifier, Weigher) else {}


class CascadeClassifier:
    def __init__(self, first: Classifier, second: Classifier, settings: CascadeSettings, metrics: Metrics) -> None:
        self._first = Member(first)
        self._second = Member(second)
        self._settings = settings
        self._resting_until = -1.0
        self._texts = {result: metrics.series(TEXTS, result=result) for result in TEXTS.labels["result"] or ()}

    @property
    def model(self) -> Model:
        """Another one whenever either is another."""
        parts = [VERSION, self._first.model.digest, self._second.model.digest, self._settings.below]
        whole = json.dumps([*parts, *self._settings.weights, sorted(self._settings.axes)])
        return Model("cascade", VERSION, hashlib.blake2b(whole.encode(), digest_size=16).hexdigest())

    @property
    def profile(self) -> Profile | None:
        first = self._first.classifier
        return first.profile if isinstance(first, Profiled) else None

    @property
    def review_below(self) -> Mapping[str, float]:
        """The first's, since nobody sees from an answer whose it is."""
        first = self._first.classifier
        return first.review_below if isinstance(first, Cautious) else {}

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        verdicts = list(await self._first.classify(texts))
        unsure = [place for place, verdict in enumerate(verdicts) if unsure_axes(verdict, self._settings)]
        asked = [place for place in unsure if verdicts[place].evidence >= ENOUGH_EVIDENCE]
        self._texts["sure"].inc(len(verdicts) - len(unsure))
        self._texts["no_evidence"].inc(len(unsure) - len(asked))
        if asked:
            found = await self._ask_second([texts[place] for place in asked])
            for place, second in zip(asked, found, strict=True):
                first = verdicts[place]
                verdicts[place] = (
                    replace(first, degraded=(*first.degraded, *DEGRADED))
                    if second is None
                    else joined(first, second, self._settings)
                )
        return verdicts

    async def explain(self, text: Text) -> Explanation:
        """Raises `CannotExplain` where nobody whose answer it is can say why, `Unavailable` where the second is away.

        Nothing of it is counted, and no rest is kept: it is not an answer. Where the second can't be asked aside,
        nothing that would go on to it is tried, and what a word does is not known.
        """
        first = await self._first.verdict(text)
        asked = self._goes_on(first)
        second = await self._second_verdict(text) if asked else first
        verdict = joined(first, second, self._settings) if asked else first
        between = contests(verdict)
        by_first, by_second = self._settings.weights
        whole = await self._first.weigh(text, between)
        parts = [Part("first opinion", self._first.model, first, whole, by_first)] if by_first else []
        added = await self._second.weigh(text, {axis: between[axis] for axis in asked}) if asked else {}
        if asked:
            parts.append(Part("second opinion", self._second.model, second, added, by_second))
        alone = [Part("first opinion", self._first.model, first, whole)]
        least = ALONE if self._settings.weights == (0.0, 1.0) else LEAST
        axes = {
            axis: made_of(axis, verdict, parts, least) if axis in asked else made_of(axis, verdict, alone, ALONE)
            for axis in AXES
        }
        trials = trials_of(text, axes)
        found = trials.judged(await self._judge(trials.texts))
        return Explanation(
            self.model, {axis: borne_out(each) if axis in added else each for axis, each in found.items()}
        )

    async def _second_verdict(self, text: Text) -> Verdict:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._second.verdict(text)
        except TimeoutError as error:
            raise Unavailable(f"the second classifier gave no answer within {self._settings.timeout_s:g} s") from error

    async def _judge(self, texts: Sequence[Text]) -> list[Verdict | None]:
        """What the two say of these, as far as they can say it aside."""
        firsts = await self._first.judge(texts)
        found: list[Verdict | None] = list(firsts)
        going_on = [place for place, verdict in enumerate(firsts) if self._goes_on(verdict)]
        seconds = await self._second.judge([texts[place] for place in going_on]) if going_on else []
        for place, second in zip_longest(going_on, seconds):
            found[place] = None if second is None else joined(firsts[place], second, self._settings)
        return found

    def _goes_on(self, verdict: Verdict) -> list[str]:
        return unsure_axes(verdict, self._settings) if verdict.evidence >= ENOUGH_EVIDENCE else []

    async def _ask_second(self, texts: Sequence[Text]) -> list[Verdict | None]:
        """The second's verdict of each text; None where it gives none."""
        now = asyncio.get_running_loop().time
        if now() < self._resting_until:
            self._texts["resting"].inc(len(texts))
            return [None] * len(texts)
        found: list[Verdict | None] = []
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                for start in range(0, len(texts), AT_ONCE):
                    await self._answer(texts[start : start + AT_ONCE], found)
        except (TimeoutError, Unavailable) as error:
            if not any(found):
                self._resting_until = now() + self._settings.rest_s
            left = len(texts) - len(found)
            away = isinstance(error, Unavailable)
            self._texts["error" if away else "timeout"].inc(left)
            why = error if away else None  # of a time-out a trace says nothing
            logger.error("the second classifier left %d of %d texts unanswered", left, len(texts), exc_info=why)
            found += [None] * left
        return found

    async def _answer(self, texts: Sequence[Text], found: list[Verdict | None]) -> None:
        """Add to `found`. Where it raises, it is asked about each half, so that one poisonous text fails alone."""
        try:
            verdicts = await self._second.classify(texts)
            if len(verdicts) != len(texts):
                raise ValueError(f"the second classifier gave {len(verdicts)} verdicts for {len(texts)} texts")
        except Unavailable:
            raise
        except Exception as error:
            if len(texts) > 1:
                half = len(texts) // 2
                await self._answer(texts[:half], found)
                await self._answer(texts[half:], found)
                return
            self._texts["error"].inc()
            logger.error("the second classifier raised over one text", exc_info=error)
            found.append(None)
        else:
            self._texts["second"].inc(len(verdicts))
            found += verdicts


def unsure_axes(verdict: Verdict, settings: CascadeSettings) -> list[str]:
    """The axes about which the second is asked, of such a verdict by the first."""
    return [axis for axis in settings.axes if getattr(verdict, axis).confidence < settings.below]


def joined(first: Verdict, second: Verdict, settings: CascadeSettings) -> Verdict:
    """The scores of both on the axes of which the first is unsure, the first's on the others."""
    unsure = unsure_axes(first, settings)
    scores: list[float] = []
    for axis in AXES:
        by_first = list(scores_of(first, axis).values())
        by_second = list(scores_of(second, axis).values())
        scores += pooled(by_first, by_second, settings.weights) if axis in unsure else by_first
    degraded = (*first.degraded, *second.degraded)
    return replace(Verdict.from_scores(scores, min(first.evidence, second.evidence)), degraded=degraded)


def pooled(first: Sequence[float], second: Sequence[float], weights: tuple[float, float]) -> list[float]:
    """The logarithmic opinion pool: Genest and Zidek, "Combining probability distributions", 1986."""
    if weights == (0.0, 1.0):
        return list(second)
    powers = [
        max(one, LEAST) ** weights[0] * max(other, LEAST) ** weights[1]
        for one, other in zip(first, second, strict=True)
    ]
    return [power / sum(powers) for power in powers]


@asynccontextmanager
async def open_cascade(settings: CascadeSettings, host: Host) -> AsyncIterator[Classifier]:
    """Raises `ConfigurationError` where either can't be opened."""
    async with host.open_classifier(settings.first) as first, host.open_classifier(settings.second) as second:
        yield CascadeClassifier(first, second, settings, host.metrics)


@hookimpl
def register_classifiers() -> Iterable[Provider[Classifier]]:
    return [Provider("cascade", open_cascade, CascadeSettings, model_folders=ModelFolders(of="first"))]


@hookimpl
def register_metrics() -> Iterable[Metric]:
    return [TEXTS]
