"""A real Alertmanager for a test, on a port and in a folder of its own; killed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.servers import free_port
from tests.servers.prometheus import running_program


@asynccontextmanager
async def alertmanager(config: Mapping[str, Any]) -> AsyncIterator[str]:
    """Its host and port, while open, from the moment that it is ready."""
    with TemporaryDirectory(prefix="inquiry-svc-alertmanager-") as name:
        folder, port = Path(name), free_port()
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        options = (
            *(f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}"),
            "--cluster.listen-address=",
        )
        async with running_program("alertmanager", *options, port=port, folder=folder):
            yield f"127.0.0.1:{port}"
