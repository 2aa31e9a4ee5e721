"""The short way of a plain submit or classify: from the bytes of a request to the bytes of its answer.

aiohttp's way of one request costs several times what the model does: a task, a request, a response, two multidicts of
headers. Nearly all requests need none of that: they come whole and in one piece, nothing in their head is unusual, and
their body is valid. Those are answered here, with the handlers, the edge and the problems of the plain way. Any other
is not taken: it goes the plain way, which answers it as ever. `protocol.py` has the switch.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final, Generic, TypeVar

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

from inquiry_svc.intake import bodies
from inquiry_svc.intake.checking import MAX_BODY_BYTES, NotValid, checked
from inquiry_svc.intake.strict_json import NotJson
from inquiry_svc.service import Service
from inquiry_svc.web import inquiries, schemas
from inquiry_svc.web.edge import HUNG_UP, Edge, answer_to, mark
from inquiry_svc.web.heads import Head
from inquiry_svc.web.media_types import JSON

IncomingT = TypeVar("IncomingT", bound=bodies.Incoming)

_PLAIN_JSON: Final = (JSON, f"{JSON}; charset=utf-8")
_NO_QUERY: Final = schemas.ClassifyQuery()
_encode: Final = msgspec.json.Encoder().encode
_Answer = tuple[int, Mapping[str, str], schemas.Outgoing]
"""Status, headers of its own, and what is encoded."""


@dataclass(frozen=True, slots=True)
class _Stop(Generic[IncomingT]):
    """One path of the lane."""

    path: str
    kind: type[IncomingT]
    handle: Callable[[Service, IncomingT, str | None], Awaitable[_Answer]]
    """Takes the checked body and the idempotency key."""


async def _submit(service: Service, body: bodies.SubmitIn, key: str | None) -> _Answer:
    answer, headers = await inquiries.submitted(service, body, key)
    return 201, headers, answer


async def _classify(service: Service, body: bodies.TextIn, key: str | None) -> _Answer:
    return 200, {}, await inquiries.classified(service, body, _NO_QUERY)


_STOPS: Final[Mapping[str, _Stop[Any]]] = {
    each.path: each
    for each in (
        _Stop(inquiries.SUBMIT_PATH, bodies.SubmitIn, _submit),
        _Stop(inquiries.CLASSIFY_PATH, bodies.TextIn, _classify),
    )
}


class Taken(msgspec.Struct, frozen=True):
    """A request that is answered here."""

    stop: _Stop[Any]
    body: bodies.Incoming
    idempotency_key: str | None
    request_id: str | None
    """The caller's own."""


class Lane:
    def __init__(self, service: Service, edge: Edge) -> None:
        self._service = service
        self._edge = edge
        self._heads = {status: _head_of(status) for status in (200, 201)}

    def take(self, head: Head, data: bytes) -> Taken | None:
        """The request that `data` is, as a whole; None where it must go the plain way. Nothing happens yet."""
        stop, fields = _STOPS.get(head.target), head.fields
        key = fields.get("idempotency-key")
        if (
            stop is None
            or head.method != "POST"
            or fields.get("content-type", "").lower() not in _PLAIN_JSON
            or head.end - head.body_at > MAX_BODY_BYTES
            or not (key is None or inquiries.is_key(key))
        ):
            return None
        try:
            return Taken(stop, checked(data[head.body_at :], stop.kind), key, fields.get("x-request-id"))
        except (NotJson, NotValid):
            return None

    async def answer(self, taken: Taken) -> tuple[bytes, bool]:
        """The bytes of the answer, and whether the connection ends with it. In a task of its own, for its log lines."""
        started, request_id = self._edge.begin(taken.request_id)
        status = HUNG_UP
        try:
            closes, own = False, ""
            try:
                status, headers, found = await taken.stop.handle(self._service, taken.body, taken.idempotency_key)
                head, body = self._heads[status], _encode(found)
                for name, value in headers.items():
                    own += f"{name}: {value}\r\n"
            except Exception as error:
                problem = answer_to(error, request_id)
                assert isinstance(problem.body, bytes)
                status, head, body = problem.status, _head_of(problem.status, problem.headers), problem.body
                closes = problem.keep_alive is False
            if closes or self._service.stopping:
                closes, own = True, f"{own}Connection: close\r\n"
            last = f"{own}X-Request-ID: {request_id}\r\nContent-Length: {len(body)}\r\n{_date()}\r\n"
            return head + last.encode() + body, closes
        finally:
            self._edge.end("POST", taken.stop.path, status, started, None)


def _head_of(status: int, headers: Mapping[str, str] | None = None) -> bytes:
    """What the head of an answer begins with: all that does not differ from one to the next."""
    fields = CIMultiDict(headers or {hdrs.CONTENT_TYPE: JSON})
    mark(fields, "")
    del fields["X-Request-ID"]
    lines = [f"HTTP/1.1 {status} {web.Response(status=status).reason}", *(f"{name}: {fields[name]}" for name in fields)]
    return "".join(f"{line}\r\n" for line in lines).encode()


class _Clock:
    """The line that says the date, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = ""

    def __call__(self) -> str:
        now = int(time.time())
        if now != self._second:
            self._second, self._line = now, f"Date: {formatdate(now, usegmt=True)}\r\n"
        return self._line


_date: Final = _Clock()
