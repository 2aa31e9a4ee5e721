"""What every request passes, in and out: its id, its measurement, its log lines, errors made into problems, the stop.

What changes what is stored leaves a line of the logger `inquiry_svc.audit`: who, what, and what came of it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Final

import uuid_utils
from aiohttp import hdrs, web
from multidict import istr

from inquiry_svc.catalogue import HTTP_REQUEST_DURATION, HTTP_REQUESTS, HTTP_REQUESTS_ACTIVE, METHODS, STATUS_CLASSES
from inquiry_svc.logs import AUDIT, REQUEST_ID
from inquiry_svc.metrics import CounterSeries, HistogramSeries
from inquiry_svc.service import Service
from inquiry_svc.settings import LoggingSettings
from inquiry_svc.web.access import CALLER
from inquiry_svc.web.problems import problem_response
from inquiry_svc.web.receipt import Receipts

logger = logging.getLogger(__name__)

UNMATCHED: Final = "__unmatched__"
_REQUEST_ID_HEADER: Final = istr("X-Request-ID")
_CONTENT_TYPE_OPTIONS: Final = istr("X-Content-Type-Options")
_CROSS_ORIGIN_RESOURCE_POLICY: Final = istr("Cross-Origin-Resource-Policy")
_REFERRER_POLICY: Final = istr("Referrer-Policy")
_NOTHING: Final = "default-src 'none'; frame-ancestors 'none'"
"""What a browser may load for an answer that is no page."""
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is needed again and again of requests that end alike."""

    requests: CounterSeries
    durations: HistogramSeries
    audited: str | None
    """What it is called in the audit; None where it changes nothing."""


class Edge:
    """The outermost middleware."""

    def __init__(self, service: Service, receipts: Receipts, logging_settings: LoggingSettings) -> None:
        self._service = service
        self._receipts = receipts
        self._metrics = service.metrics
        self._logging = logging_settings
        self._active = 0
        service.metrics.series(HTTP_REQUESTS_ACTIVE).follow(lambda: self._active)
        self._kept: dict[tuple[str, str, int], _Kept] = {}
        self._audited: dict[tuple[str, str], str] = {}

    def begin_with(self, method: str, endpoint: str, statuses: Iterable[int], *, audited: str | None = None) -> None:
        """Have these stand at 0 from the start: a first failure must be seen as a rise, and 0 / 0 is no rate."""
        if audited is not None:
            self._audited[method, endpoint] = audited
        for status in statuses:
            self._kept_of(method, endpoint, status)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        request_id = _request_id(request)
        REQUEST_ID.set(request_id)
        protocol = request.protocol
        self._receipts.begin(protocol)
        self._active += 1
        status = 499  # the client hung up before it was answered; nginx's number for it
        try:
            response = await _answered(request, handler, request_id)
            if self._service.stopping and not response.prepared:
                response.force_close()
            status = response.status
            return response
        finally:
            self._active -= 1
            self._receipts.end(protocol)
            self._measure(request, status, time.perf_counter() - started)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Called by aiohttp for each answer, just before its headers are sent."""
        mark(response.headers, REQUEST_ID.get() or _request_id(request))

    def _measure(self, request: web.Request, status: int, duration_s: float) -> None:
        resource = request.match_info.route.resource
        endpoint = UNMATCHED if resource is None else resource.canonical
        method = request.method if request.method in METHODS else "other"
        kept = self._kept_of(method, endpoint, status)
        kept.requests.inc()
        kept.durations.observe(duration_s)
        if kept.audited is not None:
            _audit(request, kept.audited, status)
        if self._leaves_a_line(status, duration_s):
            caller = request.get(CALLER)
            logger.log(
                logging.WARNING if status >= 500 else logging.INFO,
                "%s %s answered %d",
                method,
                endpoint,
                status,
                extra={
                    "method": method,
                    "endpoint": endpoint,
                    "status": status,
                    "duration_s": round(duration_s, 6),
                    **({} if caller is None else {"caller": caller.name}),
                },
            )

    def _kept_of(self, method: str, endpoint: str, status: int) -> _Kept:
        key = (method, endpoint, status)
        found = self._kept.get(key)
        if found is None:
            status_class = f"{status // 100}xx" if f"{status // 100}xx" in STATUS_CLASSES else "other"
            found = self._kept[key] = _Kept(
                self._metrics.series(HTTP_REQUESTS, method=method, endpoint=endpoint, status=str(status)),
                self._metrics.series(HTTP_REQUEST_DURATION, endpoint=endpoint, status_class=status_class),
                self._audited.get((method, endpoint)),
            )
        return found

    def _leaves_a_line(self, status: int, duration_s: float) -> bool:
        wanted = self._logging.requests
        return wanted == "all" or (wanted == "problems" and (status >= 400 or duration_s > self._logging.slow_s))


def mark(headers: MutableMapping[str, str], request_id: str) -> None:
    """Put in the headers that every answer carries."""
    headers[_REQUEST_ID_HEADER] = request_id
    headers[hdrs.SERVER] = "inquiry-svc"
    headers[_CONTENT_TYPE_OPTIONS] = "nosniff"
    headers[_REFERRER_POLICY] = "no-referrer"
    headers[_CROSS_ORIGIN_RESOURCE_POLICY] = "same-origin"
    if hdrs.CACHE_CONTROL not in headers:
        headers[hdrs.CACHE_CONTROL] = "no-store"
    if hdrs.CONTENT_SECURITY_POLICY not in headers:
        headers[hdrs.CONTENT_SECURITY_POLICY] = _NOTHING


def _audit(request: web.Request, action: str, status: int) -> None:
    caller = request.get(CALLER)
    logging.getLogger(AUDIT).info(
        "%s by %s: %s",
        action,
        "anyone" if caller is None else caller.name,
        "done" if status < 400 else "refused" if status < 500 else "failed",
        extra={
            "action": action,
            "caller": None if caller is None else caller.name,
            "key_id": None if caller is None else caller.key_id,
            "address": request.remote,
            "inquiry_id": request.match_info.get("inquiry_id"),
            "status": status,
        },
    )


async def _answered(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem_response(error, request_id)
    except Exception as error:
        response = problem_response(error, request_id)
        if response.status == 500:  # a 503 is told of by whoever could not serve, once for all that it concerns
            logger.error("%s was not served", request.match_info.route.name or "a request", exc_info=error)
        return response


def _request_id(request: web.Request) -> str:
    """The caller's id where it is fit to be logged and sent back, else a new one."""
    given = request.headers.get(_REQUEST_ID_HEADER)
    return given if given is not None and _REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    return str(uuid_utils.uuid7())
