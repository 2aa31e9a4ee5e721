"""The commands of docs/erasing.md do what it says, as they stand there, beside a real service."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.acceptance.serving import child_environ, serving

PAGE: Final = (Path(__file__).parents[2] / "docs/erasing.md").read_text()
SENDER, BY_ID, OVER_HTTP, ANEW = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
INQUIRIES: Final = "/api/v1/inquiries"


def bash(folder: Path, script: str, *, stdin: str = "", **environ: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=child_environ({"PATH": path, **environ}),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="the page's commands need curl")
async def test_inquiries_are_erased_as_the_page_says(tmp_path: Path) -> None:
    [cron] = re.findall(r"^30 2 \* \* \* /srv/venv/bin/(.*)$", PAGE, re.MULTILINE)
    async with (
        serving(tmp_path / "inquiry-data") as service,
        aiohttp.ClientSession(service.url) as session,
    ):

        async def submitted(sender: str, **more: str) -> str:
            sent = {"body": "hello", "sender_email": sender, **more}
            async with session.post(f"{INQUIRIES}/submit", json=sent) as answer:
                return str((await answer.json())["inquiry_id"])

        async def stored() -> set[str]:
            async with session.get(INQUIRIES) as answer:
                return {each["inquiry_id"] for each in (await answer.json())["items"]}

        await submitted("Ana@Example.ORG")
        await submitted("bo@example.org", received_at="2020-02-02T02:02:02Z")
        one, other, third = [await submitted("cleo@example.org") for _ in range(3)]
        assert "1 inquiries erased" in await asyncio.to_thread(bash, tmp_path, SENDER, stdin="y\n")
        by_cron = cron.replace("/srv/inquiry-data", "inquiry-data")
        assert "1 inquiries erased" in await asyncio.to_thread(bash, tmp_path, by_cron)
        assert await stored() == {one, other, third}
        assert "1 inquiries erased" in await asyncio.to_thread(bash, tmp_path, BY_ID, ID=one)
        script = OVER_HTTP.replace("http://127.0.0.1:8000", service.url)
        assert await asyncio.to_thread(bash, tmp_path, script, ID=other) == ""
        assert await stored() == {third}


async def test_the_file_is_written_anew_as_the_page_says(tmp_path: Path) -> None:
    async with serving(tmp_path / "inquiry-data") as service, aiohttp.ClientSession(service.url) as session:
        for number in range(20):
            sent = {"body": f"wombat {number} " * 99, "sender_email": "ana@example.org"}
            async with session.post(f"{INQUIRIES}/submit", json=sent) as answer:
                assert answer.status == 201
    file = tmp_path / "inquiry-data/inquiries.sqlite3"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM inquiries")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"wombat" in file.read_bytes()
    await asyncio.to_thread(bash, tmp_path, ANEW)
    assert b"wombat" not in file.read_bytes()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
