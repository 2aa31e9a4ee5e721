"""The packaged `minilm` keeps the contract and is right often enough; another encoder or a broken model is refused."""

from __future__ import annotations

import asyncio
import json
import shutil
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inquiry_svc.contracts import Classifier, Host, Provider
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.evaluation import evaluate
from inquiry_svc.inquiries import AXES, Text
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc.metrics import Metrics
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import ReviewSettings
from inquiry_svc.testing.classifiers import ORDINARY, ClassifierContract
from inquiry_svc.testing.model_folders import ModelFoldersContract
from inquiry_svc_plugins.classifiers import minilm as plugin
from inquiry_svc_plugins.classifiers.minilm import encoder as encoder_module
from inquiry_svc_plugins.classifiers.minilm.encoder import _WHEELS, MAX_TOKENS, WIDTH, Encoder, _installed, open_encoder
from inquiry_svc_plugins.classifiers.minilm.model import load_model
from inquiry_svc_plugins.classifiers.minilm.training import fit, make
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL as XGBOOST
from inquiry_svc_plugins.classifiers.xgboost.writing import corpus_digest
from tests.model_folders import no_collection

CORPUS = XGBOOST.with_name("corpus")


def opened(folder: Path, encoder: str = "") -> AbstractAsyncContextManager[Classifier]:
    return plugin.open_minilm(plugin.MinilmSettings(encoder=encoder), Host(folder, Metrics()))


class TestMinilm(ClassifierContract):
    @pytest.fixture
    async def classifier(self, tmp_path: Path) -> AsyncIterator[Classifier]:
        async with opened(tmp_path) as classifier:
            yield classifier


class TestMinilmsModels(ModelFoldersContract):
    @pytest.fixture
    def provider(self) -> Provider[Classifier]:
        (provider,) = plugin.register_classifiers()
        return provider

    @pytest.fixture
    def model_folder(self, tmp_path: Path) -> Path:
        copied: Path = shutil.copytree(plugin.PACKAGED_MODEL, tmp_path / "model")
        return copied


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return open_encoder("", 1)


@pytest.fixture(scope="module")
def few() -> Sequence[LabelledText]:
    return [row for name in ("17", "18", "9") for row in read_labelled([CORPUS / f"authored-{name}.jsonl"])[:40]]


def test_the_packaged_model_learnt_from_the_corpus_as_it_is() -> None:
    manifest = json.loads((plugin.PACKAGED_MODEL / "manifest.json").read_bytes())
    assert manifest["corpus"]["digest"] == corpus_digest(read_labelled(sorted(CORPUS.glob("*.jsonl"))))


async def test_on_mail_by_hands_not_in_the_training_it_is_right_often_enough(tmp_path: Path) -> None:
    rows = read_labelled([CORPUS / "judging" / "judging-2.jsonl"])[:150]
    async with opened(tmp_path) as classifier:
        axes = (await evaluate(classifier, rows, policy=ReviewPolicy(ReviewSettings()))).axes
    assert (axes["category"].accuracy or 0) >= 0.8
    assert (axes["sentiment"].accuracy or 0) >= 0.75
    assert (axes["urgency"].accuracy or 0) >= 0.6


def test_an_embedding_has_length_1_and_is_near_that_of_the_same_in_other_words(encoder: Encoder) -> None:
    refund, money_back, holiday = (
        encoder.embed(Text("", body))
        for body in ("Please refund my payment.", "I want my money back.", "How many days of leave do I have?")
    )
    assert refund.shape == (WIDTH,)
    assert np.linalg.norm(refund) == pytest.approx(1, abs=1e-5)
    assert refund @ money_back > 0.4 > refund @ holiday


def test_what_comes_after_the_first_tokens_is_not_read(encoder: Encoder) -> None:
    long = "invoice " * MAX_TOKENS
    assert (encoder.embed(Text("", long)) == encoder.embed(Text("", f"{long} refund"))).all()


async def test_a_call_that_is_given_up_ends_after_the_text_that_it_is_reading(tmp_path: Path) -> None:
    async with opened(tmp_path) as classifier:
        assert isinstance(classifier, plugin.MinilmClassifier)
        read: list[Text] = []
        encoder = classifier._model.encoder
        begun, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        class Waiting:
            def embed(self, text: Text) -> object:
                read.append(text)
                loop.call_soon_threadsafe(begun.set)
                asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
                return encoder.embed(text)

        object.__setattr__(classifier._model, "encoder", Waiting())
        call = asyncio.create_task(classifier.classify(ORDINARY))
        await begun.wait()
        call.cancel()
        await asyncio.wait([call])
        go_on.set()
        object.__setattr__(classifier._model, "encoder", encoder)
        await classifier.classify(ORDINARY[:1])
        assert read == [ORDINARY[0]]


def test_the_same_rows_make_the_same_model_and_it_answers(
    few: Sequence[LabelledText], encoder: Encoder, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    for name in ("one", "two"):
        line = make(encoder, few, tmp_path / name, lambda done, of: told.append((done, of)))
        assert "right on held-out sources: category" in line
    assert told[-1][0] == told[-1][1]
    for file in ("head.npz", "manifest.json", "MODEL_CARD.md"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    learnt = load_model(tmp_path / "one", encoder)
    found = learnt.verdicts([row.text for row in few])
    right = [each.category.label == row.category for each, row in zip(found, few, strict=True)]
    assert sum(right) / len(right) > 0.9


def test_too_few_labels_are_refused_before_anything_is_read(
    few: Sequence[LabelledText], encoder: Encoder, tmp_path: Path
) -> None:
    rows = [row for row in few if row.sentiment == "neutral"]
    with pytest.raises(ConfigurationError, match="labelled with sentiment"):
        make(encoder, rows, tmp_path / "model", lambda done, of: pytest.fail("it began"))


def test_the_fitted_weights_are_the_best_ones() -> None:
    chance = np.random.default_rng(1)
    inputs = np.hstack([chance.normal(size=(60, 5)), np.ones((60, 1))])
    answers = chance.integers(0, 3, 60)
    weights = chance.random(60)
    found = fit(inputs, answers, weights, 3)
    again = fit(inputs, answers, weights, 3, start=chance.normal(size=found.shape))
    assert np.abs((found - again)[:, :-1]).max() < 1e-2
    odds = np.exp(inputs @ found.T)
    share = odds / odds.sum(axis=1, keepdims=True)
    wanted = [(weights * (answers == label)).sum() for label in range(3)]
    assert (weights[:, None] * share).sum(axis=0) == pytest.approx(wanted, abs=1e-2), "the bias is not penalised"


def encoder_of(classifier: Classifier) -> Encoder:
    assert isinstance(classifier, plugin.MinilmClassifier)
    return classifier._model.encoder


async def test_all_that_are_open_share_one_encoder_which_is_closed_when_the_last_leaves(tmp_path: Path) -> None:
    async with no_collection():
        stack = AsyncExitStack()
        one = weakref.ref(encoder_of(await stack.enter_async_context(opened(tmp_path))))
        for _ in range(3):  # each comes before the one before leaves
            after = AsyncExitStack()
            assert encoder_of(await after.enter_async_context(opened(tmp_path))) is one()
            await stack.aclose()
            stack = after
        await stack.aclose()
        await asyncio.get_running_loop().shutdown_default_executor()  # a thread lets go a while after it has answered
        assert one() is None, "something refers to it though no model is open"


async def test_two_that_are_opened_at_once_open_one_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_count = 0

    def counted(*given: Any) -> Encoder:
        nonlocal opened_count
        opened_count += 1
        return open_encoder(*given)

    monkeypatch.setattr(encoder_module, "open_encoder", counted)
    async with AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(opened(tmp_path)) for _ in range(4)))
        assert opened_count == 1


async def test_with_other_files_or_threads_an_encoder_is_another(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    for name, place in _WHEELS.items():
        shutil.copy(_installed(*place), folder / name)
    settings = plugin.MinilmSettings(threads=2)
    host = Host(tmp_path, Metrics())
    async with (
        opened(tmp_path) as installed,
        opened(tmp_path, str(folder)) as copied,
        plugin.open_minilm(settings, host) as threaded,
    ):
        shutil.copy(folder / "model.onnx", tmp_path / "new.onnx")
        (tmp_path / "new.onnx").replace(folder / "model.onnx")
        async with opened(tmp_path, str(folder)) as replaced:
            assert len({id(encoder_of(each)) for each in (installed, copied, threaded, replaced)}) == 4


def test_with_an_encoder_open_a_model_is_read_in_small_steps(encoder: Encoder) -> None:
    pauses = 0

    def pause() -> None:
        nonlocal pauses
        pauses += 1

    load_model(plugin.PACKAGED_MODEL, encoder, pause)
    assert pauses >= 5
    pauses = 0
    open_encoder("", 1, pause)
    assert pauses > 100, "the file of 22 MB is digested in one go"


async def test_several_threads_that_ask_one_encoder_at_once_get_what_each_would_alone(tmp_path: Path) -> None:
    texts = [*ORDINARY, Text("", "word " * 300)]
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        alone = await one.classify(texts)
        at_once = await asyncio.gather(*(each.classify(texts) for _ in range(3) for each in (one, other)))
    assert all(verdicts == alone for verdicts in at_once)


async def test_an_encoder_in_a_folder_must_be_the_one_of_the_training(encoder: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    for name, place in _WHEELS.items():
        shutil.copy(_installed(*place), folder / name)
    async with opened(tmp_path, encoder=str(folder)) as classifier:
        assert await classifier.classify(ORDINARY[:2])
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ConfigurationError, match="another encoder"):
        async with opened(tmp_path, encoder=str(folder)):
            pass
    for spoilt in ("tokenizer.json", "model.onnx"):
        (folder / spoilt).write_bytes(b"{}")
        with pytest.raises(ConfigurationError, match="broken") as refusal:
            async with opened(tmp_path, encoder=str(folder)):
                pass
        assert "\n" not in str(refusal.value)
    (folder / "model.onnx").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        async with opened(tmp_path, encoder=str(folder)):
            pass


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("digest", "00" * 16, "digest does not fit"),
        ("format", 99, "another version"),
        ("review", {"below_confidence": dict.fromkeys(AXES["category"], 0.5)}, "digest does not fit"),
        ("review", {"below_confidence": dict.fromkeys(AXES["category"], 1.5)}, "review thresholds"),
        ("review", {}, "is broken"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    encoder: Encoder, tmp_path: Path, key: str, value: object, told: str
) -> None:
    folder = shutil.copytree(plugin.PACKAGED_MODEL, tmp_path / "model")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps({**manifest, key: value}))
    with pytest.raises(ConfigurationError, match=told):
        load_model(folder, encoder)


def test_the_card_tells_of_every_axis() -> None:
    card = (plugin.PACKAGED_MODEL / "MODEL_CARD.md").read_text()
    assert all(f"| {axis} |" in card for axis in AXES)
