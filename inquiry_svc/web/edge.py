"""What every request passes, in and out: its id, its measurement, its log line, and errors made into problems."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import uuid_utils.compat
from aiohttp import web

from inquiry_svc.catalogue import HTTP_REQUEST_DURATION, HTTP_REQUESTS, HTTP_REQUESTS_ACTIVE, METHODS, STATUS_CLASSES
from inquiry_svc.logs import REQUEST_ID
from inquiry_svc.metrics import CounterSeries, HistogramSeries
from inquiry_svc.service import Service
from inquiry_svc.settings import LoggingSettings
from inquiry_svc.web.problems import problem_response

logger = logging.getLogger(__name__)

UNMATCHED: Final = "__unmatched__"
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Edge:
    """The outermost middleware."""

    def __init__(self, service: Service, logging_settings: LoggingSettings) -> None:
        self._metrics = service.metrics
        self._logging = logging_settings
        self._active = 0
        service.metrics.series(HTTP_REQUESTS_ACTIVE).follow(lambda: self._active)
        self._series: dict[tuple[str, str, int], tuple[CounterSeries, HistogramSeries]] = {}

    def begin_with(self, method: str, endpoint: str, statuses: Iterable[int]) -> None:
        """Have these stand at 0 from the start: a first failure must be seen as a rise, and 0 / 0 is no rate."""
        for status in statuses:
            self._series_of(method, endpoint, status)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        request_id = _request_id(request)
        REQUEST_ID.set(request_id)
        self._active += 1
        status = 499  # the client hung up before it was answered; nginx's number for it
        try:
            response = await _answered(request, handler, request_id)
            status = response.status
            return response
        finally:
            self._active -= 1
            self._measure(request, status, time.perf_counter() - started)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Called by aiohttp for each answer, just before its headers are sent."""
        response.headers.update(marks(REQUEST_ID.get() or _request_id(request)))

    def _measure(self, request: web.Request, status: int, duration_s: float) -> None:
        resource = request.match_info.route.resource
        endpoint = UNMATCHED if resource is None else resource.canonical
        method = request.method if request.method in METHODS else "other"
        requests, durations = self._series_of(method, endpoint, status)
        requests.inc()
        durations.observe(duration_s)
        if self._leaves_a_line(status, duration_s):
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
                },
            )

    def _series_of(self, method: str, endpoint: str, status: int) -> tuple[CounterSeries, HistogramSeries]:
        key = (method, endpoint, status)
        found = self._series.get(key)
        if found is None:
            status_class = f"{status // 100}xx" if f"{status // 100}xx" in STATUS_CLASSES else "other"
            found = self._series[key] = (
                self._metrics.series(HTTP_REQUESTS, method=method, endpoint=endpoint, status=str(status)),
                self._metrics.series(HTTP_REQUEST_DURATION, endpoint=endpoint, status_class=status_class),
            )
        return found

    def _leaves_a_line(self, status: int, duration_s: float) -> bool:
        wanted = self._logging.requests
        return wanted == "all" or (wanted == "problems" and (status >= 400 or duration_s > self._logging.slow_s))


def marks(request_id: str) -> dict[str, str]:
    """The headers that every answer carries."""
    return {"X-Request-ID": request_id, "Server": "inquiry-svc", "X-Content-Type-Options": "nosniff"}


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
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid_utils.compat.uuid7())
