"""Requests read and checked: bytes, parameters and headers to `schemas`, or a `Refusal` that names each field."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
import orjson
from aiohttp import web

from inquiry_svc.inquiries import AXES
from inquiry_svc.plugins import did_you_mean
from inquiry_svc.web.email_address import is_email_address
from inquiry_svc.web.keys import LIMITS
from inquiry_svc.web.media_types import JSON
from inquiry_svc.web.schemas import FeedbackIn, Incoming
from inquiry_svc.web.strict_json import Fault, NotJson, faults, parse, pointer_to
from inquiry_svc.web.wording import what_is_wrong

MAX_BODY_BYTES: Final = 64 * 1024
MAX_METADATA_BYTES: Final = 4 * 1024
_YEARS: Final = range(1971, 9000)
"""Moments outside would leave the calendar when a time zone or a response target is added."""
_MAX_FAULTS: Final = 50
"""So that a body full of wrong fields gets neither a larger answer than a readable one nor the event loop for long."""
_MAX_SUMMARISED: Final = 5
_MAX_NAME_CHARACTERS: Final = 100

IncomingT = TypeVar("IncomingT", bound=Incoming)


class Refusal(Exception):
    """The client must change the request: `status` says in what way, `faults` where.

    `closes`: the connection is of no further use.
    """

    def __init__(self, status: int, detail: str, faults: Sequence[Fault] = (), *, closes: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = faults
        self.closes = closes


async def read_body(request: web.Request, kind: type[IncomingT]) -> IncomingT:
    """The body as `kind`. Raises `Refusal`: 400, 408, 413, 415 or 422."""
    require_content_type(request, JSON)
    return validate(await _read(request), kind)


async def read_optional_body(request: web.Request, kind: type[IncomingT]) -> IncomingT:
    """The same, but where nothing is sent, of whatever content type, the defaults of `kind`."""
    return await read_body(request, kind) if await _read(request) else kind()


def require_content_type(request: web.Request, wanted: str) -> None:
    if request.content_type != wanted or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        sent = request.headers.get("Content-Type", "none")
        raise Refusal(415, f"Content-Type is {sent!r}; send {wanted} in UTF-8")


async def _read(request: web.Request) -> bytes:
    too_large = Refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise too_large
    limit_s = request.app[LIMITS].body_timeout_s
    try:
        async with asyncio.timeout(None if request.content.is_eof() else limit_s):
            raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large from error
    except web.RequestPayloadError as error:
        raise broken_encoding(request) from error
    except TimeoutError as error:
        raise Refusal(408, f"the body was not complete within {limit_s:g} s", closes=True) from error
    if len(raw) > MAX_BODY_BYTES:  # aiohttp's own limit differs by a byte from version to version
        raise too_large
    return raw


def broken_encoding(request: web.Request) -> Refusal:
    """For a body that ends in the middle of what its Content-Encoding or Transfer-Encoding promised."""
    request.content.feed_eof()  # else aiohttp reads on after the answer and logs an error of its own
    fault = Fault("", "can't be read: its Content-Encoding or Transfer-Encoding is broken")
    return Refusal(400, f"the body {fault.message}", [fault], closes=True)


def validate(raw: bytes, kind: type[IncomingT]) -> IncomingT:
    """Raises `Refusal`: 400 when the bytes are not JSON, 422 with every fault of every field."""
    try:
        document = parse(raw)
    except NotJson as error:
        raise Refusal(400, f"the body is not JSON: {error}", [Fault("", str(error))]) from error
    if isinstance(document, dict):
        for name in _TRIMMED:
            if isinstance(document.get(name), str):
                document[name] = document[name].strip()
    may_be_unfit = b"\\u" in raw or (isinstance(document, dict) and "metadata" in document)
    if may_be_unfit and any(faults(document)):  # before msgspec, which raises other errors over lone surrogates
        raise _invalid(_every_fault(document, kind))
    try:
        value = msgspec.convert(document, kind)
    except msgspec.ValidationError:
        raise _invalid(_every_fault(document, kind)) from None
    if found := [*_faults_beyond_types(msgspec.structs.asdict(value)), *_faults_of_feedback(document, kind)]:
        raise _invalid(found)
    return value


_TRIMMED: Final = ("subject", "body", "sender_email", "sender_name", "reviewer")


def _every_fault(document: Any, kind: type[Incoming]) -> Iterator[Fault]:
    """Look at each field by itself, so that all faults are told at once."""
    unfit = list(islice(faults(document), _MAX_FAULTS))
    if not isinstance(document, dict):
        yield from unfit or [Fault("", "must be an object")]
        return
    told = {fault.pointer.split("/")[1] for fault in unfit}
    fields = _fields_of(kind)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in told:
            continue
        if name in document:
            try:
                values[name] = msgspec.convert(document[name], field.type)
            except msgspec.ValidationError:
                yield Fault(f"/{name}", what_is_wrong(document[name], field.type))
        elif field.required:
            yield Fault(f"/{name}", "is required")
    yield from _faults_beyond_types(values)
    yield from _faults_of_feedback(document, kind)
    yield from unfit
    for name in document:
        pointer = pointer_to("", name)
        if name not in fields and pointer[1:] not in told:
            yield Fault(pointer, f"is not a field here; {did_you_mean(name[:_MAX_NAME_CHARACTERS], fields)}")


def _faults_beyond_types(values: Mapping[str, Any]) -> Iterator[Fault]:
    for name in ("received_at", "resolved_at"):
        yield from _faults_of_moment(f"/{name}", values.get(name))
    if "sender_email" in values and not is_email_address(values["sender_email"]):
        yield Fault("/sender_email", "is not a valid e-mail address")
    if values.get("metadata") and len(orjson.dumps(values["metadata"])) > MAX_METADATA_BYTES:
        yield Fault("/metadata", f"must be at most {MAX_METADATA_BYTES:,} bytes as JSON")


def _faults_of_feedback(document: Mapping[str, Any], kind: type[Incoming]) -> Iterator[Fault]:
    if kind is FeedbackIn and all(document.get(axis) is None for axis in AXES):
        yield Fault("", f"give at least one of {', '.join(AXES)}")


def _faults_of_moment(field: str, moment: datetime | None) -> Iterator[Fault]:
    if moment is not None and moment.year not in _YEARS:
        yield Fault(field, f"must be within the years {_YEARS.start} to {_YEARS.stop - 1}")


def read_query(request: web.Request, kind: type[IncomingT]) -> IncomingT:
    """The query string as `kind`. Raises `Refusal` 422."""
    fields = _fields_of(kind)
    found: list[Fault] = []
    values: dict[str, Any] = {}
    for name, text in request.query.items():
        shown = name[:_MAX_NAME_CHARACTERS]
        if name not in fields:
            found.append(Fault(shown, f"is not a parameter here; {did_you_mean(shown, fields)}"))
        elif name in values:
            found.append(Fault(name, "stands there twice"))
        else:
            try:
                values[name] = msgspec.convert(text, fields[name].type, strict=False)
            except msgspec.ValidationError:
                values[name] = None
            if values[name] is None:  # the text "null" too: nothing is not a value here
                found.append(Fault(name, what_is_wrong(text, fields[name].type)))
            elif isinstance(values[name], datetime):
                found += _faults_of_moment(name, values[name])
    if found:
        raise _invalid(found)
    return kind(**values)


@cache
def _fields_of(kind: type[Incoming]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """By name. Kept, because reading them costs 0.1 ms."""
    return {field.name: field for field in msgspec.structs.fields(kind)}


def _invalid(found: Iterable[Fault]) -> Refusal:
    told = list(islice(found, _MAX_FAULTS))
    where = ", ".join(dict.fromkeys(fault.pointer or "the body" for fault in told[:_MAX_SUMMARISED]))
    return Refusal(422, f"not valid: {where}", told)
