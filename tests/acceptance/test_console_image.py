"""The console's image, run as compose.yaml runs it: on a root that can't be written, with its libraries alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.deployment import compose
from tests.image import Image, built
from tests.servers import free_port

CONSOLE = compose()["services"]["console"]
START_LIMIT_S = 60.0

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("image")]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with TemporaryDirectory(prefix="inquiry-svc-console-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the image's user
        yield built(folder, **CONSOLE["build"]["args"])


async def test_its_page_answers_and_ends_when_told(image: Image) -> None:
    port, [key_name] = f"{free_port()}", CONSOLE["secrets"]
    key = image.folder / key_name
    key.write_text("a key")
    environ = {
        name: value.replace(f"/run/secrets/{key_name}", str(key))
        for name, value in {**image.environ, **CONSOLE["environment"], "INQUIRY_CONSOLE__PORT": port}.items()
    }
    [*ask, question] = CONSOLE["healthcheck"]["test"][1:]
    question = question.replace("8501", port)
    console = await asyncio.create_subprocess_exec(
        *image.contained([*image.entry_point, *CONSOLE["command"]]),
        env=environ,
        cwd="/",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                check = await asyncio.create_subprocess_exec(
                    *image.contained([*ask, question]), env=environ, stderr=asyncio.subprocess.DEVNULL
                )
                if await check.wait() == 0:
                    break
                assert console.returncode is None, "it ended at once"
            outer = psutil.Process(console.pid)
            (outer.children()[0] if os.geteuid() == 0 else outer).send_signal(signal.SIGTERM)
            assert await console.wait() == 0
    finally:
        if console.returncode is None:
            for child in psutil.Process(console.pid).children(recursive=True):
                child.kill()
            console.kill()
            await console.wait()


@pytest.mark.parametrize("name", ["asyncpg", "redis", "aiobotocore", "xgboost", "pytest"])
def test_it_has_nothing_that_only_the_service_needs(image: Image, name: str) -> None:
    python = image.folder / "opt/inquiry-svc/bin/python"
    looked = subprocess.run([python, "-c", f"import {name}"], capture_output=True, text=True, timeout=30, check=False)
    assert f"No module named '{name}'" in looked.stderr


def test_its_size_is_that_of_streamlit(image: Image) -> None:
    size = sum(file.stat().st_size for file in (image.folder / "opt").rglob("*") if not file.is_symlink())
    print(f"{size / 1e6:.0f} MB beside the base")
    assert size < 600e6
