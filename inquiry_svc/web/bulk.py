"""Many inquiries in one request, streamed both ways: a line in, a line out, in order, with bounded memory.

At most `_WINDOW` lines are on their way at once. When the client does not read its answers, or the service is busy, no
further line is read: the client feels it as a full socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from inquiry_svc.inquiries import IdempotencyKey
from inquiry_svc.intake import bodies
from inquiry_svc.intake.checking import MAX_BODY_BYTES
from inquiry_svc.intake.inquiry import fingerprint_of, inquiry_of
from inquiry_svc.logs import REQUEST_ID
from inquiry_svc.web.app_keys import SERVER, SERVICE
from inquiry_svc.web.edge import log_unserved
from inquiry_svc.web.incoming import Refusal, broken_encoding, refuse_other_codings, require_content_type, validate
from inquiry_svc.web.inquiries import header_key
from inquiry_svc.web.media_types import NDJSON
from inquiry_svc.web.outgoing import inquiry_out, json_line
from inquiry_svc.web.problems import problem
from inquiry_svc.web.senders import SENDERS

_WINDOW: Final = 128
_FLUSH_BYTES: Final = 64 * 1024

Answers = asyncio.Queue["asyncio.Task[bytes] | None"]


async def bulk(request: web.Request) -> web.StreamResponse:
    require_content_type(request, NDJSON)
    refuse_other_codings(request)
    key = header_key(request)
    response = web.StreamResponse(headers={"Content-Type": NDJSON})
    await response.prepare(request)
    answers: Answers = asyncio.Queue(_WINDOW)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_read(request, key, answers, tasks), name="bulk reader")
            await _write(response, answers)
    except ExceptionGroup as failed:
        if failed.split(ConnectionError)[1] is not None:
            raise
        raise asyncio.CancelledError from failed  # the client has left, which reading or writing noticed first
    return response


async def _read(request: web.Request, key: str | None, answers: Answers, tasks: asyncio.TaskGroup) -> None:
    number = 0
    async for line in _lines(request):
        number += 1
        await answers.put(tasks.create_task(_answer(request, line, number, key), name=f"bulk line {number}"))
    await answers.put(None)


async def _write(response: web.StreamResponse, answers: Answers) -> None:
    """Answers in order; those that are ready together go out together."""
    ready = bytearray()
    while True:
        if ready and answers.empty():
            await response.write(bytes(ready))
            ready.clear()
        task = await answers.get()
        if task is None:
            break
        if ready and (not task.done() or len(ready) > _FLUSH_BYTES):
            await response.write(bytes(ready))
            ready.clear()
        ready += await task
    await response.write_eof(bytes(ready))


async def _answer(request: web.Request, line: bytes | Refusal, number: int, key: str | None) -> bytes:
    try:
        if isinstance(line, Refusal):
            raise line
        body = validate(line, bodies.SubmitIn)
        own_key = None if key is None else IdempotencyKey(f"{key}#{number}", fingerprint_of(body))
        inquiry = inquiry_of(body, idempotency_key=own_key)
        if (senders := request.app[SENDERS]) is not None:
            await senders.admit(inquiry.sender_email)
        submission = await request.app[SERVICE].submit(inquiry, patient=True)
        return json_line(inquiry_out(submission.outcome))
    except Exception as error:
        document = problem(error, REQUEST_ID.get() or "", line=number)
        log_unserved(error, document.status, f"line {number} of a bulk upload")
        return json_line(document)


async def _lines(request: web.Request) -> AsyncIterator[bytes | Refusal]:
    """The lines of the body without their ends; a `Refusal` in the place of one that is too long or came too slowly."""
    too_long = Refusal(413, f"the line is longer than {MAX_BODY_BYTES} bytes")
    limit_s = request.app[SERVER].body_timeout_s
    now = asyncio.get_running_loop().time
    deadline = now() + limit_s
    rest = b""
    skipping = False
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await request.content.readany()
        except TimeoutError:
            yield Refusal(408, f"no line was complete within {limit_s:g} s")
            return
        except web.RequestPayloadError:
            yield broken_encoding(request)
            return
        if not chunk:
            break
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if skipping:
                skipping = False
            else:
                yield line if len(line) <= MAX_BODY_BYTES else too_long
        if complete:  # counted from here, because until here the client was kept waiting
            deadline = now() + limit_s
        if len(rest) > MAX_BODY_BYTES:
            if not skipping:
                yield too_long
            skipping, rest = True, b""
    if rest and not skipping:
        yield rest
