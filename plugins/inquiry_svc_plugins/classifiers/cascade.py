"""The classifier `cascade`: a quick one answers what it is sure of, the rest go on to a slower one.

Both are any that are registered, opened by their names as they are configured. On the axes that the second is asked
about, the answers of both are joined where the first was less sure than `below`; all else is the first's. What holds
too little to go by does not go on: the first knows that it doesn't know, and the second might not. Where the second
fails or has no time left, the first's answer stands and says that it is degraded.

An explanation is, axis by axis, that of the classifier whose answer stands; what it says of words left out is what that
classifier would say without them. Of an answer joined from both there is none.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from msgspec import Meta
from msgspec.structs import replace

from inquiry_svc.contracts import Cautious, Classifier, Explainer, Host, Profiled, Provider
from inquiry_svc.errors import CannotExplain, Unavailable
from inquiry_svc.explanations import AxisExplanation, Explanation, scores_of
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import AXES, Model, Text, Verdict
from inquiry_svc.metrics import Counter, Metric, Metrics
from inquiry_svc.profiles import Profile
from inquiry_svc.settings import Seconds, Share

logger = logging.getLogger(__name__)

VERSION: Final = "2"
ENOUGH_EVIDENCE: Final = 0.5
"""With less, a text does not go on. Source: `[review] below_evidence`, whose default it is."""
AT_ONCE: Final = 4
"""Texts in one call of the second: what is answered when its time is up counts."""
DEGRADED: Final = ("second classifier",)
_LEAST: Final = 1e-6
"""No probability counts as less: one that is wrongly sure must not outvote the other whatever it says."""

TEXTS: Final = Counter(
    "cascade_texts_total",
    "Texts, by what became of them: the first classifier was sure, the second answered, or the first's answer stands "
    "all the same: there was too little to go by, or the second raised, had no time left, or is being rested.",
    {"result": ("sure", "second", "no_evidence", "error", "timeout", "resting")},
)


@dataclass(frozen=True, slots=True)
class CascadeSettings:
    first: str = "xgboost"
    second: str = "minilm"
    below: Share = 0.55
    """The second is asked where the first is less sure than this. Of `xgboost` and `minilm`, on authors held out of
    both trainings, this sends one text in seven on and makes the category right 0.8 points more often; 0.65 sends twice
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


class CascadeClassifier:
    def __init__(self, first: Classifier, second: Classifier, settings: CascadeSettings, metrics: Metrics) -> None:
        self._first = first
        self._second = second
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
        return self._first.profile if isinstance(self._first, Profiled) else None

    @property
    def review_below(self) -> Mapping[str, float]:
        """The first's, since nobody sees from an answer whose it is.

        Of `xgboost` and `minilm`, on authors held out, 33.9 % then wait for review and 94.9 % of the rest are right;
        without the second it is 34.3 % and 95.0 %.
        """
        return self._first.review_below if isinstance(self._first, Cautious) else {}

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
        """Raises `CannotExplain` where the answer of an axis is joined from both, or by one that can't say why."""
        (verdict,) = await self._first.classify([text])
        asked = unsure_axes(verdict, self._settings) if verdict.evidence >= ENOUGH_EVIDENCE else []
        if asked and self._settings.weights[0]:
            raise CannotExplain(
                f"its answer about {' and '.join(asked)} is joined from those of {self._first.model.name!r} and "
                f"{self._second.model.name!r}, and of such an answer no reasons can be given"
            )
        by_first = await _explained(self._first, text) if len(asked) < len(AXES) else {}
        by_second = await _explained(self._second, text) if asked else {}
        return Explanation(self.model, {axis: (by_second if axis in asked else by_first)[axis] for axis in AXES})

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
                    found += await self._answers(texts[start : start + AT_ONCE])
        except (TimeoutError, Unavailable) as error:
            if not found:
                self._resting_until = now() + self._settings.rest_s
            left = len(texts) - len(found)
            self._texts["timeout"].inc(left)
            why = error if isinstance(error, Unavailable) else None  # of a time-out a trace says nothing
            logger.error("the second classifier left %d of %d texts unanswered", left, len(texts), exc_info=why)
            found += [None] * left
        return found

    async def _answers(self, texts: Sequence[Text]) -> list[Verdict | None]:
        """Where it raises, it is asked about each half, so that one poisonous text fails alone."""
        try:
            verdicts = list(await self._second.classify(texts))
            if len(verdicts) != len(texts):
                raise ValueError(f"the second classifier gave {len(verdicts)} verdicts for {len(texts)} texts")
        except Unavailable:
            raise
        except Exception as error:
            if len(texts) > 1:
                half = len(texts) // 2
                return [*await self._answers(texts[:half]), *await self._answers(texts[half:])]
            self._texts["error"].inc()
            logger.error("the second classifier raised over one text", exc_info=error)
            return [None]
        self._texts["second"].inc(len(verdicts))
        return [*verdicts]


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
        max(one, _LEAST) ** weights[0] * max(other, _LEAST) ** weights[1]
        for one, other in zip(first, second, strict=True)
    ]
    return [power / sum(powers) for power in powers]


async def _explained(classifier: Classifier, text: Text) -> Mapping[str, AxisExplanation]:
    if not isinstance(classifier, Explainer):
        raise CannotExplain(f"the classifier {classifier.model.name!r}, whose answer stands, can't say why")
    return (await classifier.explain(text)).axes


@asynccontextmanager
async def open_cascade(settings: CascadeSettings, host: Host) -> AsyncIterator[Classifier]:
    """Raises `ConfigurationError` where either can't be opened."""
    async with host.open_classifier(settings.first) as first, host.open_classifier(settings.second) as second:
        yield CascadeClassifier(first, second, settings, host.metrics)


@hookimpl
def register_classifiers() -> Iterable[Provider[Classifier]]:
    return [Provider("cascade", open_cascade, CascadeSettings)]


@hookimpl
def register_metrics() -> Iterable[Metric]:
    return [TEXTS]
