"""A classifier whose model is a folder with one small file that says what it does. For tests alone."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import shutil
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inquiry_svc.config import load_settings
from inquiry_svc.contracts import Classifier, Host, Provider
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.explanations import AxisExplanation, Explanation, contest, margin_between
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import AXES, Model, Text, Verdict
from inquiry_svc.labelled import LabelledText
from inquiry_svc.metrics import Metrics
from inquiry_svc.model_folders import ModelFolders, Progress
from inquiry_svc.models.named import Names
from inquiry_svc.models.registry import Reference, Registry
from inquiry_svc.opening import Opener
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.testing.samples import sample_verdict
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL

FOLDERED: Final = "foldered"
FILE: Final = "model.json"
"""In a model folder: the category of each text, and what it does instead of answering."""


@dataclass(frozen=True, slots=True)
class FolderSettings:
    model: str = ""


class FolderClassifier:
    def __init__(self, digest: str, category: str, does: str) -> None:
        self.model = Model(FOLDERED, "1", digest)
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        """What a model that waits waits for."""
        self.texts: list[Text] = []
        self._category = category
        self._does = does

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        self.texts += texts
        self.asked.set()
        if self._does == "wait":
            await self.may_answer.wait()
        if self._does == "raise" or (self._does == "raise after the first" and len(self.texts) > 1):
            raise ValueError("as the model says")
        return [sample_verdict(self._category) for _ in texts]

    async def explain(self, text: Text) -> Explanation:
        return Explanation(self.model, {axis: _explained(axis, sample_verdict(self._category)) for axis in AXES})


class FolderModels:
    """A plugin that offers such a classifier. `opened` are those that somebody refers to."""

    def __init__(self) -> None:
        self._opened: list[weakref.ref[FolderClassifier]] = []
        self.closed: list[str] = []
        self.open_now = 0
        self.pauses: list[Callable[[], None]] = []
        """What each was given to pause with."""

    @property
    def opened(self) -> Sequence[FolderClassifier]:
        return [found for each in self._opened if (found := each()) is not None]

    @asynccontextmanager
    async def open(self, settings: FolderSettings, host: Host) -> AsyncIterator[Classifier]:
        found = {"category": "billing", "does": "answer"} if not settings.model else _read(Path(settings.model))
        self.pauses.append(host.pause)
        classifier = FolderClassifier(_digest(found), found["category"], found["does"])
        self._opened.append(weakref.ref(classifier))
        self.open_now += 1
        try:
            yield classifier
        finally:
            self.open_now -= 1
            self.closed.append(classifier.model.digest)

    @hookimpl
    def register_classifiers(self) -> Iterable[Provider[Classifier]]:
        return [Provider(FOLDERED, self.open, FolderSettings, model_folders=ModelFolders(train=train))]

    def names(self, data_dir: Path) -> Names:
        return Names(Registry(data_dir), FOLDERED)

    def opener(self, data_dir: Path, metrics: Metrics) -> Opener:
        offers = Offers(build_manager([self]))
        settings, _ = load_settings(offers, options={("classifier", "provider"): FOLDERED})
        return Opener(settings, offers, Host(data_dir, metrics))


def train(settings: FolderSettings, rows: Sequence[LabelledText], folder: Path, progress: Progress) -> str:
    """A model that finds the most frequent category of the rows in every text."""
    counts = Counter(row.category for row in rows if row.category)
    write_model(folder, min(counts, key=lambda category: (-counts[category], category)))
    progress(1, 1)
    return f"learnt from {len(rows)} rows"


def write_model(folder: Path, category: str, does: str = "answer") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps({"category": category, "does": does}))
    return folder


def taken_in(registry: Registry, category: str, does: str = "answer") -> Reference:
    """A model of the registry that finds this category everywhere."""
    content = {"category": category, "does": does}
    reference = Reference(FOLDERED, _digest(content))
    with registry.incoming() as folder:
        write_model(folder, category, does)
        registry.take_in(folder, reference)
    return reference


def have_a_shadow(data_dir: Path) -> None:
    """The packaged model, asked besides."""
    digest = json.loads((PACKAGED_MODEL / "manifest.json").read_bytes())["digest"]
    registry, reference = Registry(data_dir), Reference("xgboost", digest)
    with registry.incoming() as folder:
        shutil.copytree(PACKAGED_MODEL, folder, dirs_exist_ok=True)
        registry.take_in(folder, reference)
    registry.promote(reference, "shadow", who="ana", why="to see", figures={})


def _read(folder: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{folder / FILE} is broken ({error}); make it anew") from error
    return found


def _explained(axis: str, verdict: Verdict) -> AxisExplanation:
    label, runner_up = contest(verdict, axis)
    margin = margin_between(verdict, axis, label.label, runner_up.label)
    return AxisExplanation(label, runner_up, margin=margin, base=margin, words=(), surface=())


def _digest(content: dict[str, str]) -> str:
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


@asynccontextmanager
async def no_collection() -> AsyncIterator[None]:
    """Nothing is freed while open but what nobody refers to."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
