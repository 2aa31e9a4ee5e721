"""What the image holds, run as the image runs it: nothing to build with, nothing lost when it is told to stop."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil
import pytest

from tests.api_keys import bearing, written_keys
from tests.deployment import rendered
from tests.image import Image, built
from tests.servers import free_port
from tests.servers.postgres import postgres_server

INQUIRY = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
START_LIMIT_S = 60.0

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("image")]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    if not shutil.which("cc"):
        pytest.skip("the image compiles the quick classifier: install gcc")
    with TemporaryDirectory(prefix="inquiry-svc-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the image's user
        yield built(folder)


def environ_of(image: Image, port: int, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The image's own variables and no others: no HOME either."""
    asked_in_front = {"INQUIRY_AUTH__ANYONE_MAY_CALL": "true"}
    return {**image.environ, "INQUIRY_SERVER__PORT": str(port), **(asked_in_front if more is None else more)}


async def is_healthy(image: Image, port: int) -> bool:
    check = await asyncio.create_subprocess_exec(
        *image.contained(image.health_check), env=environ_of(image, port), stderr=asyncio.subprocess.DEVNULL
    )
    return await check.wait() == 0


@asynccontextmanager
async def container(
    image: Image, port: int, *arguments: str, more: Mapping[str, str] | None = None
) -> AsyncIterator[psutil.Process]:
    """Its first process, once the health check says that it is well; what is left of it at the end is killed.

    What it logs is among what the test prints.
    """
    started = await asyncio.create_subprocess_exec(
        *image.contained([*image.entry_point, *(arguments or image.command)]),
        env=environ_of(image, port, more),
        cwd="/",
    )
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while not await is_healthy(image, port):
                assert started.returncode is None, "it ended at once"
        outer = psutil.Process(started.pid)
        yield outer.children()[0] if os.geteuid() == 0 else outer
        async with asyncio.timeout(20):
            assert await started.wait() == 0
    finally:
        if started.returncode is None:
            for child in psutil.Process(started.pid).children(recursive=True):
                child.kill()
            started.kill()
            await started.wait()


async def test_it_does_not_start_open_to_others_unless_told_to(image: Image) -> None:
    done = await asyncio.create_subprocess_exec(
        *image.contained([*image.entry_point, *image.command]),
        env=environ_of(image, free_port(), {}),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(START_LIMIT_S):
        _, said = await done.communicate()
    assert (done.returncode, b"there are no API keys" in said) == (2, True), said


async def submit_until_refused(session: aiohttp.ClientSession, acknowledged: list[str]) -> None:
    while True:
        try:
            async with session.post("/api/v1/inquiries/submit", json=INQUIRY) as answer:
                assert answer.status == 201, await answer.text()
                acknowledged.append((await answer.json())["inquiry_id"])
        except aiohttp.ClientConnectorError:
            return


async def test_it_serves_stops_when_told_and_has_kept_all_that_it_acknowledged(image: Image) -> None:
    port, acknowledged = free_port(), list[str]()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with container(image, port) as first:
            if os.geteuid() == 0:
                assert (first.uids().real, first.gids().real) == (image.user, image.user)
            clients = [asyncio.create_task(submit_until_refused(session, acknowledged)) for _ in range(64)]
            while len(acknowledged) < 1000:
                assert not any(client.done() for client in clients)
                await asyncio.sleep(0.01)
            first.send_signal(signal.SIGTERM)
            await asyncio.gather(*clients)
        assert not await is_healthy(image, port)
        async with container(image, port) as again:
            for inquiry_id in acknowledged:
                async with session.get(f"/api/v1/inquiries/{inquiry_id}") as answer:
                    assert answer.status == 200, f"{inquiry_id} was acknowledged and is gone"
            again.send_signal(signal.SIGTERM)


async def test_with_workers_the_first_process_leaves_no_dead_one_behind(image: Image) -> None:
    port = free_port()
    async with container(image, port, *image.command, "--workers", "2") as parent:
        async with asyncio.timeout(START_LIMIT_S):
            while len(workers := parent.children()) < 2:
                assert parent.is_running()
                await asyncio.sleep(0.05)
            workers[0].kill()
            while workers[0].is_running() or len(parent.children()) < 2:
                assert parent.is_running()
                await asyncio.sleep(0.05)
        assert [each.status() for each in parent.children()].count(psutil.STATUS_ZOMBIE) == 0
        parent.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("name", ["pip", "setuptools", "wheel", "xgboost", "scipy", "pytest"])
def test_it_has_nothing_to_build_train_or_test_with(image: Image, name: str) -> None:
    python = image.folder / "opt/inquiry-svc/bin/python"
    looked = subprocess.run([python, "-c", f"import {name}"], capture_output=True, text=True, timeout=30, check=False)
    assert f"No module named '{name}'" in looked.stderr


@pytest.mark.parametrize("extra", ["asyncpg", "redis", "aiobotocore", "opentelemetry.proto", "promql_parser"])
def test_it_has_every_extra_for_serving(image: Image, extra: str) -> None:
    python = image.folder / "opt/inquiry-svc/bin/python"
    subprocess.run([python, "-W", "error", "-c", f"import {extra}"], timeout=60, check=True)


def test_what_it_lacks_for_the_console_it_says_how_to_get(image: Image) -> None:
    done = subprocess.run(
        image.contained([*image.entry_point, "console"]),
        env=environ_of(image, free_port()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "the console needs streamlit; install it with pip install 'inquiry-svc[streamlit]'" in done.stdout


def test_it_has_the_quick_classifier(image: Image) -> None:
    [kernel] = (image.folder / "opt").rglob("inquiry_svc_plugins/classifiers/xgboost/fast/kernel.so")
    assert kernel.stat().st_size > 0


def test_its_size_is_that_of_a_service_without_training(image: Image) -> None:
    size = sum(file.stat().st_size for file in (image.folder / "opt").rglob("*") if not file.is_symlink())
    print(f"{size / 1e6:.0f} MB beside the base")
    assert size < 250e6


def test_as_a_cluster_runs_it_the_migration_alone_brings_the_schema(image: Image) -> None:
    [variables] = [each["data"] for each in rendered("overlays/development") if each["kind"] == "ConfigMap"]
    secret = image.folder / "postgres-url"
    key = written_keys(image.folder / "api-keys", {"reader": ("read",)})["reader"]
    given = {
        name: str(image.folder / Path(value).name) if name.endswith("_FILE") else value
        for name, value in variables.items()
    }

    def ended(command: str) -> tuple[int, str]:
        done = subprocess.run(
            image.contained([*image.entry_point, command]),
            env=environ_of(image, free_port(), given),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    with postgres_server() as postgres:
        secret.write_text(postgres.url())
        code, said = ended("serve")
        assert (code, "run inquiry-svc migrate" in said) == (2, True), said
        for what in ("applied migration 1", "no migration was due"):
            code, said = ended("migrate")
            assert (code, what in said) == (0, True), said
        asyncio.run(_serves(image, given, key))


async def _serves(image: Image, given: Mapping[str, str], key: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(url) as session, container(image, port, more=given) as first:
        async with session.get("/api/v1/health") as answer:
            assert (await answer.json())["components"]["database"]["provider"] == "postgres"
        for headers, wanted in (({}, 401), (bearing(key), 200)):
            async with session.get("/api/v1/stats", headers=headers) as answer:
                assert answer.status == wanted
        first.send_signal(signal.SIGTERM)
