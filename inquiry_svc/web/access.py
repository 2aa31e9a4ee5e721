"""Who may call what, and how often: the middleware between the edge and everything else, there only where it has work.

A key comes as `X-API-Key`, or else as `Authorization: Bearer`: the first is for those behind something that needs
`Authorization` for itself. Never in a URL, which proxies log. What each route takes stands in the route table.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web
from multidict import istr

from inquiry_svc.api_keys import ApiKey, KeysInUse, Scope, has_expired
from inquiry_svc.catalogue import HTTP_REFUSED, REFUSALS
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.metrics import Metrics
from inquiry_svc.rate_limits import Quota, RateLimits
from inquiry_svc.settings import Settings
from inquiry_svc.web.incoming import Refusal

_RATE_LIMIT: Final = istr("RateLimit")
_RATE_LIMIT_POLICY: Final = istr("RateLimit-Policy")
_BEARER: Final = "bearer "
_CHALLENGE: Final = 'Bearer realm="inquiry-svc"'

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Scopes = Mapping[web.AbstractRoute, Scope | None]
"""What each route takes; None: nothing. One that is not there takes `admin`."""


@dataclass(slots=True)
class Visit:
    """What is found out of who asks, until it is refused."""

    key: ApiKey | None = None
    """The one that it came with, also where that may not do what it asks for."""
    quota: Quota | None = None


class Access:
    """Holds each request to the keys and the limits; either may be None."""

    def __init__(self, scopes: Scopes, keys: KeysInUse | None, limits: RateLimits | None, metrics: Metrics) -> None:
        self._scopes = scopes
        self._keys = keys
        self._limits = limits
        self._refused = {reason: metrics.series(HTTP_REFUSED, reason=reason) for reason in REFUSALS}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        scope = self._scope_of(request)
        if scope is not None:
            visit = request[VISIT] = Visit()
            await self.admit(visit, scope, request.headers, request.remote)
        return await handler(request)

    async def admit(self, visit: Visit, scope: Scope, headers: Mapping[str, str], remote: str | None) -> None:
        """Fill in the visit. `headers` are found by names in lower case. Raises `Refusal`."""
        caller = place_of(remote) if self._keys is None else self._admitted(visit, scope, headers, self._keys).name
        if self._limits is not None:
            await self._count(visit, caller, self._limits)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Called by aiohttp for each answer, just before its headers are sent."""
        visit = request.get(VISIT)
        if visit is not None:
            self.say_quota(visit, response.headers)

    def say_quota(self, visit: Visit, headers: MutableMapping[str, str]) -> None:
        """Put what the caller still has in the headers of an answer."""
        if visit.quota is not None and self._limits is not None:
            for name, value in quota_headers("default", self._limits, visit.quota).items():
                headers[name] = f"{value}, {headers[name]}" if name in headers else value

    def _scope_of(self, request: web.Request) -> Scope | None:
        found = request.match_info
        if found.http_exception is not None:  # there is nothing, or not for this method
            return None
        return self._scopes.get(found.route, "admin")

    def _admitted(self, visit: Visit, scope: Scope, headers: Mapping[str, str], keys: KeysInUse) -> ApiKey:
        presented = presented_key(headers)
        if presented is None:
            raise self._unauthorized("no_key", "an API key is needed: send Authorization: Bearer, or X-API-Key")
        key = keys.ring.find(presented)
        if key is None:
            raise self._unauthorized("unknown_key", "this API key is not valid")
        visit.key = key
        if has_expired(key):
            raise self._unauthorized("expired_key", "this API key has expired")
        if not key.may(scope):
            self._refused["scope"].inc()
            challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
            detail = f"this API key may not do that: it takes the scope {scope}"
            raise Refusal(403, detail, headers={hdrs.WWW_AUTHENTICATE: challenge})
        return key

    def _unauthorized(self, reason: str, detail: str) -> Refusal:
        self._refused[reason].inc()
        challenge = _CHALLENGE if reason == "no_key" else f'{_CHALLENGE}, error="invalid_token"'
        return Refusal(401, detail, headers={hdrs.WWW_AUTHENTICATE: challenge})

    async def _count(self, visit: Visit, caller: str, limits: RateLimits) -> None:
        quota = visit.quota = await limits.count(caller)
        if quota.remaining < 0:
            self._refused["rate_limit"].inc()
            detail = (
                f"more than {limits.requests} requests within {limits.window_s} s; try again after Retry-After seconds"
            )
            raise Refusal(429, detail, headers={hdrs.RETRY_AFTER: str(quota.ends_in_s)})


VISIT: Final = web.RequestKey("visit", Visit)
"""Of a request that takes a scope."""


def quota_headers(policy: str, limits: RateLimits, quota: Quota) -> dict[str, str]:
    """What is left of a limit, and which it is."""
    return {
        _RATE_LIMIT_POLICY: f'"{policy}";q={limits.requests};w={limits.window_s}',
        _RATE_LIMIT: f'"{policy}";r={max(0, quota.remaining)};t={quota.ends_in_s}',
    }


def presented_key(headers: Mapping[str, str]) -> str | None:
    """What came as a key, if anything did."""
    key = headers.get("x-api-key")
    if key is None:
        authorization = headers.get("authorization", "")
        if authorization[: len(_BEARER)].lower() == _BEARER:
            key = authorization[len(_BEARER) :].strip()
    return key or None


def place_of(remote: str | None) -> str:
    """An address as one caller. Of IPv6 everybody has a whole /64 for themselves."""
    if remote is None or ":" not in remote:
        return remote or "unknown"
    address = ipaddress.IPv6Address(remote)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))


def refuse_to_be_open(settings: Settings, host: str, *, setting: str) -> None:
    """Raises `ConfigurationError` where others than this machine could call without a key and nobody said they may."""
    auth = settings.auth
    if auth.keys_file and auth.anyone_may_call:
        raise ConfigurationError("auth.keys_file and auth.anyone_may_call are both set: keep one")
    if not (auth.keys_file or auth.anyone_may_call or ipaddress.ip_address(host.partition("%")[0]).is_loopback):
        raise ConfigurationError(
            f"{setting} {host} can be reached from elsewhere and there are no API keys: set auth.keys_file (see "
            "inquiry-svc keys), or auth.anyone_may_call where something in front asks who calls"
        )
