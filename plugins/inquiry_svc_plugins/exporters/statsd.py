"""The exporter `statsd`: sends UDP to a StatsD server, with labels as DogStatsD tags.

Counters go as what was added since the last time that something was sent, gauges as levels, histograms as counters of
their buckets, count and sum (see `changes.py`). UDP promises nothing: what a server loses is lost; only that there is
none on this machine is noticed, and what was for it is sent again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from msgspec import Meta

from inquiry_svc.contracts import Exporter, Host, Provider, PushingExporter
from inquiry_svc.errors import Unavailable
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Snapshot
from inquiry_svc.settings import Seconds
from inquiry_svc_plugins.exporters.changes import Change, changes, plain

_DATAGRAM_BYTES: Final = 1432
"""What fits into one Ethernet frame; a line that is longer goes alone."""
_AT_ONCE: Final = 32
_BREATH_S: Final = 0.001
"""A server's socket holds about 90 datagrams unless it was told to hold more; past that they are lost."""
_TAG_CHARACTERS: Final = 200
"""DogStatsD's limit for a tag, its name included."""


@dataclass(frozen=True, slots=True)
class StatsdSettings:
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 8125
    period_s: Seconds = 10.0
    prefix: str = ""
    """Before each name, as it stands: `inquiry_svc.`"""


class StatsdExporter:
    def __init__(self, settings: StatsdSettings, server: socket.socket) -> None:
        """`server` is where a datagram goes: a socket that is connected to it."""
        self.period_s = settings.period_s
        self._prefix = settings.prefix
        self._server = server

    async def push(self, snapshot: Snapshot, sent: Snapshot) -> None:
        lines = (line for change in changes(snapshot, sent) for line in _lines(change, self._prefix))
        datagrams = list(_datagrams(lines))  # first all, then sent: who is killed in between has sent nothing
        loop = asyncio.get_running_loop()
        try:
            for number, datagram in enumerate(datagrams, start=1):
                await loop.sock_sendall(self._server, datagram)
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(_BREATH_S)
        except ConnectionRefusedError as error:  # of the datagram before
            raise Unavailable("the statsd server is not there") from error
        if refusal := self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise Unavailable("the statsd server is not there") from OSError(refusal, os.strerror(refusal))


def _lines(change: Change, prefix: str) -> Iterator[str]:
    tags = ",".join(
        f"{name}:{plain(value, at_most=_TAG_CHARACTERS - len(name) - 1)}" for name, value in change.labels.items()
    )
    end = f"|{'g' if change.is_level else 'c'}{f'|#{tags}' if tags else ''}"
    if change.is_level and change.value < 0:
        yield f"{prefix}{change.name}:0{end}"  # a sign means "by so much" to some servers
    number = repr(change.value).removesuffix(".0")
    yield f"{prefix}{change.name}:{number}{end}"


def _datagrams(lines: Iterable[str]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for line in (line.encode("ascii") for line in lines):
        if waiting and size + len(line) > _DATAGRAM_BYTES:
            yield b"\n".join(waiting)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line) + 1
    if waiting:
        yield b"\n".join(waiting)


@asynccontextmanager
async def open_statsd(settings: StatsdSettings, host: Host) -> AsyncIterator[PushingExporter]:
    """The server's name is looked up once, here."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(settings.host, settings.port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as server:
        server.setblocking(False)
        server.connect(address)
        yield StatsdExporter(settings, server)


@hookimpl
def register_exporters() -> Iterable[Provider[Exporter]]:
    return [Provider("statsd", open_statsd, StatsdSettings)]
