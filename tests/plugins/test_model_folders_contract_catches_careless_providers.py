"""The suite for models in folders fails a provider that reads what is spoilt, or reads it on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inquiry_svc.contracts import Classifier, Host, Provider
from inquiry_svc.model_folders import ModelFolders
from inquiry_svc.testing.model_folders import ModelFoldersContract
from tests.model_folders import FILE, FOLDERED, FolderClassifier, FolderModels, FolderSettings, write_model

SUITE = ModelFoldersContract()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", "sales")


@asynccontextmanager
async def open_whatever(settings: FolderSettings, host: Host) -> AsyncIterator[Classifier]:
    content = await asyncio.to_thread(lambda: [file.read_bytes() for file in Path(settings.model).glob(FILE)])
    yield FolderClassifier(str(content), "sales", "answer")


@asynccontextmanager
async def open_differently(settings: FolderSettings, host: Host) -> AsyncIterator[Classifier]:
    yield FolderClassifier(settings.model, "sales", "answer")


async def test_one_that_keeps_it_passes_but_for_where_it_reads(folder: Path, tmp_path: Path) -> None:
    (provider,) = FolderModels().register_classifiers()
    await SUITE.test_a_folder_is_one_model_however_often_and_wherever_it_is_opened(provider, folder, tmp_path)
    await SUITE.test_what_is_cut_off_or_missing_is_refused_or_does_not_matter(provider, folder, tmp_path)
    with pytest.raises(AssertionError, match="read it in a thread"):
        await SUITE.test_it_is_opened_without_holding_up_what_serves_meanwhile(provider, folder, tmp_path)


async def test_one_that_opens_what_is_cut_off_fails(folder: Path, tmp_path: Path) -> None:
    provider: Provider[Classifier] = Provider(FOLDERED, open_whatever, FolderSettings, model_folders=ModelFolders())
    await SUITE.test_it_is_opened_without_holding_up_what_serves_meanwhile(provider, folder, tmp_path)
    with pytest.raises(AssertionError, match=FILE):
        await SUITE.test_what_is_cut_off_or_missing_is_refused_or_does_not_matter(provider, folder, tmp_path)


async def test_one_whose_digest_is_of_the_place_and_not_of_the_content_fails(folder: Path, tmp_path: Path) -> None:
    provider: Provider[Classifier] = Provider(FOLDERED, open_differently, FolderSettings, model_folders=ModelFolders())
    with pytest.raises(AssertionError):
        await SUITE.test_a_folder_is_one_model_however_often_and_wherever_it_is_opened(provider, folder, tmp_path)
