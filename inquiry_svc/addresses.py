"""An address that is listened to, as it stands in a URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_REACHED_AT: Final[Mapping[str, str]] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (not bound)


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def url_here(host: str, port: int) -> str:
    """Where this machine reaches who listens there."""
    return f"http://{in_url(_REACHED_AT.get(host, host))}:{port}"
