"""The short way of a plain submit or classify: from the bytes of a request to the bytes of its answer.

aiohttp's way of one request costs several times what the model does: a task, a request, a response, two multidicts of
headers. Nearly all requests need none of that: they come whole and in one piece, and nothing in their head is unusual.
Those are answered here, with the edge, the access, the checks, the handlers and the problems of the plain way, in its
order; and refused here where there is no place for them. Any other is not taken: it goes the plain way, which answers
it as ever. `protocol.py` has the switch.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

from inquiry_svc.intake import bodies
from inquiry_svc.intake.checking import MAX_BODY_BYTES
from inquiry_svc.service import Service
from inquiry_svc.web import inquiries, schemas
from inquiry_svc.web.access import Access, Visit
from inquiry_svc.web.edge import HUNG_UP, Edge, log_unserved, mark, request_id_of
from inquiry_svc.web.endpoint import Endpoint
from inquiry_svc.web.gate import Gate
from inquiry_svc.web.heads import Head
from inquiry_svc.web.incoming import validate
from inquiry_svc.web.media_types import JSON, PROBLEM
from inquiry_svc.web.outgoing import encode
from inquiry_svc.web.problems import problem_answer
from inquiry_svc.web.routes import ENDPOINTS

_PLAIN_JSON: Final = (JSON, f"{JSON}; charset=utf-8")
_NO_QUERY: Final = schemas.ClassifyQuery()

_Answer: TypeAlias = tuple[int, schemas.Outgoing, inquiries.Headers]
"""Status, what is encoded, and headers of its own."""
_Handle: TypeAlias = Callable[[Service, Any, str | None], Awaitable[_Answer]]
"""Takes the checked body and the idempotency key."""


async def _submit(service: Service, body: bodies.SubmitIn, key: str | None) -> _Answer:
    return 201, *await inquiries.submitted(service, body, key)


async def _classify(service: Service, body: bodies.TextIn, key: str | None) -> _Answer:
    return 200, await inquiries.classified(service, body, _NO_QUERY), {}


_HANDLES: Final[Mapping[object, _Handle]] = {inquiries.submit: _submit, inquiries.classify: _classify}
_ENDPOINTS: Final = {each.path: each for each in ENDPOINTS if each.handler in _HANDLES}


class Taken(msgspec.Struct, frozen=True):
    """A request that is answered here."""

    endpoint: Endpoint
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    peer: tuple[Any, ...] | str | None
    """The name of the other end, as its transport gives it."""

    @property
    def remote(self) -> str | None:
        return str(self.peer[0]) if isinstance(self.peer, tuple) else self.peer


class Lane:
    def __init__(self, service: Service, edge: Edge, access: Access | None) -> None:
        self._service = service
        self._edge = edge
        self._access = access
        self.gate = Gate(service.admission)

    def take(self, head: Head, data: bytes, peer: tuple[Any, ...] | str | None) -> Taken | None:
        """The request that `data` is, as a whole; None where it must go the plain way. Nothing happens yet."""
        endpoint, key = _ENDPOINTS.get(head.target), head.fields.get("idempotency-key")
        if (
            endpoint is None
            or head.method != endpoint.method
            or head.fields.get("content-type", "").lower() not in _PLAIN_JSON
            or head.end - head.body_at > MAX_BODY_BYTES
            or not (key is None or inquiries.is_key(key))
        ):
            return None
        return Taken(endpoint, head.fields, data[head.body_at :], peer)

    def refusal(self, taken: Taken) -> bytes | None:
        """The bytes of the answer to what finds no place; None where `answer` has it."""
        if not self.gate.is_shut or self._service.stopping:
            return None
        request_id = request_id_of(taken.headers.get("x-request-id"))
        refused = self.gate.refusal(request_id)
        self._edge.refused(taken.endpoint.method, taken.endpoint.path, refused.status)
        return _whole(_head_of(refused.status, PROBLEM), dict(refused.headers), request_id, refused.body)

    async def answer(self, taken: Taken) -> tuple[bytes, bool]:
        """The bytes of the answer, and whether the connection ends with it. In a task of its own, for its log lines."""
        visit = Visit()
        started, request_id = self._edge.begin(taken.headers.get("x-request-id"))
        status, closes = HUNG_UP, False
        try:
            try:
                status, found, headers = await self._handled(taken, visit)
                head, body, more = _head_of(status, JSON), encode(found), dict(headers)
            except Exception as error:
                problem = problem_answer(error, request_id)
                log_unserved(error, problem.status)
                status, head, body = problem.status, _head_of(problem.status, PROBLEM), problem.body
                more, closes = dict(problem.headers), problem.closes
            if self._access is not None:
                self._access.say_quota(visit, more)
            if closes or self._service.stopping:
                closes, more["Connection"] = True, "close"
            return _whole(head, more, request_id, body), closes
        finally:
            self._edge.end(taken.endpoint.method, taken.endpoint.path, status, started, visit.key)

    async def _handled(self, taken: Taken, visit: Visit) -> _Answer:
        endpoint = taken.endpoint
        if self._access is not None and endpoint.scope is not None:
            await self._access.admit(visit, endpoint.scope, taken.headers, taken.remote)
        assert endpoint.body is not None
        body = validate(taken.body, endpoint.body)
        return await _HANDLES[endpoint.handler](self._service, body, taken.headers.get("idempotency-key"))


def _whole(head: bytes, more: dict[str, str], request_id: str, body: bytes) -> bytes:
    """An answer, of which `more` is what its head has beside what `_head_of` gives."""
    more["X-Request-ID"] = request_id
    more["Content-Length"] = str(len(body))
    lines = "\r\n".join([f"{name}: {value}" for name, value in more.items()])
    return b"%b%b\r\n%b\r\n%b" % (head, lines.encode(), _date(), body)


@cache
def _head_of(status: int, content_type: str) -> bytes:
    """What the head of an answer begins with: all that does not differ from one to the next."""
    fields = CIMultiDict({hdrs.CONTENT_TYPE: content_type})
    mark(fields, "")
    del fields["X-Request-ID"]
    lines = [f"HTTP/1.1 {status} {web.Response(status=status).reason}", *(f"{name}: {fields[name]}" for name in fields)]
    return "".join(f"{line}\r\n" for line in lines).encode()


class _Clock:
    """The line that says the date, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def __call__(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second, self._line = now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._line


_date: Final = _Clock()
