"""Handlers for reviewers: what waits for a person, claim it, give it back, skip it, decide.

Who reviews says so in the body; nobody is asked to prove it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from inquiry_svc.intake import bodies
from inquiry_svc.review_queue import Turn
from inquiry_svc.reviews import Decision
from inquiry_svc.web import schemas
from inquiry_svc.web.app_keys import SERVICE
from inquiry_svc.web.cursors import cursor_of, inquiry_id_of, place_of
from inquiry_svc.web.incoming import read_body, read_query
from inquiry_svc.web.outgoing import inquiry_out, json_response, review_out


async def list_reviews(request: web.Request) -> web.Response:
    query = read_query(request, schemas.ReviewsQuery)
    after = Turn(*place_of(query.cursor)) if query.cursor is not None else None
    reviews = await request.app[SERVICE].reviews.list(limit=query.limit + 1, after=after)
    page, now = reviews[: query.limit], datetime.now(UTC)
    more = len(reviews) > len(page)
    return json_response(
        schemas.ReviewPageOut(
            items=[review_out(review, now) for review in page],
            next_cursor=cursor_of(page[-1].turn.at, page[-1].turn.inquiry_id) if more else None,
        )
    )


async def claim_next_reviews(request: web.Request) -> web.Response:
    body = await read_body(request, bodies.ClaimIn)
    claimed = await request.app[SERVICE].reviews.claim(body.reviewer, limit=body.limit)
    now = datetime.now(UTC)
    return json_response(schemas.ClaimedOut(items=[review_out(review, now) for review in claimed]))


async def claim_review(request: web.Request) -> web.Response:
    body = await read_body(request, bodies.ReviewerIn)
    review = await request.app[SERVICE].reviews.claim_one(inquiry_id_of(request), body.reviewer)
    return json_response(review_out(review, datetime.now(UTC)))


async def release_review(request: web.Request) -> web.Response:
    body = await read_body(request, bodies.ReviewerIn)
    review = await request.app[SERVICE].reviews.release(inquiry_id_of(request), body.reviewer)
    return json_response(review_out(review, datetime.now(UTC)))


async def skip_review(request: web.Request) -> web.Response:
    body = await read_body(request, bodies.ReviewerIn)
    review = await request.app[SERVICE].reviews.skip(inquiry_id_of(request), body.reviewer)
    return json_response(review_out(review, datetime.now(UTC)))


async def decide_review(request: web.Request) -> web.Response:
    body = await read_body(request, bodies.DecideIn)
    decision = Decision(body.category, body.sentiment, body.urgency)
    outcome = await request.app[SERVICE].decide_review(inquiry_id_of(request), body.reviewer, decision)
    return json_response(inquiry_out(outcome))
