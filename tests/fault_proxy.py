"""Stands between the service and a server it uses, and does to the connection what networks do. For tests alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, TypeAlias

Fault: TypeAlias = Literal["none", "hang", "reset", "garbage"]


class FaultProxy:
    """Change what it does, and which server it leads to, at any time."""

    def __init__(self, server_port: int) -> None:
        self.fault: Fault = "none"
        self.delay_s = 0.0
        """Of each chunk of an answer."""
        self.answers_to_cut = 0
        """So many of the next answers never arrive, though the server gave them: the connection breaks instead."""
        self.server_port = server_port
        """For connections to come."""
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._ask(reader, up_writer, writer))
                    group.create_task(self._answer(up_reader, writer))
            finally:
                up_writer.close()
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # either side is gone, or the test is over
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _ask(self, reader: asyncio.StreamReader, up: asyncio.StreamWriter, down: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            if self.fault == "reset":
                down.transport.abort()
                raise ConnectionResetError
            if self.fault == "garbage":
                down.write(b"\x00\xffHTTP/1.1 400 ?\r\n$-7\r\n*9\r\n")
            elif self.fault == "none":
                up.write(chunk)
        raise ConnectionResetError

    async def _answer(self, up: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        while chunk := await up.read(65536):
            if self.answers_to_cut:
                self.answers_to_cut -= 1
                down.transport.abort()
                raise ConnectionResetError
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            down.write(chunk)
        raise ConnectionResetError

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def fault_proxy(server_port: int) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(server_port)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.stop()
