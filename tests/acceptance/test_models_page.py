"""The walk of docs/models.md, as its commands stand there, beside a real service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from inquiry_svc.models.registry import Registry
from inquiry_svc.settings import ModelsSettings
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL
from tests.acceptance.serving import child_environ, serving

PAGE: Final = (Path(__file__).parents[2] / "docs/models.md").read_text()
SECTIONS: Final = {
    title: re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for title, text in re.findall(r"^# (.+)\n((?:(?!^#).*\n)*)", PAGE.replace("\n## ", "\n# "), re.MULTILINE)
}
WALK: Final = ["Train", "Look at it", "Shadow", "Canary", "Promote", "Roll back"]
CORPUS: Final = PACKAGED_MODEL.with_name("corpus")
LENIENT: Final = {
    f"INQUIRY_MODELS__{name}": value
    for name, value in {
        "MIN_ACCURACY_CATEGORY": "0",
        "MIN_ACCURACY_SENTIMENT": "0",
        "MIN_ACCURACY_URGENCY": "0",
        "MAX_ACCURACY_LOSS": "1",
        "MIN_AGREEMENT": "0",
        "MIN_TEXTS": "20",
        "CANARY_SHARE": "1",
    }.items()
}
"""A model that learnt from little passes, and the canary is everybody's."""


@dataclass
class Walk:
    """Runs the page's commands in a folder, knowing what the page exported, and with this model for its own."""

    folder: Path
    url: str
    digest: str = ""
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, title: str) -> str:
        commands = "".join(SECTIONS[title]).replace("http://127.0.0.1:8000", self.url)
        commands = re.sub(r"^(inquiry-svc model diff .*)$", r"\1 || [ $? = 1 ]", commands, flags=re.MULTILINE)
        [exports] = SECTIONS["Models"]
        exported = re.sub("(?<=CORPUS=).*", str(self.folder / "corpus"), exports, count=1)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", exported + commands.replace("b158", self.digest or "b158")],
            cwd=self.folder,
            env=child_environ({**LENIENT, "PATH": path, **self.environ}),
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout


def small_corpus(folder: Path) -> None:
    """Of some files the first rows."""
    (folder / "judging").mkdir(parents=True)
    for file in [
        *(CORPUS / f"authored-{hand}.jsonl" for hand in (10, 11, 12)),
        *CORPUS.glob("judging/judging-*.jsonl"),
    ]:
        lines = file.read_text().splitlines(keepends=True)[:60]
        (folder / file.relative_to(CORPUS)).write_text("".join(lines))


async def answered_by(session: aiohttp.ClientSession, digest: str) -> dict[str, Any]:
    """Submit until this model answers."""
    number = 0
    async with asyncio.timeout(60):
        while True:
            sent = {"body": f"My card was charged twice, order {number}.", "sender_email": "ana@example.org"}
            async with session.post("/api/v1/inquiries/submit", json=sent) as answer:
                found: dict[str, Any] = await answer.json()
            if found["model"]["digest"].startswith(digest):
                return found
            number += 1
            await asyncio.sleep(0.05)


@pytest.mark.timeout(600)
async def test_the_walk_goes_as_the_page_says(tmp_path: Path) -> None:
    small_corpus(tmp_path / "corpus")
    built_in = json.loads((PACKAGED_MODEL / "manifest.json").read_bytes())["digest"]
    assert list(SECTIONS)[1:8] == ["Correct", *WALK], "the walk has other steps"
    async with (
        serving(tmp_path / "inquiry-data", "--workers", "2", environ=LENIENT) as service,
        aiohttp.ClientSession(service.url) as session,
    ):
        walk = Walk(tmp_path, service.url)

        async def run(title: str) -> str:
            return await asyncio.to_thread(walk.run, title)

        walk.environ["ID"] = (await answered_by(session, built_in))["inquiry_id"]
        corrected = json.loads(await run("Correct"))
        assert corrected["feedback"]["category"] == "billing"

        told = await run("Train")
        assert told.startswith("rows from the store: 1\n")
        [model] = Registry(tmp_path / "inquiry-data").models()
        walk.digest = model.digest
        assert "learnt from 181 rows" in told
        [row] = [json.loads(line) for line in (tmp_path / "feedback.jsonl").read_text().splitlines()]
        assert (row["category"], row["sentiment"], row["urgency"]) == ("billing", None, "high")

        assert f"B  xgboost {model.digest}" in await run("Look at it")
        assert 'model_candidate_texts_total{alias="shadow",result="failed"} 0.0' in await run("Shadow")
        assert await run("Canary")
        await answered_by(session, model.digest)
        assert await run("Promote")
        await answered_by(session, model.digest)
        history = await run("Roll back")
        await answered_by(session, built_in)
    assert [" ".join(line.split()[3:6]) for line in history.splitlines()[-8:] if not line.startswith(" ")][-4:] == [
        "promote shadow, none",
        "promote challenger, none",
        "promote champion, built-in",
        "roll back champion,",
    ]


def test_the_limits_of_the_page_are_all_that_there_are() -> None:
    named = set(re.findall(r"`((?:min|max)_\w+)`", PAGE)) | {"min_accuracy_sentiment", "min_accuracy_urgency"}
    assert named == {each.name for each in fields(ModelsSettings)} - {"judging", "canary_share"}
