"""The example plugin, installed into a folder of its own as anybody's would be, is found and does what it says."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import asyncio, json
from inquiry_svc.testing.running import running_service

async def main():
    async with running_service({"classifier.provider": "shortest"}) as running:
        body = {"body": "Where is it?", "sender_email": "ana@example.org"}
        async with running.client.post("/api/v1/inquiries/submit", json=body) as answer:
            inquiry, timing = await answer.json(), answer.headers["Server-Timing"]
        async with running.client.get("/example/business") as answer:
            business = await answer.json()
        async with running.client.get("/metrics") as answer:
            page = await answer.text()
    print(json.dumps({"inquiry": inquiry, "timing": timing, "business": business, "page": page}))

asyncio.run(main())
"""

SUITE = """
from pathlib import Path

import pytest
from example_outsider import open_diary

from inquiry_svc.contracts import Host, NoSettings
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.notifiers import Heard, NotifierContract


class Diary:
    def __init__(self, folder):
        self.folder, self.elsewhere = folder / "data", folder / "elsewhere"
        self.folder.mkdir()

    def open_notifier(self):
        return open_diary(NoSettings(), Host(self.folder, Metrics()))

    async def heard(self):
        lines = (self.folder / "diary.txt").read_text().splitlines()
        return [Heard(*line.split()[1:]) for line in lines]

    async def become(self, state):
        if (state == "well") != self.folder.exists():
            self.folder.rename(self.elsewhere) if self.folder.exists() else self.elsewhere.rename(self.folder)


class TestDiary(NotifierContract):
    @pytest.fixture
    def receiver(self, tmp_path):
        return Diary(tmp_path)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the plugin in it."""
    source = tmp_path_factory.mktemp("source") / "example_outsider"
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "plugins/example_outsider", source)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(source)]
    subprocess.run(command, check=True, timeout=100)
    return folder


def run_with(installed: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_not_there_until_it_is_installed() -> None:
    assert "shortest" not in run_with(Path("nowhere"), "-m", "inquiry_svc.cli", "plugins")


def test_it_is_found_by_being_installed(installed: Path) -> None:
    line = next(
        line for line in run_with(installed, "-m", "inquiry_svc.cli", "plugins").splitlines() if "shortest" in line
    )
    assert line.split() == ["classifier", "shortest", "example_outsider", "example_outsider", "-"]


def test_its_setting_is_checked_like_any_other(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[classifier.shortest]\nurgent_below_characters = 20\n")
    assert "valid" in run_with(installed, "-m", "inquiry_svc.cli", "config", "check", str(file))


def test_its_notifier_does_what_every_notifier_must(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "test_diary.py"
    file.write_text(SUITE)
    options = ("-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", f"--rootdir={tmp_path}")
    said = run_with(installed, "-m", "pytest", *options, str(file))
    assert " passed" in said
    assert "skipped" not in said


async def test_its_classifier_metric_route_and_middleware_work(installed: Path) -> None:
    seen = json.loads(await asyncio.to_thread(run_with, installed, "-c", SCRIPT))
    assert seen["inquiry"]["model"]["name"] == "shortest"
    assert seen["inquiry"]["urgency"]["label"] == "high"
    assert seen["timing"].startswith("total;dur=")
    assert seen["business"] == {"technical_support/technical_support": 1.0}
    assert 'business_metric_total{category="technical_support",department="technical_support"} 1.0' in seen["page"]
    assert 'business_metric_total{category="billing",department="finance"} 0.0' in seen["page"]
