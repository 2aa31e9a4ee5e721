"""The walk of docs/tutorial.md: each command as it stands there, and what the page says is seen."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.serving import child_environ, serving

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs/tutorial.md").read_text()
BLOCKS: Final[list[tuple[str, str]]] = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SERVE: Final = re.compile(r"(?:INQUIRY_\w+=\w+ )?make run\n")


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody in a clone, to whom pip gives a folder of their own instead of this environment."""

    clone: Path
    packages: Path

    def environ(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return child_environ({"PATH": path, "PYTHONPATH": str(self.packages)})

    def bash(self, script: str) -> str:
        done = subprocess.run(
            [
                "bash",
                "-eu",
                "-o",
                "pipefail",
                "-c",
                script.replace("pip install", f"pip install --target {self.packages}"),
            ],
            cwd=self.clone,
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{script}\n{done.stdout}"
        return done.stdout


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    shutil.copytree(ROOT / "plugins/example_outsider", tmp_path / "clone/plugins/example_outsider")
    return Reader(tmp_path / "clone", tmp_path / "packages")


@pytest.mark.timeout(300)
async def test_the_walk_goes_as_the_page_says(reader: Reader) -> None:
    seen = ""
    async with AsyncExitStack() as running:
        for language, block in BLOCKS:
            if language == "text":
                assert lasting(block) == lasting(seen)
            elif language == "json":
                assert part_of(json.loads(block), json.loads(seen))
            elif SERVE.fullmatch(block):
                await running.aclose()
                chosen = dict(word.split("=") for word in block.split() if "=" in word)
                data_dir = reader.clone / "inquiry-data"
                service = await running.enter_async_context(serving(data_dir, environ={**reader.environ(), **chosen}))
                [seen] = [line["message"] + "\n" for line in service.logged() if line["message"].startswith("serving")]
            elif "pip uninstall" in block:
                continue  # pip looks for what it removes in this environment alone
            else:
                seen = await asyncio.to_thread(reader.bash, block.replace("http://127.0.0.1:8000", service.url))


def lasting(text: str) -> list[str]:
    """Its words, but for ports and for confidences, which another model has others of."""
    return re.sub(r":\d+|\b0\.\d+", "", text).split()


def part_of(expected: Any, found: Any) -> bool:
    if isinstance(expected, dict):
        return all(part_of(value, found[key]) for key, value in expected.items())
    return bool(expected == found)


def test_the_pages_plugins_are_removed_by_their_names() -> None:
    [removed] = [block.split()[4:] for language, block in BLOCKS if "pip uninstall" in block]
    example = (ROOT / "plugins/example_outsider/pyproject.toml").read_text()
    assert removed == re.findall(r'^name = "(.*)"', PAGE + example, re.MULTILINE)
