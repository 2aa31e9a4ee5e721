"""Errors as RFC 9457 problem documents: one table from error to status, one function that makes the answer.

No exception's text reaches a client unless the error is written for clients (`Refusal`, or `_TOLD` below).
"""

from __future__ import annotations

import http
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web

from inquiry_svc import errors
from inquiry_svc.tracing import CURRENT
from inquiry_svc.web import schemas as out
from inquiry_svc.web.incoming import Refusal
from inquiry_svc.web.media_types import PROBLEM
from inquiry_svc.web.outgoing import encode


@dataclass(frozen=True, slots=True)
class _Meaning:
    status: int
    name: str
    """The last part of the problem's `type`."""
    detail: str


_MEANINGS: Final[dict[type[Exception], _Meaning]] = {
    errors.Overloaded: _Meaning(503, "overloaded", "every place is taken; try again after Retry-After seconds"),
    errors.StoreUnavailable: _Meaning(
        503, "store-unavailable", "the store can't be reached and nothing was acknowledged; try again"
    ),
    errors.Unavailable: _Meaning(503, "unavailable", "a part of the service can't be reached; try again"),
    errors.TriageFailed: _Meaning(
        500, "triage-failed", "this inquiry could not be triaged and was not stored; others are served"
    ),
    errors.IdempotencyKeyReused: _Meaning(
        422,
        "idempotency-key-reused",
        "this idempotency key was used before for another payload; use a new one",
    ),
    errors.CannotExplain: _Meaning(
        404, "no-explanation", "the classifier that would have to say why can't; choose one that can, such as keyword"
    ),
    errors.InquiryNotFound: _Meaning(404, "inquiry-not-found", "no inquiry has this id"),
    errors.AlreadyResolved: _Meaning(409, "already-resolved", "this inquiry was resolved before"),
    errors.ReviewNotYours: _Meaning(
        409, "review-not-yours", "another reviewer holds this review, or the inquiry does not wait for one any more"
    ),
}
_UNEXPECTED: Final = _Meaning(500, "internal-error", "something went wrong on our side; the log knows the request id")


def problem(error: BaseException, request_id: str, *, line: int | None = None) -> out.ProblemOut:
    """The problem document for an error; `line` is its place in a bulk upload."""
    place = msgspec.UNSET if line is None else line
    if isinstance(error, Refusal):
        found = [out.FieldErrorOut(field=fault.pointer, message=fault.message) for fault in error.faults]
        return _document(error.status, _slug(error.status), error.detail, request_id, found or msgspec.UNSET, place)
    if isinstance(error, web.HTTPException):
        return _document(error.status, _slug(error.status), _http_detail(error), request_id, msgspec.UNSET, place)
    meaning = _meaning_of(error)
    found_in_header = (
        [out.FieldErrorOut(field="Idempotency-Key", message=meaning.detail)]
        if isinstance(error, errors.IdempotencyKeyReused)
        else msgspec.UNSET
    )
    return _document(meaning.status, meaning.name, meaning.detail, request_id, found_in_header, place)


class ProblemAnswer(msgspec.Struct, frozen=True):
    """What is sent to a client for an error."""

    status: int
    headers: Mapping[str, str]
    """Beside the Content-Type, which is always the same."""
    body: bytes
    closes: bool
    """The connection is of no further use."""


def problem_answer(error: BaseException, request_id: str) -> ProblemAnswer:
    document = problem(error, request_id)
    headers: dict[str, str] = {}
    closes = False
    if isinstance(error, errors.Overloaded | errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = error.headers["Allow"]
    elif isinstance(error, Refusal):
        headers.update(error.headers)
        closes = error.closes
    return ProblemAnswer(document.status, headers, encode(document), closes)


def problem_response(error: BaseException, request_id: str) -> web.Response:
    """The same for aiohttp."""
    found = problem_answer(error, request_id)
    response = web.Response(body=found.body, status=found.status, headers=found.headers, content_type=PROBLEM)
    if found.closes:
        response.force_close()
    return response


def _meaning_of(error: BaseException) -> _Meaning:
    return next((meaning for kind, meaning in _MEANINGS.items() if isinstance(error, kind)), _UNEXPECTED)


def _document(
    status: int,
    name: str,
    detail: str,
    request_id: str,
    found: list[out.FieldErrorOut] | msgspec.UnsetType,
    line: int | msgspec.UnsetType,
) -> out.ProblemOut:
    span = CURRENT.get()
    return out.ProblemOut(
        type=f"/problems/{name}",
        title=_title(status),
        status=status,
        detail=detail,
        request_id=request_id,
        trace_id=msgspec.UNSET if span is None else span.trace_id,
        errors=found,
        line=line,
    )


_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}
"""As RFC 9110 has them. Python's own differ from version to version, and `type` is made of them."""


def _title(status: int) -> str:
    return _TITLES.get(status) or http.HTTPStatus(status).phrase


def _slug(status: int) -> str:
    return _title(status).lower().replace(" ", "-")


def _http_detail(error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"this path takes {', '.join(sorted(error.allowed_methods))}"
    if isinstance(error, web.HTTPNotFound):
        return "nothing is at this path; /docs shows what there is"
    return error.reason
