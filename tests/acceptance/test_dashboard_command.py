"""`inquiry-svc dashboard` says where its page is, shows a real service, and ends when told."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import aiohttp

from tests.acceptance.serving import COMMAND, child_environ, run_command, serving


async def test_it_shows_a_service_until_it_is_stopped(tmp_path: Path) -> None:
    async with serving(tmp_path) as service:
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, "dashboard", "--url", f"{service.url}/", "--port", "0"),
            env=child_environ({"PYTHONUNBUFFERED": "1"}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout
            async with asyncio.timeout(30):
                line = (await process.stdout.readline()).decode()
                url, _, shown = line.split()
                assert shown == service.url
                async with aiohttp.ClientSession(url) as client:
                    while True:
                        async with client.get("/shown/pipeline-overview.json") as answer:
                            if (await answer.json())["answers"]:
                                break
                        await asyncio.sleep(0.05)
                process.send_signal(signal.SIGTERM)
                _, err = await process.communicate()
            assert (process.returncode, err) == (0, b"")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = run_command("dashboard", "--port", str(port))
    assert (code, out) == (2, "")
    assert (
        err
        == f"inquiry-svc: can't listen on 127.0.0.1 port {port}: Address already in use; choose another with --port\n"
    )
