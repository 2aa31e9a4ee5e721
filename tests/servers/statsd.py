"""A StatsD server for a test: it adds up counters and keeps the last level of each gauge, as any of its kind does."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from inquiry_svc.testing.exporters import Sample, sample_key

LINE: Final = re.compile(r"(?P<name>[a-z_.]+):(?P<number>[-+.e0-9]+)\|(?P<kind>[cg])(\|#(?P<tags>[!-~]+))?")


class StatsdServer:
    def __init__(self, listening: socket.socket) -> None:
        self.lines: list[str] = []
        self.longest_bytes = 0
        """Of the datagrams with more than one line."""
        self._listening = listening
        self._known: dict[Sample, float] = {}

    @property
    def known(self) -> dict[Sample, float]:
        """By all that was sent until now."""
        self.read()
        return self._known

    def read(self) -> None:
        while True:
            try:
                datagram = self._listening.recv(2**16)
            except BlockingIOError:
                return
            lines = datagram.decode("ascii").split("\n")
            if len(lines) > 1:
                self.longest_bytes = max(self.longest_bytes, len(datagram))
            self.lines += lines
            for line in lines:
                self._take(line)

    def _take(self, line: str) -> None:
        found = LINE.fullmatch(line)
        assert found, line
        tags = [tag.partition(":") for tag in (found["tags"] or "").split(",") if tag]
        assert all(len(name) + 1 + len(value) <= 200 for name, _, value in tags)
        key = sample_key(found["name"], {name: value for name, _, value in tags})
        number = float(found["number"])
        if found["kind"] == "c":
            self._known[key] = self._known.get(key, 0.0) + number
        elif number < 0:  # the first servers take a sign for "by so much"
            self._known[key] += number
        else:
            self._known[key] = number


@asynccontextmanager
async def statsd_server(port: int = 0) -> AsyncIterator[tuple[StatsdServer, int]]:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", port))
        listening.setblocking(False)
        server = StatsdServer(listening)
        loop.add_reader(listening, server.read)
        try:
            yield server, listening.getsockname()[1]
        finally:
            server.read()
            loop.remove_reader(listening)
