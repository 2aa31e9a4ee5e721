"""Requests read and checked: bytes, parameters and headers to typed values, or a `Refusal` that names each field."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import hdrs, web

from inquiry_svc.intake.bodies import Incoming
from inquiry_svc.intake.checking import (
    MAX_BODY_BYTES,
    MAX_NAME_CHARACTERS,
    NotValid,
    checked,
    faults_of_moment,
    fields_of,
)
from inquiry_svc.intake.strict_json import Fault, NotJson
from inquiry_svc.intake.wording import what_is_wrong
from inquiry_svc.plugins import did_you_mean
from inquiry_svc.web.app_keys import SERVER
from inquiry_svc.web.media_types import JSON

IncomingT = TypeVar("IncomingT", bound=Incoming)

_CODINGS: Final = ("gzip", "deflate", "identity")


class Refusal(Exception):
    """The client must change the request: `status` says in what way, `faults` where.

    `closes`: the connection is of no further use. `headers` are the answer's own.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        faults: Sequence[Fault] = (),
        *,
        closes: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = faults
        self.closes = closes
        self.headers = headers or {}


async def read_body(request: web.Request, kind: type[IncomingT]) -> IncomingT:
    """The body as `kind`. Raises `Refusal`: 400, 408, 413, 415 or 422."""
    require_content_type(request, JSON)
    return validate(await _read(request), kind)


async def read_optional_body(request: web.Request, kind: type[IncomingT]) -> IncomingT:
    """The same, but where nothing is sent, of whatever content type, the defaults of `kind`.

    A browser would send that for a page of any origin, without asking first: raises `Refusal` 403 for those.
    """
    if await _read(request):
        return await read_body(request, kind)
    _refuse_other_origins(request)
    return kind()


def _refuse_other_origins(request: web.Request) -> None:
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or origin in request.app[SERVER].allowed_origins or origin.partition("://")[2] == request.host:
        return
    raise Refusal(403, "pages of other origins may not do that; [server] allowed_origins names those that may")


def require_content_type(request: web.Request, wanted: str) -> None:
    sent = request.headers.get(hdrs.CONTENT_TYPE, "none")
    if sent == wanted:  # nearly all; taking it apart costs more
        return
    if request.content_type != wanted or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Refusal(415, f"Content-Type is {sent!r}; send {wanted} in UTF-8")


def refuse_other_codings(request: web.Request) -> None:
    """Which ones can be read must not depend on what else happens to be installed."""
    coding = request.headers.get(hdrs.CONTENT_ENCODING)
    if coding is not None and coding.lower() not in _CODINGS:
        raise other_coding()


def other_coding() -> Refusal:
    return Refusal(
        415,
        "the body's Content-Encoding is not one that is read here; send gzip, deflate or none",
        headers={hdrs.ACCEPT_ENCODING: "gzip, deflate"},
        closes=True,
    )


async def _read(request: web.Request) -> bytes:
    refuse_other_codings(request)
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    limit_s = request.app[SERVER].body_timeout_s
    try:
        if request.content.is_eof():  # it came with its header: there is nothing to wait for
            raw = await request.read()
        else:
            async with asyncio.timeout(limit_s):
                raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except web.RequestPayloadError as error:
        raise broken_encoding(request) from error
    except TimeoutError as error:
        raise Refusal(408, f"the body was not complete within {limit_s:g} s", closes=True) from error
    if len(raw) > MAX_BODY_BYTES:  # aiohttp's own limit differs by a byte from version to version
        raise _too_large()
    return raw


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes")


def broken_encoding(request: web.Request) -> Refusal:
    """For a body that ends in the middle of what its Content-Encoding or Transfer-Encoding promised."""
    request.content.feed_eof()  # else aiohttp reads on after the answer and logs an error of its own
    fault = Fault("", "can't be read: its Content-Encoding or Transfer-Encoding is broken")
    return Refusal(400, f"the body {fault.message}", [fault], closes=True)


def validate(raw: bytes, kind: type[IncomingT]) -> IncomingT:
    """Raises `Refusal`: 400 when the bytes are not JSON, 422 with every fault of every field."""
    try:
        return checked(raw, kind)
    except NotJson as error:
        raise Refusal(400, f"the body is not JSON: {error}", [Fault("", str(error))]) from error
    except NotValid as error:
        raise _invalid(error) from None


def read_query(request: web.Request, kind: type[IncomingT]) -> IncomingT:
    """The query string as `kind`. Raises `Refusal` 422."""
    if not request.query_string:
        return kind()
    fields = fields_of(kind)
    found: list[Fault] = []
    values: dict[str, Any] = {}
    for name, text in request.query.items():
        shown = name[:MAX_NAME_CHARACTERS]
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
                found += faults_of_moment(name, values[name])
    if found:
        raise _invalid(NotValid(found))
    return kind(**values)


def _invalid(error: NotValid) -> Refusal:
    return Refusal(422, str(error), error.faults)
