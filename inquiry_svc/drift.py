"""Counts what is stored by measure and bin, beside each model's profile, so that other mail than before is noticed.

A watcher, off the way of an inquiry: what was stored is only put down, and counted once a second. There is no window
here and no index: counters can be added up over processes, and whoever keeps them over time (Prometheus, by
`alerting/recording/drift.yaml`) compares windows of any length with each other and with the profile. For a store
without a Prometheus, `inquiry-svc drift` does the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from inquiry_svc.catalogue import EXPECTED_CORRECT, OBSERVATIONS, PROFILE_SHARE
from inquiry_svc.contracts import Classifier, Profiled
from inquiry_svc.events import Stored
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import AXES, Model, Outcome
from inquiry_svc.measures import MEASURES, observed
from inquiry_svc.metrics import Metrics
from inquiry_svc.profiles import Profile
from inquiry_svc.repeating import repeated

_PERIOD_S: Final = 1.0
_KEPT: Final = 256
"""Of each second the newest so many are counted. More would say no more of how they spread, at 20 to 30 us each."""
_AT_ONCE: Final = 32
"""So many are counted before whatever else waits on the loop has its turn: 1 ms."""


class Drift:
    def __init__(self, classifiers: Callable[[], Iterable[Classifier]], metrics: Metrics) -> None:
        """What the classifiers that are open decided is measured against their profiles; they may change.

        Of those of one name, which are counted together, the first has its profile shown.
        """
        self._classifiers = classifiers
        self._metrics = metrics
        self._stored: deque[Outcome] = deque(maxlen=_KEPT)
        self._profiles: dict[Model, Profile | None] = {}
        self._models: list[Model] = []
        self._meet_models()

    @hookimpl
    def on_stored(self, event: Stored) -> None:
        self._stored.extend(event.outcomes)

    @asynccontextmanager
    async def counted(self, *, period_s: float = _PERIOD_S) -> AsyncIterator[None]:
        """Count every period while open, and what is left at the end."""
        async with repeated(
            self._count_in_turns,
            period_s=period_s,
            first_after_s=period_s,
            name="drift",
            failing="what was stored can't be counted for drift; going on without",
        ):
            yield
        self.count()

    def count(self) -> None:
        """Count what was stored since the last time."""
        while self._stored:
            self._count_some()
        self._forget_models()

    async def _count_in_turns(self) -> None:
        for _ in range(0, len(self._stored), _AT_ONCE):  # and not what is stored meanwhile
            self._count_some()
            await asyncio.sleep(0)
        self._forget_models()

    def _count_some(self) -> None:
        self._meet_models()
        counts: Counter[tuple[str, str, str]] = Counter()
        for _ in range(min(_AT_ONCE, len(self._stored))):
            outcome = self._stored.popleft()
            prediction = outcome.prediction
            profile = self._profiles.get(prediction.model)
            bins = observed(outcome.inquiry, prediction.verdict, profile.known_words if profile else None)
            counts.update((prediction.model.name, measure, found) for measure, found in bins.items())
            for axis in AXES:
                confidence = getattr(prediction.verdict, axis).confidence
                self._metrics.series(EXPECTED_CORRECT, model_name=prediction.model.name, axis=axis).inc(confidence)
        for (model_name, measure, found), count in counts.items():
            self._metrics.series(OBSERVATIONS, model_name=model_name, measure=measure, bin=found).inc(count)

    def _meet_models(self) -> None:
        classifiers = list(self._classifiers())
        models = [classifier.model for classifier in classifiers]
        if models == self._models:
            return
        self._models = models
        shown: dict[str, Profile | None] = {}
        for classifier in classifiers:
            profile = classifier.profile if isinstance(classifier, Profiled) else None
            self._profiles[classifier.model] = profile
            shown.setdefault(classifier.model.name, profile)
        for model_name, profile in shown.items():
            self._begin_with(model_name, profile)

    def _forget_models(self) -> None:
        """All that are open no more and have decided nothing that waits: a profile holds a megabyte of words."""
        self._meet_models()  # or one that comes back before anything is counted would not be met again
        deciding = {classifier.model for classifier in self._classifiers()}
        deciding |= {outcome.prediction.model for outcome in self._stored}
        for model in self._profiles.keys() - deciding:
            del self._profiles[model]

    def _begin_with(self, model_name: str, profile: Profile | None) -> None:
        """Have every series stand at 0, and the profile beside them."""
        for axis in AXES:
            self._metrics.series(EXPECTED_CORRECT, model_name=model_name, axis=axis)
        for measure, bins in MEASURES.items():
            for each in bins:
                self._metrics.series(OBSERVATIONS, model_name=model_name, measure=measure, bin=each)
                if profile is None:
                    self._metrics.remove(PROFILE_SHARE, model_name=model_name, measure=measure, bin=each)
                else:
                    share = self._metrics.series(PROFILE_SHARE, model_name=model_name, measure=measure, bin=each)
                    share.set(profile.shares[measure][each])
