"""docs/security.md: its commands run as they stand there, its settings are settings, its scopes are the code's."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from inquiry_svc.api_keys import SCOPES
from inquiry_svc.catalogue import REFUSALS
from inquiry_svc.config import load_settings
from inquiry_svc.plugins import Offers, build_manager
from tests.acceptance.serving import child_environ, serving

PAGE: Final = (Path(__file__).parents[2] / "docs/security.md").read_text()
MAKE, CALL, AUDIT = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def bash(folder: Path, script: str, **environ: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=child_environ({"PATH": path, **environ}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_names_every_scope_and_every_reason() -> None:
    assert re.findall(r"^\| `(submit|read|review|metrics|admin)` \|", PAGE, re.MULTILINE) == list(SCOPES)
    [counted] = re.findall(r"`http_requests_refused_total{reason}`: (.*?)\. There", PAGE, re.DOTALL)
    assert tuple(re.findall(r"`(\w+)`", counted)) == REFUSALS


def test_its_settings_are_settings(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    (tmp_path / "service.toml").write_text("".join(blocks))
    settings, _ = load_settings(Offers(build_manager()), file=tmp_path / "service.toml")
    assert (settings.auth.keys_file, settings.server.admin_port, settings.limits.requests) == (
        *("/etc/inquiry-svc/api-keys", 9090),
        600,
    )


@pytest.mark.skipif(not (shutil.which("jq") and shutil.which("curl")), reason="the page's commands need jq and curl")
async def test_a_key_is_made_used_and_audited_as_the_page_says(tmp_path: Path) -> None:
    website, ana, *listed = (await asyncio.to_thread(bash, tmp_path, MAKE)).splitlines()
    assert [line.split()[0] for line in listed] == ["website", "ana"]
    environ = {"INQUIRY_AUTH__KEYS_FILE": str(tmp_path / "api-keys")}
    async with serving(tmp_path / "data", environ=environ) as service:
        script = CALL.replace("http://127.0.0.1:8000", service.url)
        assert (await asyncio.to_thread(bash, tmp_path, script, KEY=ana)).count('"total_inquiries":0') == 2
        assert (await asyncio.to_thread(bash, tmp_path, script, KEY=website)).count("takes the scope read") == 2
        headers = {"Authorization": f"Bearer {ana}"}
        async with aiohttp.ClientSession(service.url, headers=headers) as session:
            for call in ("feedback", "resolve"):
                url = f"/api/v1/inquiries/01a21482-a654-72cd-b233-a80edd837d83/{call}"
                async with session.post(url, json={"category": "billing"} if call == "feedback" else None) as answer:
                    assert answer.status == 404
        service.signal(signal.SIGTERM)
        await service.exit_code(within_s=20)
    (tmp_path / "app.log").write_text("".join(service.lines))
    found = await asyncio.to_thread(bash, tmp_path, AUDIT)
    assert [word in found for word in ('"action":"give_feedback"', '"action":"resolve"', '"caller":"ana"')] == [
        True
    ] * 3
