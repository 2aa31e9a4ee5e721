"""Handlers for inquiries: take one in, look at it, say what it should have been, close it, erase it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from aiohttp import web

from inquiry_svc.catalogue import INQUIRIES_ERASED
from inquiry_svc.contracts import Filters, Position
from inquiry_svc.errors import InquiryNotFound
from inquiry_svc.inquiries import Feedback, IdempotencyKey, Inquiry, Text
from inquiry_svc.intake import bodies
from inquiry_svc.intake.inquiry import fingerprint_of, inquiry_of
from inquiry_svc.intake.strict_json import Fault
from inquiry_svc.pipeline import Submission
from inquiry_svc.service import Service
from inquiry_svc.web import schemas
from inquiry_svc.web.app_keys import SERVICE
from inquiry_svc.web.cursors import cursor_of, inquiry_id_of, place_of
from inquiry_svc.web.explained import explanation_out, inquiry_explanation_out
from inquiry_svc.web.incoming import Refusal, read_body, read_optional_body, read_query
from inquiry_svc.web.outgoing import inquiry_out, json_response, prediction_out
from inquiry_svc.web.senders import SENDERS

_MAX_KEY_CHARACTERS: Final = 255

Headers: TypeAlias = Mapping[str, str]


async def submit(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    service.admission.require_place()
    inquiry = submitted(await read_body(request, bodies.SubmitIn), header_key(request))
    if (senders := request.app[SENDERS]) is not None:
        await senders.admit(inquiry.sender_email)
    answer, headers = submission_out(await service.submit(inquiry))
    return json_response(answer, status=201, headers=headers)


def submitted(body: bodies.SubmitIn, key: str | None) -> Inquiry:
    """What a submit brings; `key` is its idempotency key."""
    return inquiry_of(body, idempotency_key=None if key is None else IdempotencyKey(key, fingerprint_of(body)))


def submission_out(submission: Submission) -> tuple[schemas.InquiryOut, Headers]:
    """What is answered to a submit."""
    answer = inquiry_out(submission.outcome)
    headers = {"Location": f"/api/v1/inquiries/{answer.inquiry_id}"}
    if submission.replayed:
        headers["Idempotency-Replayed"] = "true"
    return answer, headers


async def classify(request: web.Request) -> web.Response:
    request.app[SERVICE].admission.require_place()
    query = read_query(request, schemas.ClassifyQuery)
    body = await read_body(request, bodies.TextIn)
    return json_response(await classified(request.app[SERVICE], body, query))


async def classified(service: Service, body: bodies.TextIn, query: schemas.ClassifyQuery) -> schemas.PredictionOut:
    """What is answered to a classify."""
    text = Text(body.subject, body.body)
    prediction = await service.classify(text)
    answer = prediction_out(prediction, with_scores=query.include_all_scores)
    if query.explain:
        answer.explanation = explanation_out(text, await service.explain(text, prediction.model))
    return answer


async def get(request: web.Request) -> web.Response:
    outcome = await request.app[SERVICE].store.get(inquiry_id_of(request))
    if outcome is None:
        raise InquiryNotFound
    return json_response(inquiry_out(outcome))


async def explain(request: web.Request) -> web.Response:
    outcome, explanation = await request.app[SERVICE].explain_stored(inquiry_id_of(request))
    return json_response(inquiry_explanation_out(outcome, explanation))


async def list_newest_first(request: web.Request) -> web.Response:
    query = read_query(request, schemas.ListQuery)
    filters = Filters(
        category=query.category,
        department=query.department,
        urgency=query.urgency,
        sentiment=query.sentiment,
        status=query.status,
        escalated=query.escalated,
        needs_review=query.needs_review,
        since=query.since,
        until=query.until,
    )
    after = Position(*place_of(query.cursor)) if query.cursor is not None else None
    outcomes = await request.app[SERVICE].store.list(filters, limit=query.limit + 1, after=after)
    page = outcomes[: query.limit]
    more = len(outcomes) > len(page)
    return json_response(
        schemas.PageOut(
            items=[inquiry_out(outcome) for outcome in page],
            next_cursor=cursor_of(page[-1].inquiry.received_at, page[-1].inquiry.inquiry_id) if more else None,
        )
    )


async def give_feedback(request: web.Request) -> web.Response:
    body = await read_body(request, bodies.FeedbackIn)
    feedback = Feedback(body.category, body.sentiment, body.urgency, body.reviewer, given_at=datetime.now(UTC))
    outcome = await request.app[SERVICE].give_feedback(inquiry_id_of(request), feedback)
    return json_response(inquiry_out(outcome))


async def resolve(request: web.Request) -> web.Response:
    body = await read_optional_body(request, bodies.ResolveIn)
    resolved_at = (body.resolved_at or datetime.now(UTC)).astimezone(UTC)
    outcome = await request.app[SERVICE].resolve(inquiry_id_of(request), resolved_at)
    return json_response(inquiry_out(outcome))


async def erase(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    if not await service.store.erase([inquiry_id_of(request)]):
        raise InquiryNotFound
    service.metrics.series(INQUIRIES_ERASED).inc()
    return web.Response(status=204)


def header_key(request: web.Request) -> str | None:
    """The `Idempotency-Key` header. Raises `Refusal` 422 when it can't be one."""
    value = request.headers.get("Idempotency-Key")
    if value is None or is_key(value):
        return value
    fault = Fault("Idempotency-Key", f"must be 1 to {_MAX_KEY_CHARACTERS} printable ASCII characters")
    raise Refusal(422, "not valid: Idempotency-Key", [fault])


def is_key(value: str) -> bool:
    """Whether it can be an idempotency key."""
    return 1 <= len(value) <= _MAX_KEY_CHARACTERS and value.isascii() and value.isprintable()
