"""The default classifier, `xgboost`: linear layers over hashed n-grams and meanings, and trees that put them right.

Some ten microseconds a short text in a batch, well under a millisecond for one alone, calibrated on authors that it has
not seen. `features.py` makes the numbers, `linear.py`, `meanings.py` and `trees.py` the scores, `evidence.py` says when
they mean little; `model.py` reads them from disk, `training.py` makes them; `fast/` computes the same several times as
fast where it could be compiled; `explaining.py` says why. Loading this module imports none of those.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inquiry_svc.contracts import Classifier, Host, Provider
from inquiry_svc.explanations import AxisExplanation, Contest, Explanation
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Model, Text, Verdict
from inquiry_svc.labelled import LabelledText
from inquiry_svc.model_folders import ModelFolders, Progress
from inquiry_svc.profiles import Profile

if TYPE_CHECKING:
    from inquiry_svc_plugins.classifiers.xgboost.model import TriageModel

PACKAGED_MODEL: Final = Path(__file__).with_name("artefact")

MAX_INLINE_CHARACTERS: Final = 12_000
"""A batch of at most this many is computed on the event loop, which it holds for half a millisecond (2 ms by numpy);
handing it to the thread would cost more than that in waiting for the interpreter's lock. A larger one goes to the
thread."""


@dataclass(frozen=True, slots=True)
class XgboostSettings:
    model: str = ""
    """A folder that `inquiry-svc train` made; empty for the packaged model."""
    fast: bool = True
    """Answer by the compiled kernel where there is one; without it the same answers take five times as long."""


class XgboostClassifier:
    def __init__(self, model: TriageModel, thread: ThreadPoolExecutor, explaining_thread: ThreadPoolExecutor) -> None:
        """Explanations have a thread of their own, so that no batch waits behind one."""
        self._model = model
        self._thread = thread
        self._explaining_thread = explaining_thread

    @property
    def model(self) -> Model:
        return self._model.identity

    @property
    def profile(self) -> Profile | None:
        return self._model.profile

    @property
    def review_below(self) -> Mapping[str, float]:
        return self._model.review_below

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        if sum(len(text.subject) + len(text.body) for text in texts) <= MAX_INLINE_CHARACTERS:
            return self._model.verdicts(texts)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._model.verdicts, texts)

    async def explain(self, text: Text) -> Explanation:
        return await asyncio.get_running_loop().run_in_executor(self._explaining_thread, _explain, self._model, text)

    async def weigh(self, text: Text, contests: Mapping[str, Contest]) -> Mapping[str, AxisExplanation]:
        return await asyncio.get_running_loop().run_in_executor(
            self._explaining_thread, _weigh, self._model, text, contests
        )

    async def judge(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        return await asyncio.get_running_loop().run_in_executor(self._explaining_thread, self._model.verdicts, texts)


def _explain(model: TriageModel, text: Text) -> Explanation:
    from inquiry_svc_plugins.classifiers.xgboost.explaining import explain

    return explain(model, text)


def _weigh(model: TriageModel, text: Text, contests: Mapping[str, Contest]) -> Mapping[str, AxisExplanation]:
    from inquiry_svc_plugins.classifiers.xgboost.explaining import weigh

    return weigh(model, text, contests)


@asynccontextmanager
async def open_xgboost(settings: XgboostSettings, host: Host) -> AsyncIterator[Classifier]:
    """Read and check the model. Raises `ConfigurationError` when it is not whole."""
    folder = Path(settings.model) if settings.model else PACKAGED_MODEL
    model = await asyncio.to_thread(_load, folder, host.pause, fast=settings.fast)
    thread = ThreadPoolExecutor(1, thread_name_prefix="xgboost-classifier")
    explaining_thread = ThreadPoolExecutor(1, thread_name_prefix="xgboost-explainer")
    try:
        yield XgboostClassifier(model, thread, explaining_thread)
    finally:
        for each in (thread, explaining_thread):
            await asyncio.to_thread(each.shutdown)  # a call that was given up may still run


def _load(folder: Path, pause: Callable[[], None], *, fast: bool) -> TriageModel:
    from inquiry_svc_plugins.classifiers.xgboost.fast import quickened
    from inquiry_svc_plugins.classifiers.xgboost.model import load_model

    pause()
    model = load_model(folder, pause)
    if fast:
        model = quickened(model, pause)
        pause()
    model.verdicts([Text("Warm-up", "The first call builds the tables.")])
    return model


def _train(settings: XgboostSettings, rows: Sequence[LabelledText], folder: Path, progress: Progress) -> str:
    from inquiry_svc_plugins.classifiers.xgboost.making import make

    return make(settings, rows, folder, progress)


@hookimpl
def register_classifiers() -> Iterable[Provider[Classifier]]:
    return [Provider("xgboost", open_xgboost, XgboostSettings, model_folders=ModelFolders(train=_train))]
