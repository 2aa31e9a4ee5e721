"""`inquiry-svc health` says by its exit code what an orchestrator wants to know, and in one line why."""

from __future__ import annotations

import asyncio
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inquiry_svc.addresses import url_here
from tests.acceptance.serving import run_command, serving
from tests.servers import free_port


async def test_it_finds_the_service_by_the_same_configuration(tmp_path: Path) -> None:
    open_to_others = {"INQUIRY_AUTH__ANYONE_MAY_CALL": "true"}
    async with serving(tmp_path, "--host", "0.0.0.0", environ=open_to_others) as service:
        environ = {"INQUIRY_SERVER__HOST": "0.0.0.0", "INQUIRY_SERVER__PORT": service.url.rsplit(":", 1)[1]}
        asked = await asyncio.to_thread(run_command, "health", environ={**environ, "http_proxy": "http://127.0.0.1:9"})
    assert asked == (0, "ready\n", "")


async def test_a_service_that_stops_is_not_ready_and_lives(tmp_path: Path) -> None:
    async with serving(tmp_path, environ={"INQUIRY_SERVER__ANNOUNCE_STOP_S": "30"}) as service:
        url = service.url
        assert (await asyncio.to_thread(run_command, "health", "--url", url))[0] == 0
        service.signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            while (asked := await asyncio.to_thread(run_command, "health", "--url", url))[0] == 0:
                pass  # the signal is on its way
        assert await asyncio.to_thread(run_command, "health", "--live", "--url", url) == (0, "live\n", "")
    code, out, err = asked
    assert (code, out) == (1, "")
    assert err == f'inquiry-svc: {url}/api/v1/health/ready answered 503: {{"status":"stopping"}}\n'


def test_nobody_there_is_one_line() -> None:
    code, out, err = run_command("health", "--url", f"http://127.0.0.1:{free_port()}/")
    assert (code, out) == (1, "")
    assert "/api/v1/health/ready gave no such answer" in err
    assert err.count("\n") == 1


def test_an_address_that_can_not_be_reached_and_one_of_another_protocol_are_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        said = thread.submit(_greet, server)
        for port in ("abc", str(server.getsockname()[1])):
            code, out, err = run_command("health", "--url", f"http://127.0.0.1:{port}")
            assert (code, out, err.count("\n")) == (1, "", 1)
            assert "gave no such answer" in err
        said.result()


def _greet(server: socket.socket) -> None:
    server.settimeout(20)
    with server.accept()[0] as connection:
        connection.recv(4096)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_this_machine_reaches_whatever_address_is_listened_to(host: str, url: str) -> None:
    assert url_here(host, 80) == url


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "file:///etc/passwd#"])
def test_an_address_that_is_none_is_wrong_usage(url: str) -> None:
    code, _, err = run_command("health", "--url", url)
    assert (code, err.count("\n")) == (2, 1)
