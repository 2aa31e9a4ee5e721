"""What every provider with `model_folders` must do, as tests to inherit. Needs pytest and pytest-asyncio.

class TestMyModels(ModelFoldersContract):
    @pytest.fixture
    def provider(self) -> Provider[Classifier]:
        return MY_PROVIDER

    @pytest.fixture
    def model_folder(self, tmp_path: Path) -> Path:
        return shutil.copytree(MY_MODEL, tmp_path / "model")
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from inquiry_svc.contracts import Classifier, Host, Provider
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.classifiers import ORDINARY


class ModelFoldersContract:
    """Inherit it in a class called `Test...`, and override both fixtures."""

    @pytest.fixture
    def provider(self) -> Provider[Classifier]:
        raise NotImplementedError("override the fixture `provider`")

    @pytest.fixture
    def model_folder(self, tmp_path: Path) -> Path:
        """A whole model, in a folder that the test may spoil."""
        raise NotImplementedError("override the fixture `model_folder`")

    async def test_a_folder_is_one_model_however_often_and_wherever_it_is_opened(
        self, provider: Provider[Classifier], model_folder: Path, tmp_path: Path
    ) -> None:
        elsewhere = shutil.copytree(model_folder, tmp_path / "elsewhere")
        async with _opened(provider, model_folder, tmp_path) as one, _opened(provider, elsewhere, tmp_path) as other:
            assert one.model == other.model
            assert await one.classify(ORDINARY) == await other.classify(ORDINARY)
        async with _opened(provider, model_folder, tmp_path) as again:
            assert again.model == one.model

    async def test_what_is_cut_off_or_missing_is_refused_or_does_not_matter(
        self, provider: Provider[Classifier], model_folder: Path, tmp_path: Path
    ) -> None:
        async with _opened(provider, model_folder, tmp_path) as classifier:
            model, verdicts = classifier.model, await classifier.classify(ORDINARY)
        refused = 0
        for file in _files(model_folder):
            whole = file.read_bytes()
            for spoilt in (whole[: len(whole) // 2], b"", None):
                file.write_bytes(spoilt) if spoilt is not None else file.unlink()
                try:
                    async with _opened(provider, model_folder, tmp_path) as classifier:
                        assert (classifier.model, await classifier.classify(ORDINARY)) == (model, verdicts), file.name
                except ConfigurationError as error:
                    assert "\n" not in str(error)
                    refused += 1
                file.write_bytes(whole)
        assert refused >= 3, "not one file of the model matters"

    async def test_it_is_opened_without_holding_up_what_serves_meanwhile(
        self, provider: Provider[Classifier], model_folder: Path, tmp_path: Path
    ) -> None:
        async with _opened(provider, model_folder, tmp_path):  # the first opening may import what it needs
            pass
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        turning = asyncio.create_task(turn())
        async with _opened(provider, model_folder, tmp_path):
            turning.cancel()
        assert turns, "it is read on the event loop; read it in a thread"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _opened(provider: Provider[Classifier], folder: Path, data_dir: Path) -> AbstractAsyncContextManager[Classifier]:
    assert provider.model_folders is not None, "the provider has no `model_folders`"
    settings = replace(provider.settings(), **{provider.model_folders.setting: str(folder)})
    return provider.open(settings, Host(data_dir, Metrics()))
