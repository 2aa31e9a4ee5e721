"""What every request passes, in and out: its id, its measurement, its log line, errors made into problems, the stop.

What changes what is stored leaves a line of the logger `inquiry_svc.audit`: who, what, and what came of it.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from math import inf
from typing import Final

import uuid_utils
from aiohttp import hdrs, web
from multidict import istr

from inquiry_svc.api_keys import ApiKey
from inquiry_svc.catalogue import HTTP_REQUEST_DURATION, HTTP_REQUESTS, HTTP_REQUESTS_ACTIVE, METHODS, STATUS_CLASSES
from inquiry_svc.logs import AUDIT, REQUEST_ID, lines_of
from inquiry_svc.metrics import CounterSeries, HistogramSeries
from inquiry_svc.putting_down import PutDown
from inquiry_svc.service import Service
from inquiry_svc.settings import LoggingSettings
from inquiry_svc.web.access import VISIT
from inquiry_svc.web.problems import problem_response
from inquiry_svc.web.receipt import Receipts

logger = logging.getLogger(__name__)

UNMATCHED: Final = "__unmatched__"
HUNG_UP: Final = 499
"""Instead of a status: the client left before it was answered; nginx's number for it."""
_NEVER: Final = 1000
"""A status that no answer has."""
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
        self._line_from_status = {"all": 0, "problems": 400, "none": _NEVER}[logging_settings.requests]
        self._line_over_s = logging_settings.slow_s if logging_settings.requests == "problems" else inf
        """Which answers leave a line of the log."""
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
        protocol = request.protocol
        self._receipts.begin(protocol)
        started, request_id = self.begin(request.headers.get(_REQUEST_ID_HEADER))
        REQUEST_ID.set(request_id)
        status = HUNG_UP
        try:
            response = await _answered(request, handler, request_id)
            if self._service.stopping and not response.prepared:
                response.force_close()
            status = response.status
            return response
        finally:
            self.end(request.method, _endpoint(request), status, started, _key_of(request), request_id)
            action = self.audited.get(request.match_info.route)
            if action is not None:
                _audit(request, action, status)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Called by aiohttp for each answer, just before its headers are sent."""
        mark(response.headers, REQUEST_ID.get() or request_id_of(request.headers.get(_REQUEST_ID_HEADER)))

    def begin(self, given_id: str | None) -> tuple[float, str]:
        """A request is being served: since when, for `end`, and its id."""
        self._active += 1
        return time.perf_counter(), request_id_of(given_id)

    def end(
        self,
        method: str,
        endpoint: str,
        status: int,
        started: float,
        caller: ApiKey | None,
        request_id: str,
        *,
        leaves_line: bool = True,
    ) -> None:
        """It was answered, or never will be. Without `leaves_line` somebody else tells of it in the log."""
        self._active -= 1
        duration_s = time.perf_counter() - started
        self._measure(method, endpoint, status, duration_s)
        if leaves_line and (status >= self._line_from_status or duration_s > self._line_over_s):
            with lines_of(request_id):
                _leave_line(method, endpoint, status, duration_s, caller)

    def count_unread(self, status: int) -> None:
        """It was answered so, and was nothing that can be read as a request."""
        self._series_of("other", UNMATCHED, status)[0].inc()

    def _measure(self, method: str, endpoint: str, status: int, duration_s: float) -> None:
        self._answered.put((method, endpoint, status, duration_s))

    def _count(self, answered: Sequence[tuple[str, str, int, float]]) -> None:
        durations_s: dict[tuple[str, str, int], list[float]] = {}
        for method, endpoint, status, duration_s in answered:
            durations_s.setdefault((method, endpoint, status), []).append(duration_s)
        for asked, took_s in durations_s.items():
            requests, durations = self._series_of(*asked)
            requests.inc(len(took_s))
            durations.observe_all(took_s)

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


def _method(given: str) -> str:
    return given if given in METHODS else "other"


def _endpoint(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


def _leave_line(method: str, endpoint: str, status: int, duration_s: float, caller: ApiKey | None) -> None:
    said = {"method": _method(method), "endpoint": endpoint, "status": status}
    logger.log(
        logging.WARNING if status >= 500 else logging.INFO,
        "%s %s answered %d",
        *said.values(),
        extra={**said, "duration_s": round(duration_s, 6), **_named(caller)},
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


def _key_of(request: web.Request) -> ApiKey | None:
    visit = request.get(VISIT)
    return None if visit is None else visit.key


def _named(caller: ApiKey | None) -> dict[str, str]:
    """For a line of the log: whose key it came with, if it came with one."""
    return {} if caller is None else {"caller": caller.name, "key_id": caller.key_id}


def _audit(request: web.Request, action: str, status: int) -> None:
    caller = _named(_key_of(request))
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
        log_unserved(error, response.status, request.match_info.route.name)
        return response


def log_unserved(error: Exception, status: int, name: str | None = None) -> None:
    """What nobody expected, and which request was not served for it."""
    if status == 500:  # a 503 is told of by whoever could not serve, once for all that it concerns
        logger.error("%s was not served", name or "a request", exc_info=error)


def request_id_of(given: str | None) -> str:
    """The caller's id where there is one, fit to be logged and sent back; else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return str(uuid_utils.uuid7())
