"""How often one sender's address may submit, whoever calls: so that nobody fills the queue of the urgent by themselves.

It is counted as calls are (`rate_limits`), under a keyed hash: no address leaves its request. A retry counts, too.
"""

from __future__ import annotations

import dataclasses
import secrets
from hashlib import blake2b
from typing import Final

from aiohttp import hdrs, web

from inquiry_svc.allowances import SENDER
from inquiry_svc.catalogue import HTTP_REFUSED
from inquiry_svc.metrics import Metrics
from inquiry_svc.rate_limits import RateLimits, SharedWindows
from inquiry_svc.settings import LimitsSettings
from inquiry_svc.web.access import quota_headers
from inquiry_svc.web.incoming import Refusal


class Senders:
    """Holds submits to `limits.per_sender`."""

    def __init__(self, settings: LimitsSettings, shared: SharedWindows | None, metrics: Metrics) -> None:
        self._limits = RateLimits(dataclasses.replace(settings, requests=settings.per_sender), shared)
        allowances = None if shared is None else shared.allowances
        self._secret = secrets.token_bytes(32) if allowances is None else allowances.secret
        self._refused = metrics.series(HTTP_REFUSED, reason="sender_limit")

    async def admit(self, sender_email: str) -> None:
        """One more submit. Raises `Refusal`."""
        address = sender_email.lower().encode(errors="surrogatepass")
        quota = await self._limits.count(SENDER + blake2b(address, digest_size=16, key=self._secret).hexdigest())
        if quota.remaining < 0:
            self._refused.inc()
            detail = (
                f"more than {self._limits.requests} submits with this sender_email within {self._limits.window_s} s; "
                "try again after Retry-After seconds"
            )
            headers = quota_headers("sender", self._limits, quota)
            raise Refusal(429, detail, headers={hdrs.RETRY_AFTER: str(quota.ends_in_s), **headers})


SENDERS: Final = web.AppKey[Senders | None]("senders")
"""None where there is no such limit."""
