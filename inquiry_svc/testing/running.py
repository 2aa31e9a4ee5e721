"""A whole service on a real port inside the test's own process, with in-memory providers unless told otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp

from inquiry_svc.config import load_settings
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.service import Service, open_service
from inquiry_svc.web.port import bound_socket
from inquiry_svc.web.server import listening

IN_MEMORY: Final[Mapping[str, Any]] = {
    "classifier.provider": "keyword",
    "store.provider": "memory",
    "cache.provider": "none",
    "review.audit_share": 0.0,
    "server.announce_stop_s": 0.0,
}


@dataclass(frozen=True, slots=True)
class Running:
    service: Service
    url: str
    """Where it listens, without a slash at the end."""
    client: aiohttp.ClientSession
    """Asks this service: `client.get("/api/v1/health")`."""
    admin_url: str | None = None
    """Where it listens besides, if `server.admin_port` is set."""


@asynccontextmanager
async def running_service(
    settings: Mapping[str, Any] | None = None, *, plugins: Iterable[object] = (), data_dir: Path | None = None
) -> AsyncIterator[Running]:
    """Serve while open.

    `settings` are dotted keys such as `{"cache.provider": "memory"}` over `IN_MEMORY`; `plugins` are registered beside
    the installed ones; `data_dir` is a fresh folder unless given.
    """
    manager = build_manager(plugins)
    offers = Offers(manager)
    with TemporaryDirectory(prefix="inquiry-svc-test-") as folder:
        wanted = {"server.data_dir": str(data_dir or folder), **IN_MEMORY, **(settings or {})}
        found, _ = load_settings(offers, options={tuple(key.split(".")): value for key, value in wanted.items()})
        async with open_service(found, manager, offers) as service:
            with ExitStack() as sockets:
                bound = sockets.enter_context(bound_socket(found.server.host, 0))
                admin, admin_url = None, None
                if found.server.admin_port is not None:
                    admin = sockets.enter_context(bound_socket(found.server.admin_host, 0))
                    admin_url = f"http://{found.server.admin_host}:{admin.getsockname()[1]}"
                url = f"http://{found.server.host}:{bound.getsockname()[1]}"
                async with listening(service, bound, admin), aiohttp.ClientSession(url) as client:
                    yield Running(service, url, client, admin_url)
