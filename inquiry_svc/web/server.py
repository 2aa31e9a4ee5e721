"""The listening ports, from the first accepted connection to the last answered request."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from inquiry_svc.api_keys import KeysInUse
from inquiry_svc.service import Service
from inquiry_svc.settings import ServerSettings
from inquiry_svc.web.access import refuse_to_be_open
from inquiry_svc.web.app import Apps
from inquiry_svc.web.edge import Edge
from inquiry_svc.web.lane import Lane
from inquiry_svc.web.port import last_accepted, refused
from inquiry_svc.web.protocol import HttpProtocol
from inquiry_svc.web.receipt import Receipts

logger = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_ACCEPTED_A_TURN: Final = 16
"""Of each handle libuv accepts one connection in a turn of the loop, which under load takes milliseconds: of a thousand
that connect at once the last would wait for seconds."""
_LAST_READ_S: Final = 0.1
"""After the port has closed, what clients had sent by then is read for so long before idle connections close."""
_NEWCOMERS_S: Final = 1.0
"""Who connected just before, and was told of no stop, has so long to send a request."""


@asynccontextmanager
async def listening(service: Service, bound: socket.socket, admin: socket.socket | None = None) -> AsyncIterator[None]:
    """Serve HTTP on the sockets while open; `admin` is the one of `admin_port`, where that is set.

    Leaving drains: readiness says 503 for `announce_stop_s` while each answer asks its client to connect anew, then
    the ports close, and what was accepted is answered for up to `stop_timeout_s`. Where a successor serves already,
    the ports close first: newcomers are the successor's. Raises `ConfigurationError` for what is set up wrongly, and
    where callers from elsewhere would need no key.
    """
    settings = service.settings.server
    refuse_to_be_open(service.settings, bound.getsockname()[0], setting="server.host")
    if admin is not None:
        refuse_to_be_open(service.settings, admin.getsockname()[0], setting="server.admin_host")
    keys_file = service.settings.auth.keys_file
    keys = KeysInUse(Path(keys_file), service.metrics) if keys_file else None
    receipts = Receipts(settings, service.metrics)
    apps = Apps(service, receipts, keys)
    doors = [_Door(apps.main, apps.edge, bound, receipts, settings, apps.lane)]
    if apps.admin is not None and admin is not None:
        doors.append(_Door(apps.admin, apps.edge, admin, receipts, settings))
    try:
        for door in doors:
            await door.open()
        async with receipts.sweeping(), nullcontext() if keys is None else keys.kept_current():
            yield
            service.begin_to_stop()
            if service.handing_over:
                for door in doors:
                    await door.close_port()
            logger.info("stopping: not ready any more")
            await asyncio.sleep(settings.announce_stop_s)
    finally:
        service.begin_to_stop()
        for door in doors:
            await door.close_port()
        await asyncio.sleep(min(_LAST_READ_S, settings.announce_stop_s))
        await receipts.newcomers_heard(within_s=min(_NEWCOMERS_S, settings.announce_stop_s))
        await asyncio.gather(*(door.drain() for door in doors))


class _Door:
    """One port, and the application behind it."""

    def __init__(
        self,
        app: web.Application,
        edge: Edge,
        bound: socket.socket,
        receipts: Receipts,
        settings: ServerSettings,
        lane: Lane | None = None,
    ) -> None:
        self._edge = edge
        self._bound = bound
        self._receipts = receipts
        self._settings = settings
        self._lane = lane
        self._ports: list[asyncio.Server] = []
        """Handles of the one."""
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=settings.stop_timeout_s / 2,  # waited twice: for handlers, then for those it breaks off
        )

    async def open(self) -> None:
        """Raises `ConfigurationError` when the port can't be had."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            for _ in range(_ACCEPTED_A_TURN):
                port = await loop.create_server(self._protocol, sock=self._bound.dup(), backlog=_BACKLOG)
                self._ports.append(port)
        except OSError as error:
            host, port_number = self._bound.getsockname()[:2]
            raise refused(host, port_number, error) from error

    def _protocol(self) -> asyncio.Protocol:
        connections = self._runner.server
        assert connections is not None
        no_access_log: Any = None  # aiohttp's types don't know that it may be turned off
        return HttpProtocol(
            connections,
            self._edge,
            self._receipts,
            self._lane,
            loop=asyncio.get_running_loop(),
            access_log=no_access_log,
            keepalive_timeout=self._settings.keepalive_timeout_s,
        )

    async def close_port(self) -> None:
        """Nobody is let in any more but those who were connected already."""
        if self._ports:
            waiting = last_accepted(self._bound)
            for port in self._ports:
                port.close()
            self._ports.clear()
            self._bound.close()
            for connection in waiting:
                await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    async def drain(self) -> None:
        """Answer what was accepted."""
        await self._runner.cleanup()


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
