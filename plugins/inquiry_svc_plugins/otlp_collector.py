"""An OpenTelemetry collector as those see it who send to one: OTLP over HTTP, for metrics and for traces alike."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from inquiry_svc.errors import ConfigurationError, Unavailable

_TRY_AGAIN: Final = (429, 502, 503, 504)
"""By OTLP the only statuses after which the same may be sent again."""


class Refused(Unavailable):
    """The collector will never take this request."""


class Collector:
    """One address of a collector."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self._url = url
        self._client = client

    async def take(self, request: bytes) -> bytes:
        """What it answers. Raises `Unavailable`, and of that `Refused`."""
        body = await asyncio.to_thread(gzip.compress, request, 1)
        try:
            async with self._client.post(self._url, data=body, allow_redirects=False) as answer:
                if answer.status in _TRY_AGAIN:
                    raise Unavailable(f"the collector answered {answer.status}")
                if answer.status != 200:
                    raise Refused(f"the collector answered {answer.status}")
                return await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable("the collector can't be reached") from error


@asynccontextmanager
async def open_collector(url: str, headers: str, *, timeout_s: float, section: str) -> AsyncIterator[Collector]:
    """`headers` as they stand in the configuration's `section`. Raises `ConfigurationError` where they are none."""
    sent = {
        **_headers(headers, section),
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "gzip",
    }
    async with aiohttp.ClientSession(headers=sent, timeout=aiohttp.ClientTimeout(total=timeout_s)) as client:
        yield Collector(url, client)


def _headers(text: str, section: str) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name.strip().isascii() or not part.isprintable():
            raise ConfigurationError(f'[{section}] headers can\'t be ***: write "name=value,other=value"')
        headers[name.strip()] = value.strip()
    return headers
