"""The listening port, from the first accepted connection to the last answered request."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from aiohttp import web

from inquiry_svc.service import Service
from inquiry_svc.web.app import build_app
from inquiry_svc.web.port import last_accepted, refused
from inquiry_svc.web.protocol import HttpProtocol
from inquiry_svc.web.receipt import Receipts

logger = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_LAST_READ_S: Final = 0.1
"""After the port has closed, what clients had sent by then is read for so long before idle connections close."""


@asynccontextmanager
async def listening(service: Service, bound: socket.socket) -> AsyncIterator[None]:
    """Serve HTTP on the socket while open.

    Leaving drains: readiness says 503 for `announce_stop_s` while each answer asks its client to connect anew, then
    the port closes, and what was accepted is answered for up to `stop_timeout_s`. Where a successor serves already,
    the port closes first: newcomers are the successor's.
    """
    settings = service.settings.server
    receipts = Receipts(settings, service.metrics)
    app = build_app(service, receipts)
    runner = web.AppRunner(
        app,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=settings.stop_timeout_s / 2,  # waited twice: for handlers, then for those it breaks off
    )
    await runner.setup()
    connections = runner.server
    assert connections is not None
    loop = asyncio.get_running_loop()

    def make_protocol() -> asyncio.Protocol:
        no_access_log: Any = None  # aiohttp's types don't know that it may be turned off
        return receipts.protocol(
            HttpProtocol(
                connections,
                loop=loop,
                access_log=no_access_log,
                keepalive_timeout=settings.keepalive_timeout_s,
            )
        )

    try:
        port = await loop.create_server(make_protocol, sock=bound, backlog=_BACKLOG)
    except OSError as error:
        host, port_number = bound.getsockname()[:2]
        raise refused(host, port_number, error) from error

    async def close_port() -> None:
        if port.is_serving():
            waiting = last_accepted(bound)
            port.close()
            for connection in waiting:
                await loop.connect_accepted_socket(make_protocol, connection)

    try:
        async with receipts.sweeping():
            yield
            service.begin_to_stop()
            if service.handing_over:
                await close_port()
            logger.info("stopping: not ready any more")
            await asyncio.sleep(settings.announce_stop_s)
    finally:
        service.begin_to_stop()
        await close_port()
        await asyncio.sleep(min(_LAST_READ_S, settings.announce_stop_s))
        await runner.cleanup()


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
