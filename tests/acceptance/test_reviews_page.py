"""The commands of docs/reviews.md do what it says, as they stand there, beside a real service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from inquiry_svc.inquiries import REVIEW_REASONS
from tests.acceptance.serving import child_environ, serving

PAGE: Final = (Path(__file__).parents[2] / "docs/reviews.md").read_text()
BLOCKS: Final[list[str]] = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def bash(folder: Path, script: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=child_environ({"PATH": path}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_names_every_reason() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(REVIEW_REASONS)


@pytest.mark.skipif(not shutil.which("jq"), reason="the page's commands read JSON with jq")
async def test_a_review_goes_as_the_page_says(tmp_path: Path) -> None:
    *review, find = BLOCKS
    async with serving(tmp_path) as service, aiohttp.ClientSession(service.url) as session:
        for body in ("hello", "merci beaucoup"):
            sent = {"body": body, "sender_email": "ana@example.org"}
            async with session.post("/api/v1/inquiries/submit", json=sent) as answer:
                assert answer.status == 201
        script = "".join(review).replace("http://127.0.0.1:8000", service.url)
        shown = await asyncio.to_thread(bash, tmp_path, script)
        claimed, feedback, skipped = json.loads("[" + shown.replace("}\n{", "},{") + "]")
        assert "no_evidence" in claimed["review_reasons"]
        assert (feedback["reviewer"], feedback["category"]) == ("Ana", "legal")
        assert skipped["claimed_by"] is None
        async with session.get("/api/v1/reviews") as answer:
            (left,) = (await answer.json())["items"]
        assert left["inquiry"]["body"] != claimed["body"]
    rows = [{"body": "My card was charged twice.", "category": "billing"}, {"body": "hello", "category": "hr"}]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "[review.below_confidence]" in await asyncio.to_thread(bash, tmp_path, find)
    code = "inquiry-svc evaluate labelled.jsonl --config review.toml"
    assert code in PAGE
    assert "the rest" in await asyncio.to_thread(bash, tmp_path, code)
