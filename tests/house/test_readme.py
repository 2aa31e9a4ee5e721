"""The commands in README run, and its example answer is what the service really says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.testing.running import Running, running_service

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = [
    command.strip()
    for language, block in BLOCKS
    if language == "sh"
    for command in re.sub(r"\\\n\s*", " ", block).split("\n")
    if command.startswith((".venv/bin/", "make "))
]
CURL = next(block for language, block in BLOCKS if language == "sh" and block.startswith("curl"))
ANSWER = json.loads(next(block for language, block in BLOCKS if language == "json"))


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with running_service({"classifier.provider": "xgboost"}) as running:
        yield running


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("make ")])
def test_the_make_target_exists(command: str) -> None:
    words = shlex.split(command, comments=True)
    subprocess.run([words[0], "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True, timeout=20)


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith(".venv/bin/")])
def test_the_command_runs(command: str) -> None:
    words = shlex.split(command.replace(".venv/bin/", f"{Path(sys.executable).parent}/"), comments=True)
    done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


async def test_the_first_request_gets_the_answer_shown(running: Running) -> None:
    body = json.loads(re.search(r"-d '(.*)'", CURL, re.DOTALL).group(1))  # type: ignore[union-attr]
    async with running.client.post("/api/v1/inquiries/submit", json=body) as response:
        assert response.status == 201
        assert lasting(await response.json()) == lasting(ANSWER)


def lasting(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what differs from call to call or from model to model."""
    kept = {key: value for key, value in answer.items() if not key.endswith(("_at", "_id"))}
    for axis in ("category", "sentiment", "urgency"):
        kept[axis] = answer[axis]["label"]
    kept["model"] = answer["model"]["name"]
    kept["routing"] = {key: value for key, value in answer["routing"].items() if key != "sla_due_at"}
    return kept


def test_every_path_in_the_map_exists() -> None:
    block = next(block for language, block in BLOCKS if language == "")
    folder = ROOT
    for line in block.splitlines():
        paths = re.split(r"\s{2,}", line.strip())[0].split()
        inside = folder if line.startswith(" ") else ROOT
        assert [path for path in paths if not (inside / path).exists()] == []
        folder = folder if line.startswith(" ") else ROOT / paths[0]
