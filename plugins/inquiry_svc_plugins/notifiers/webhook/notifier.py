"""Posts one notice and judges by the status of the answer alone: its body is never read."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import time
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from inquiry_svc.errors import ConfigurationError, Unavailable, Undeliverable
from inquiry_svc.inquiries import Outcome
from inquiry_svc.notices import Notice, NoticeKind
from inquiry_svc.release import VERSION
from inquiry_svc_plugins.notifiers.webhook import WebhookSettings
from inquiry_svc_plugins.notifiers.webhook.payload import encoded
from inquiry_svc_plugins.notifiers.webhook.reach import is_public, public_socket
from inquiry_svc_plugins.notifiers.webhook.signing import keys_of, signed

_GONE: Final = 410
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": f"inquiry-svc/{VERSION}"}
_LONGEST_S: Final = 3600
"""A receiver may ask for so long a rest; it is not believed more."""
_IDLE_S: Final = 4.0
"""Many servers close what is idle for 5 s: a notice sent just then would be sent again."""


class WebhookNotifier:
    def __init__(self, settings: WebhookSettings, client: aiohttp.ClientSession) -> None:
        """Raises `ConfigurationError`."""
        self.kinds: frozenset[NoticeKind] = frozenset(settings.kinds)
        self._url = _url(settings)
        self._keys = _keys(settings)
        self._with_text = settings.with_text
        self._client = client

    async def notify(self, notice: Notice, outcome: Outcome) -> None:
        """Raises `Unavailable` and `Undeliverable`."""
        body = encoded(notice, outcome, with_text=self._with_text)
        signature = signed(self._keys, webhook_id=notice.notice_id, at_s=int(time()), body=body)
        await self._post(body, {**_HEADERS, **signature})

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Of errors only what quotes no URL is told: it may hold a token."""
        try:
            async with self._client.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                _judge(answer.status, answer.headers.get("Retry-After", ""))
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(f"the receiver can't be reached: {error.os_error}") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the receiver did not answer: {type(error).__name__}") from None


def _judge(status: int, retry_after: str) -> None:
    if status == _GONE:
        raise Undeliverable(f"the receiver answered {status}: it will never take this")
    if not 200 <= status < 300:
        seconds = int(retry_after) if re.fullmatch("[0-9]{1,5}", retry_after) else 1
        raise Unavailable(f"the receiver answered {status}", retry_after_s=min(seconds, _LONGEST_S))


@asynccontextmanager
async def opened(
    settings: WebhookSettings, *, resolver: AbstractResolver | None = None
) -> AsyncIterator[WebhookNotifier]:
    """The machine's own resolver unless another is given. Raises `ConfigurationError`."""
    connector = aiohttp.TCPConnector(
        resolver=resolver,
        socket_factory=None if settings.allow_private else public_socket,
        keepalive_timeout=_IDLE_S,
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,  # no proxy of the environment, no password of a .netrc
        auto_decompress=False,
    ) as client:
        yield WebhookNotifier(settings, client)


def _url(settings: WebhookSettings) -> URL:
    wanted = "notifiers.webhook.url can't be ***: write https://host/path"
    try:
        url = URL(settings.url)
    except ValueError:
        raise ConfigurationError(wanted) from None
    if not url.host or url.scheme not in ("https", "http"):
        raise ConfigurationError(wanted)
    if url.scheme == "http" and not settings.allow_private:
        raise ConfigurationError(f"{wanted}, or set notifiers.webhook.allow_private")
    if not settings.allow_private and _is_private_address(url.host):
        raise ConfigurationError(
            "notifiers.webhook.url names an address that is not public: name another, or set "
            "notifiers.webhook.allow_private"
        )
    return url


def _is_private_address(host: str) -> bool:
    try:
        return not is_public(host)
    except ValueError:
        return False


def _keys(settings: WebhookSettings) -> tuple[bytes, ...]:
    try:
        return tuple(keys_of(settings.secret))
    except ValueError as error:
        raise ConfigurationError(f"notifiers.webhook.secret can't be ***: {error}") from None
