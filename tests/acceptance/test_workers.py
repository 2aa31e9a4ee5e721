"""`serve --workers N`: every worker serves, a scrape of any shows all, and what keeps it from starting is said once."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
import pytest

from inquiry_svc.testing.exporters import Sample, samples_of
from inquiry_svc.testing.running import running_service
from tests.acceptance.serving import COMMAND, Serving, child_environ, install_plugin, run_command, serving

SUBMIT: Final = "/api/v1/inquiries/submit"
INQUIRY: Final = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
STORED: Final = ("inquiries_processed_total", (("status", "success"),))
RUNNING: Final[Sample] = ("workers_running", ())
RESTARTS: Final[Sample] = ("worker_restarts_total", ())


def connecting_anew(url: str) -> aiohttp.ClientSession:
    """Each request over a connection of its own: any worker may get it."""
    return aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=100, force_close=True))


async def scrape(session: aiohttp.ClientSession) -> dict[Sample, float]:
    async with session.get("/metrics") as answer:
        assert answer.status == 200, await answer.text()
        return samples_of(await answer.read())


async def connected_to(service: Serving, process_id: int) -> aiohttp.ClientSession:
    """A session whose one connection is to this worker."""

    def connections() -> set[object]:
        found = psutil.Process(process_id).net_connections("tcp")
        return {each.raddr for each in found if each.status == psutil.CONN_ESTABLISHED}

    while True:
        before = connections()
        session = aiohttp.ClientSession(service.url, connector=aiohttp.TCPConnector(limit=1))
        async with session.get("/api/v1/health/live") as answer:
            await answer.read()
        if connections() - before:
            return session
        await session.close()


@contextmanager
def stopped(process_id: int) -> Iterator[None]:
    process = psutil.Process(process_id)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


async def test_every_worker_serves_and_a_scrape_of_any_shows_all(tmp_path: Path) -> None:
    environ = {"INQUIRY_LOGGING__REQUESTS": "all"}
    async with serving(tmp_path, "--workers", "2", environ=environ) as service:
        assert len(service.workers()) == 2
        async with connecting_anew(service.url) as session:

            async def submit() -> None:
                async with session.post(SUBMIT, json=INQUIRY) as answer:
                    assert answer.status == 201, await answer.text()

            await asyncio.gather(*(submit() for _ in range(60)))
            for scrapes in range(10):
                found = await scrape(session)
                assert (found[STORED], found[RUNNING], found[RESTARTS]) == (60, 2, 0)
                counted = [value for (name, labels), value in found.items() if _is_scrape(name, dict(labels))]
                assert sum(counted) == scrapes
        served = [line for line in service.logged() if line.get("endpoint") == SUBMIT]
        assert {line["worker"] for line in served} == {1, 2}
        assert len(served) == 60
        told = [line for line in service.logged() if str(line["message"]).startswith("serving on")]
        assert [line.get("worker") for line in told] == [None]


def _is_scrape(name: str, labels: dict[str, str]) -> bool:
    return name == "http_requests_total" and labels["endpoint"] == "/metrics"


async def test_one_process_shows_the_same_metrics_of_workers() -> None:
    async with running_service() as running:
        found = await scrape(running.client)
    assert (found[RUNNING], found[RESTARTS]) == (1, 0)


async def test_a_worker_that_hangs_holds_up_no_scrape_and_a_parent_that_hangs_is_told_of(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2") as service:
        one, other = service.workers()
        async with await connected_to(service, one) as to_one, await connected_to(service, other) as to_other:
            async with to_other.post(SUBMIT, json=INQUIRY) as answer:
                assert answer.status == 201
            assert (await scrape(to_one))[STORED] == 1
            with stopped(other):
                for _ in range(10):  # more than it may owe answers
                    started = time.perf_counter()
                    found = await scrape(to_one)
                    assert (found[STORED], found[RUNNING]) == (1, 2), "its last numbers count on"
                    assert time.perf_counter() - started < 1.9
            async with to_other.post(SUBMIT, json=INQUIRY) as answer:
                assert answer.status == 201
            assert (await scrape(to_one))[STORED] == 2
            with stopped(service.process.pid):
                async with to_one.get("/metrics") as answer:
                    assert answer.status == 503, "its own numbers are not the whole's: counters would go down"
                    assert answer.headers["Retry-After"]
                async with to_one.post(SUBMIT, json=INQUIRY) as answer:
                    assert answer.status == 201, "an inquiry needs no parent"
            assert (await scrape(to_one))[STORED] == (await scrape(to_other))[STORED] == 3


async def test_a_hundred_at_once_with_one_key_store_one_whoever_gets_them(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2") as service, connecting_anew(service.url) as session:

        async def submit(key: str, sent: dict[str, str]) -> tuple[int, str | None, dict[str, Any]]:
            async with session.post(SUBMIT, json=sent, headers={"Idempotency-Key": key}) as answer:
                return answer.status, answer.headers.get("Idempotency-Replayed"), await answer.json()

        for race in range(3):
            answers = await asyncio.gather(*(submit(f"key {race}", INQUIRY) for _ in range(100)))
            assert {status for status, _, _ in answers} <= {201, 409}
            stored = [answer for status, _, answer in answers if status == 201]
            assert len({answer["inquiry_id"] for answer in stored}) == 1
            assert [status for status, replayed, _ in answers if status == 201 and not replayed] == [201]
            others = await asyncio.gather(*(submit(f"key {race}", INQUIRY | {"body": "Other"}) for _ in range(10)))
            assert {status for status, _, _ in others} == {422}
        async with session.get("/api/v1/stats?days=1") as answer:
            assert (await answer.json())["total_inquiries"] == 3
        found = await scrape(session)
        assert found[STORED] == 3


# What keeps it from starting


def refusal(*options: str, expected_code: int = 2, environ: dict[str, str] | None = None) -> str:
    """The one line."""
    code, out, err = run_command("serve", "--workers", "2", *options, environ=environ)
    assert (code, out, err.count("\n")) == (expected_code, "", 1), err
    return err


def test_a_wrong_configuration_is_told_once(tmp_path: Path) -> None:
    memory = {"INQUIRY_STORE__PROVIDER": "memory"}
    told = "inquiry-svc: store 'memory' is seen by one process alone and server.workers is 2; choose another store"
    assert refusal("--port", "0", "--data-dir", str(tmp_path), environ=memory).startswith(told)
    told = "inquiry-svc: data folder '/proc/inquiry-data' can't be written"
    assert refusal("--port", "0", "--data-dir", "/proc/inquiry-data").startswith(told)


async def test_a_port_in_use_is_told_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = f"inquiry-svc: can't listen on 127.0.0.1 port {port}: Address already in use; choose another with --port"
        assert refusal("--port", port, "--data-dir", str(tmp_path)).startswith(told)
    async with serving(tmp_path, "--workers", "2") as service:
        port = service.url.rpartition(":")[2]
        for workers in ("2", "1"):  # two services whose sockets may share a port would do so silently
            told = await asyncio.to_thread(refusal, "--port", port, "--data-dir", str(tmp_path), "--workers", workers)
            assert "Address already in use" in told


ENDING = """
import os, signal
from inquiry_svc.hookspecs import hookimpl

@hookimpl
def lifespan(service):
    {end}
"""


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        ("os._exit(7)", 7, None),
        ("os._exit(0)", 1, "the first worker ended with exit code 0 before it served"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, "the first worker ended with signal SIGKILL before it served"),
    ],
)
def test_a_first_worker_that_dies_ends_the_start(tmp_path: Path, end: str, code: int, told: str | None) -> None:
    install_plugin(tmp_path, "ending_plugin", ENDING.format(end=end))
    environ = {"PYTHONPATH": str(tmp_path)}
    found, _, err = run_command("serve", "--workers", "2", "--port", "0", "--data-dir", str(tmp_path), environ=environ)
    assert found == code
    assert [json.loads(line)["message"] for line in err.splitlines()] == ([told] if told else [])


async def test_the_port_is_held_while_no_worker_lives(tmp_path: Path) -> None:
    """Nobody else can take it, and it is there again for the next worker."""
    async with serving(tmp_path, "--workers", "2") as service:
        port = service.url.rpartition(":")[2]
        for process_id in service.workers():
            psutil.Process(process_id).kill()
        assert "Address already in use" in await asyncio.to_thread(
            refusal, "--port", port, "--data-dir", str(tmp_path), "--workers", "1"
        )
        async with connecting_anew(service.url) as session, asyncio.timeout(20):
            while True:
                try:
                    found = await scrape(session)
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)
                    continue
                if found[RUNNING] == 2:
                    break
        assert found[RESTARTS] == 2
        killed = [line for line in service.logged() if line["level"] == "ERROR"]
        assert all("ended with signal SIGKILL" in line["message"] for line in killed)
        assert len(killed) == 2


async def test_a_stop_while_it_starts_ends_well(tmp_path: Path) -> None:
    """Told at several moments of the start; no process is left."""
    for moment_s in (0.3, 0.6, 1.0):
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, "serve", "--port", "0", "--data-dir", str(tmp_path), "--workers", "2"),
            env=child_environ(),
            stderr=asyncio.subprocess.PIPE,
        )
        await asyncio.sleep(moment_s)
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            _, err = await process.communicate()
        ended_by_it = (-signal.SIGTERM, 128 + signal.SIGTERM)  # before and after the command line minds the signal
        assert process.returncode in (0, *ended_by_it), err
        assert b"Traceback" not in err, err
        psutil.wait_procs(children, timeout=5)
        assert not [child for child in children if child.is_running()]
