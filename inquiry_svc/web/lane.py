"""The short way of a plain submit or classify: from the bytes of a request to the bytes of its answer.

aiohttp's way of one request costs several times what the model does: a task, a request, a response, two multidicts of
headers. Nearly all requests need none of that: they come at once, and nothing in their head is unusual.
Those are answered here, with the edge, the access, the checks, the handlers and the problems of the plain way, in its
order; and refused here where there is no place for them. Any other is not taken: it goes the plain way, which answers
it as ever. `protocol.py` has the switch, and is told each answer.

    data_received -> Answering.begin -> checked -> Pipeline.submit_soon ==(its batches)==> Answering._told -> the socket
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextvars import copy_context
from email.utils import formatdate
from functools import cache, partial
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

from inquiry_svc.batching import Waiting
from inquiry_svc.inquiries import Inquiry, Prediction, Text
from inquiry_svc.intake import bodies
from inquiry_svc.intake.checking import MAX_BODY_BYTES
from inquiry_svc.logs import REQUEST_ID, lines_of
from inquiry_svc.pipeline import Submission
from inquiry_svc.service import Service
from inquiry_svc.web import inquiries, schemas
from inquiry_svc.web.access import Access, Visit
from inquiry_svc.web.edge import HUNG_UP, Edge, log_unserved, mark
from inquiry_svc.web.endpoint import Endpoint
from inquiry_svc.web.gate import Gate
from inquiry_svc.web.heads import Asking, Head
from inquiry_svc.web.incoming import validate
from inquiry_svc.web.media_types import JSON, PROBLEM
from inquiry_svc.web.outgoing import encode, prediction_out
from inquiry_svc.web.problems import problem_answer
from inquiry_svc.web.routes import ENDPOINTS
from inquiry_svc.web.senders import Senders

T = TypeVar("T")

_PLAIN_JSON: Final = (JSON, f"{JSON}; charset=utf-8")
_NONE: Final[inquiries.Headers] = {}
_CLOSING: Final[inquiries.Headers] = {"Connection": "close"}
_BODIES: Final[Mapping[object, type[bodies.TextIn]]] = {
    inquiries.submit: bodies.SubmitIn,
    inquiries.classify: bodies.TextIn,
}
_ENDPOINTS: Final = {each.path: each for each in ENDPOINTS if each.handler in _BODIES}

Tell: TypeAlias = Callable[[bytes, bool], None]
"""Takes the bytes of an answer, and whether the connection ends with it."""
Peer: TypeAlias = tuple[Any, ...] | str | None
"""The name of the other end, as its transport gives it."""


class Plain(msgspec.Struct, frozen=True):
    """What a head asks for that is answered here."""

    endpoint: Endpoint
    body: type[bodies.TextIn]
    headers: Mapping[str, str]
    """By name in lower case."""
    key: str | None
    """The idempotency key."""
    request_id: str | None


def plain_of(asking: Asking) -> Plain | None:
    """What a head asks for, if it is answered here."""
    endpoint, fields = _ENDPOINTS.get(asking.target), asking.fields
    key = fields.get("idempotency-key")
    if (
        endpoint is None
        or asking.method != endpoint.method
        or fields.get("content-type", "").lower() not in _PLAIN_JSON
        or not (key is None or inquiries.is_key(key))
    ):
        return None
    return Plain(endpoint, _BODIES[endpoint.handler], fields, key, fields.get("x-request-id"))


class Lane:
    """Of one service."""

    def __init__(self, service: Service, edge: Edge, access: Access | None, senders: Senders | None) -> None:
        self.service = service
        self.edge = edge
        self.access = access
        self.senders = senders
        self.gate = Gate(service.admission)
        refusal = self.gate.refusal
        self.refused_head = _with(_head_of(refusal.status, PROBLEM), refusal.headers)

    def takes(self, head: Head[Plain | None]) -> Plain | None:
        """What is asked for; None where it must go the plain way. Nothing happens yet."""
        return head.asked if head.end - head.body_at <= MAX_BODY_BYTES else None

    def answering(self, plain: Plain, body: bytes, tell: Tell, peer: Peer) -> Answering:
        """Its request has begun; it is for the caller to have it go on."""
        started, request_id = self.edge.begin(plain.request_id)
        return Answering(self, plain, body, tell, peer, started, request_id)


class Answering(msgspec.Struct, eq=False):
    """One request, from its being taken to its answer. `tell` is called once: in `enter` or later.

    It waits for a place first, where all are taken. Only who calls is asked in a task, and only where there are keys.
    The rest waits for its batches, which tell it.
    """

    lane: Lane
    plain: Plain
    body: bytes
    tell: Tell
    peer: Peer
    started: float
    request_id: str
    visit: Visit | None = None
    """None where nobody asks who calls."""
    work: asyncio.Task[Any] | Waiting[Any, Any] | None = None
    waits: bool = True
    """For a place."""

    @property
    def stages(self) -> int:
        return 2 if self.plain.body is bodies.SubmitIn else 1

    def enter(self) -> None:
        if self.lane.service.stopping:
            self.lane.gate.let_in(self)
        else:
            self.lane.gate.enter(self)

    def begin(self) -> None:
        self.waits = False
        if self.lane.access is None:
            self._handle()
        else:
            self.visit = Visit()
            self._have_done(self._admitted(self.lane.access, self.visit), self._handle_admitted)

    def give_up(self) -> None:
        self.body = b""

    def refuse(self) -> None:
        """There is no place for it. Nothing happens where it waits for none."""
        if self.waits:
            self.waits = False
            lane, closes = self.lane, self.lane.service.stopping
            self._ended_outside(lane.gate.refusal.status)
            head = _with(lane.refused_head, _CLOSING if closes else _NONE)
            self.tell(_whole(head, self.request_id, lane.gate.refused(self.request_id)), closes)

    def cancel(self) -> None:
        """Nobody waits for the answer any more, or nobody shall."""
        if self.waits:
            self.waits = False
            self._ended_outside(HUNG_UP)
            self.tell(b"", True)
        elif self.work is not None:
            self.work.cancel()

    async def _admitted(self, access: Access, visit: Visit) -> None:
        assert self.plain.endpoint.scope is not None
        remote = str(self.peer[0]) if isinstance(self.peer, tuple) else self.peer
        await access.admit(visit, self.plain.endpoint.scope, self.plain.headers, remote)

    def _handle_admitted(self, found: BaseException | None) -> None:
        if found is None:
            self._handle()
        else:
            self._told(found)

    def _handle(self) -> None:
        pipeline, key, senders = self.lane.service.pipeline, self.plain.key, self.lane.senders
        try:
            body = validate(self.body, self.plain.body)
            if not isinstance(body, bodies.SubmitIn):
                self.work = pipeline.classify_soon(Text(body.subject, body.body), self._told)
                return
            inquiry = inquiries.submitted(body, key)
            if senders is None:
                self.work = pipeline.submit_soon(inquiry, self._told)
            else:
                self._have_done(senders.admit(inquiry.sender_email), partial(self._submit_admitted, inquiry))
        except Exception as error:
            self._told(error)

    def _submit_admitted(self, inquiry: Inquiry, found: BaseException | None) -> None:
        if found is not None:
            self._told(found)
            return
        try:
            self.work = self.lane.service.pipeline.submit_soon(inquiry, self._told)
        except Exception as error:
            self._told(error)

    def _have_done(self, work: Coroutine[Any, Any, T], tell: Callable[[T | BaseException], None]) -> None:
        """In a task, whose log lines are this request's; `tell` is called when it is done."""
        context = copy_context()
        context.run(REQUEST_ID.set, self.request_id)
        task: asyncio.Task[T] = asyncio.get_running_loop().create_task(work, context=context)
        self.work = task
        task.add_done_callback(lambda task: tell(_result_of(task)))

    def _told(self, found: Prediction | Submission | BaseException) -> None:
        """What came of it."""
        lane, endpoint, visit = self.lane, self.plain.endpoint, self.visit
        closes, more, body = lane.service.stopping, _NONE, b""
        if not isinstance(found, BaseException):
            try:
                status, answer, more = _answer_to(found)
                head, body = _head_of(status, JSON), encode(answer)
            except Exception as error:
                self._told(error)
                return
        elif isinstance(found, Exception):
            with lines_of(self.request_id):
                problem = problem_answer(found, self.request_id)
                log_unserved(found, problem.status)
            status, more, body = problem.status, problem.headers, problem.body
            head, closes = _head_of(status, PROBLEM), closes or problem.closes
        else:
            status, head = HUNG_UP, None
        key = None if visit is None else visit.key
        lane.gate.let_out(self)
        lane.edge.end(endpoint.method, endpoint.path, status, self.started, key, self.request_id)
        if head is None:
            self.tell(b"", True)
            return
        if visit is not None and lane.access is not None:
            lane.access.say_quota(visit, more := dict(more))
        if closes:
            more = {**more, **_CLOSING}
        self.tell(_whole(_with(head, more), self.request_id, body), closes)

    def _ended_outside(self, status: int) -> None:
        """For want of a place; the gate tells of all such."""
        endpoint = self.plain.endpoint
        self.lane.edge.end(
            endpoint.method, endpoint.path, status, self.started, None, self.request_id, leaves_line=False
        )


def _answer_to(found: Prediction | Submission) -> tuple[int, schemas.Outgoing, inquiries.Headers]:
    """Status, what is encoded, and headers of its own."""
    if isinstance(found, Prediction):
        return 200, prediction_out(found, with_scores=False), _NONE
    return 201, *inquiries.submission_out(found)


def _result_of(task: asyncio.Task[T]) -> T | BaseException:
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or task.result()


def _whole(head: str, request_id: str, body: bytes) -> bytes:
    return f"{head}X-Request-ID: {request_id}\r\nContent-Length: {len(body)}\r\n{_date()}\r\n".encode() + body


def _with(head: str, more: Mapping[str, str]) -> str:
    return head + "".join([f"{name}: {value}\r\n" for name, value in more.items()]) if more else head


@cache
def _head_of(status: int, content_type: str) -> str:
    """What the head of an answer begins with: all that does not differ from one to the next."""
    fields = CIMultiDict({hdrs.CONTENT_TYPE: content_type})
    mark(fields, "")
    del fields["X-Request-ID"]
    lines = [f"HTTP/1.1 {status} {web.Response(status=status).reason}", *(f"{name}: {fields[name]}" for name in fields)]
    return "".join(f"{line}\r\n" for line in lines)


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
