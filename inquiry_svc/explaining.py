"""Asks a classifier to say why, on demand and beside the way of an inquiry: a few at once, each with a time limit.

Nothing here is on the hot path. A classifier explains in its own time while it classifies, and whoever asks for more
explanations than are worked on at once is refused, so that a flood of them slows nobody who submits.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from inquiry_svc.catalogue import EXPLANATION_DURATION
from inquiry_svc.contracts import Explainer
from inquiry_svc.errors import CannotExplain, Overloaded, Unavailable
from inquiry_svc.explanations import TOLERANCE, Explanation
from inquiry_svc.inquiries import AXES, Model, Text
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.open_models import OpenModel, OpenModels

MAX_AT_ONCE: Final = 4


class Explaining:
    def __init__(self, models: OpenModels, fallback: OpenModel, *, metrics: Metrics, timeout_s: float) -> None:
        """The champion explains what none of these decided."""
        self._models = models
        self._fallback = fallback
        self._timeout_s = timeout_s
        self._duration_s = metrics.series(EXPLANATION_DURATION)
        self._running = 0

    async def explain(self, text: Text, decided_by: Model) -> Explanation:
        """By the model that decided, where it is open; else by the one that decides now.

        Raises `CannotExplain`, `Overloaded`, `Unavailable`.
        """
        with self._models.held() as line_up:
            models = [*line_up.open_models, self._fallback]
            classifier = next((each for each in models if each.model == decided_by), line_up.champion).classifier
            if not isinstance(classifier, Explainer):
                raise CannotExplain(f"the classifier {classifier.model.name!r} can't say why")
            if self._running >= MAX_AT_ONCE:
                raise Overloaded(f"{MAX_AT_ONCE} explanations are being worked on")
            self._running += 1
            started = time.perf_counter()
            try:
                async with asyncio.timeout(self._timeout_s):
                    explanation = await classifier.explain(text)
            except TimeoutError as error:
                raise Unavailable(f"no explanation within {self._timeout_s:g} s") from error
            finally:
                self._running -= 1
        self._duration_s.observe(time.perf_counter() - started)
        _refuse_nonsense(explanation)
        return explanation


def _refuse_nonsense(explanation: Explanation) -> None:
    """Raise unless each axis is there and its parts are its margin: what does not add up explains nothing."""
    if list(explanation.axes) != list(AXES):
        raise ValueError("the classifier gave something that is not an explanation of each axis")
    for axis, explained in explanation.axes.items():
        if not abs(explained.total - explained.margin) <= TOLERANCE:
            raise ValueError(f"the classifier's explanation of {axis} does not add up to its margin")
