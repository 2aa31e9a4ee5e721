"""`inquiry-svc serve`: the service, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import socket
import sys
from pathlib import Path
from typing import TextIO

import click

from inquiry_svc.cli.configured import Configured, config_option, configured
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.logs import logging_to

logger = logging.getLogger(__name__)


@click.command()
@click.option("--host", help="The address to listen on; 127.0.0.1 unless set.")
@click.option("--port", type=int, help="The port to listen on; 8000 unless set, 0 for any free one.")
@click.option("--data-dir", help="Where the embedded store keeps its file; ./inquiry-data unless set.")
@click.option("--workers", type=int, help="Processes.")
@config_option
def serve(host: str | None, port: int | None, data_dir: str | None, workers: int | None, file: Path | None) -> None:
    """Serve over HTTP until SIGTERM or SIGINT."""
    found = configured(
        file,
        {
            ("server", "host"): host,
            ("server", "port"): port,
            ("server", "data_dir"): data_dir,
            ("server", "workers"): workers,
        },
    )
    server = found.settings.server
    if server.workers != 1:
        raise ConfigurationError(
            f"server.workers is {server.workers}: this version serves from one process; leave it at 1 and start more "
            "instances, each with a port and a data folder of its own"
        )
    from inquiry_svc.web.server import bound_socket

    with (
        logging_to(_own_stderr(), found.settings.logging),
        bound_socket(server.host, server.port) as bound,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(_serve(found, bound))


async def _serve(found: Configured, bound: socket.socket) -> None:
    from inquiry_svc.service import open_service
    from inquiry_svc.web.server import listening, stop_signals

    with stop_signals() as stop:
        async with (
            open_service(found.settings, found.manager, found.offers) as service,
            listening(service, bound),
        ):
            _spare_what_stays()
            host, port = bound.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            logger.info("serving on http://%s:%d, try http://%s:%d/docs", shown, port, shown, port)
            await stop.wait()
    logger.info("stopped")


def _spare_what_stays() -> None:
    """Keep all that was loaded by now out of garbage collection, and collect the rest less often.

    At 64 connections this halves the 99th percentile (57 to 28 ms) and saves a sixth of the CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 50)


def _own_stderr() -> TextIO:
    """Standard error without Python's lock on it: a log writer that nobody reads would keep the process from ending."""
    return io.TextIOWrapper(io.FileIO(sys.stderr.fileno(), "w", closefd=False), write_through=True)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.Loop
