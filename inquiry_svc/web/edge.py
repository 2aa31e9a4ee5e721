"""What every request passes, in and out: its id, its measurement, its log line, errors made into problems, the stop.

What changes what is stored leaves a line of the logger `inquiry_svc.audit`: who, what, and what came of it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Final

import uuid_utils
from aiohttp import hdrs, web
from multidict import istr

from inquiry_svc.catalogue import HTTP_REQUEST_DURATION, HTTP_REQUESTS, HTTP_REQUESTS_ACTIVE, METHODS, STATUS_CLASSES
from inquiry_svc.logs import AUDIT, REQUEST_ID
from inquiry_svc.metrics import CounterSeries, HistogramSeries
from inquiry_svc.putting_down import PutDown
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


class Edge:
    """The outermost middleware."""

    def __init__(self, service: Service, receipts: Receipts, logging_settings: LoggingSettings) -> None:
        self._service = service
        self._receipts = receipts
        self._metrics = service.metrics
        self._logging = logging_settings
        self.audited: dict[web.AbstractRoute, str] = {}
        """The routes that leave a line of the audit, and what each is called there."""
        self._active = 0
        service.metrics.series(HTTP_REQUESTS_ACTIVE).follow(lambda: self._active)
        self._series: dict[tuple[str, str, int], tuple[CounterSeries, HistogramSeries]] = {}
        # An exemplar is of the span that is current: it can't be taken later.
        self._answered = PutDown(self._count, service.metrics, together=64 if service.tracer is None else 1)

    def begin_with(self, method: str, endpoint: str, statuses: Iterable[int]) -> None:
        """Have these stand at 0 from the start: a first failure must be seen as a rise, and 0 / 0 is no rate."""
        for status in statuses:
            self._series_of(method, endpoint, status)

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
            duration_s = time.perf_counter() - started
            self._measure(request, status, duration_s)
            if self._leaves_a_line(status, duration_s):
                _leave_line(request, status, duration_s)
            action = self.audited.get(request.match_info.route)
            if action is not None:
                _audit(request, action, status)

    def refused(self, endpoint: str) -> None:
        """Measure a POST that the gate refused."""
        self._answered.put(("POST", endpoint, 503, 0.0))

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Called by aiohttp for each answer, just before its headers are sent."""
        mark(response.headers, REQUEST_ID.get() or _request_id(request))

    def _measure(self, request: web.Request, status: int, duration_s: float) -> None:
        self._answered.put((request.method, _endpoint(request), status, duration_s))

    def _count(self, answered: Sequence[tuple[str, str, int, float]]) -> None:
        for method, endpoint, status, duration_s in answered:
            requests, durations = self._series_of(method, endpoint, status)
            requests.inc()
            durations.observe(duration_s)

    def _series_of(self, method: str, endpoint: str, status: int) -> tuple[CounterSeries, HistogramSeries]:
        found = self._series.get((method, endpoint, status))
        if found is not None:
            return found
        if _method(method) != method:
            return self._series_of("other", endpoint, status)
        status_class = f"{status // 100}xx" if f"{status // 100}xx" in STATUS_CLASSES else "other"
        found = self._series[method, endpoint, status] = (
            self._metrics.series(HTTP_REQUESTS, method=method, endpoint=endpoint, status=str(status)),
            self._metrics.series(HTTP_REQUEST_DURATION, endpoint=endpoint, status_class=status_class),
        )
        return found

    def _leaves_a_line(self, status: int, duration_s: float) -> bool:
        wanted = self._logging.requests
        return wanted == "all" or (wanted == "problems" and (status >= 400 or duration_s > self._logging.slow_s))


def _method(given: str) -> str:
    return given if given in METHODS else "other"


def _endpoint(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


def _leave_line(request: web.Request, status: int, duration_s: float) -> None:
    said = {"method": _method(request.method), "endpoint": _endpoint(request), "status": status}
    logger.log(
        logging.WARNING if status >= 500 else logging.INFO,
        "%s %s answered %d",
        *said.values(),
        extra={**said, "duration_s": round(duration_s, 6), **_caller(request)},
    )


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


def _caller(request: web.Request) -> dict[str, str]:
    """For a line of the log: whose key it came with, if it came with one."""
    key = request.get(CALLER)
    return {} if key is None else {"caller": key.name, "key_id": key.key_id}


def _audit(request: web.Request, action: str, status: int) -> None:
    caller = _caller(request)
    logging.getLogger(AUDIT).info(
        "%s by %s: %s",
        action,
        caller.get("caller", "anyone"),
        "done" if status < 400 else "refused" if status < 500 else "failed",
        extra={
            "action": action,
            "caller": None,
            "key_id": None,
            **caller,
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
    """The caller's id where it is fit, else a new one."""
    return fit_request_id(request.headers.get(_REQUEST_ID_HEADER)) or new_request_id()


def fit_request_id(given: str | None) -> str | None:
    """A caller's id where it is fit to be logged and sent back."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else None


def new_request_id() -> str:
    return str(uuid_utils.uuid7())
