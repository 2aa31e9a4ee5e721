"""`inquiry-svc console` says where its page is, asks nobody else, shows no key to other users, and ends when told."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import aiohttp
import psutil

from tests.acceptance.serving import COMMAND, child_environ, run_command
from tests.servers import free_port

KEY = "a-key-that-nobody-else-sees"


async def test_it_shows_its_page_until_it_is_stopped(tmp_path: Path) -> None:
    port, key = free_port(), tmp_path / "key"
    key.write_text(f"{KEY}\n")
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "console", "--url", "http://127.0.0.1:1/", "--port", f"{port}"),
        env=child_environ({"PYTHONUNBUFFERED": "1", "INQUIRY_CLIENT__KEY_FILE": str(key), "HOME": "/nonexistent"}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout
        async with asyncio.timeout(60), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            line = (await process.stdout.readline()).decode()
            assert line == f"http://127.0.0.1:{port} shows http://127.0.0.1:1\n"
            while True:
                try:
                    async with client.get("/_stcore/health") as answer:
                        assert answer.status == 200
                        break
                except aiohttp.ClientConnectorError:
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
            async with client.get("/") as answer:
                assert "<title>" in await answer.text()
            assert KEY not in " ".join(psutil.Process(process.pid).cmdline())
            process.send_signal(signal.SIGTERM)
            out, err = await process.communicate()
        assert process.returncode == 0, err
        assert KEY.encode() not in out + err
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = run_command("console", "--port", str(port))
    assert (code, out) == (2, "")
    assert f"can't listen on 127.0.0.1 port {port}" in err


def test_an_address_without_a_scheme_is_refused() -> None:
    code, out, err = run_command("console", "--url", "localhost:8000")
    assert (code, out) == (2, "")
    assert "console.url 'localhost:8000' is no address of a service; give one like http://" in err


def test_its_key_is_never_shown() -> None:
    code, out, err = run_command("config", environ={"INQUIRY_CLIENT__KEY": KEY})
    assert code == 0, err
    assert "client.key" in out
    assert KEY not in out + err
