"""Every route of the service in one table, which the application is built from and the OpenAPI document too."""

from __future__ import annotations

from typing import Final

from inquiry_svc.intake import bodies
from inquiry_svc.web import bulk, documentation, inquiries, operations, schemas
from inquiry_svc.web.endpoint import Endpoint
from inquiry_svc.web.media_types import NDJSON

_V1: Final = "/api/v1"
_REFUSED: Final = (400, 408, 413, 415, 422)
_OVERLOAD: Final = (500, 503)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        "POST",
        f"{_V1}/inquiries/submit",
        inquiries.submit,
        "Triage one inquiry and store it. 201 means that it is committed.",
        {201: schemas.InquiryOut},
        (*_REFUSED, *_OVERLOAD),
        body=bodies.SubmitIn,
        idempotent=True,
    ),
    Endpoint(
        "POST",
        f"{_V1}/inquiries/classify",
        inquiries.classify,
        "Classify a text without storing it.",
        {200: schemas.PredictionOut},
        (*_REFUSED, 404, *_OVERLOAD),
        body=bodies.TextIn,
        query=schemas.ClassifyQuery,
    ),
    Endpoint(
        "POST",
        f"{_V1}/inquiries/bulk",
        bulk.bulk,
        "Triage and store many: one submit body a line, one inquiry or problem (with its `line`) a line, in order.",
        {200: schemas.InquiryOut},
        (415, 422, 500),
        body=bodies.SubmitIn,
        body_required=False,
        idempotent=True,
        media_type=NDJSON,
    ),
    Endpoint(
        "GET",
        f"{_V1}/inquiries/{{inquiry_id}}",
        inquiries.get,
        "One inquiry as it stands now.",
        {200: schemas.InquiryOut},
        (404, 503),
    ),
    Endpoint(
        "GET",
        f"{_V1}/inquiries/{{inquiry_id}}/explain",
        inquiries.explain,
        "Why it was classified and routed as it was: the words that spoke for and against each label, and the reasons.",
        {200: schemas.InquiryExplanationOut},
        (404, *_OVERLOAD),
    ),
    Endpoint(
        "GET",
        f"{_V1}/inquiries",
        inquiries.list_newest_first,
        "Inquiries, newest first, a page at a time.",
        {200: schemas.PageOut},
        (422, 503),
        query=schemas.ListQuery,
    ),
    Endpoint(
        "POST",
        f"{_V1}/inquiries/{{inquiry_id}}/feedback",
        inquiries.give_feedback,
        "Say what it should have been.",
        {200: schemas.InquiryOut},
        (*_REFUSED, 404, 503),
        body=bodies.FeedbackIn,
    ),
    Endpoint(
        "POST",
        f"{_V1}/inquiries/{{inquiry_id}}/resolve",
        inquiries.resolve,
        "Say that it was answered, now or at `resolved_at`.",
        {200: schemas.InquiryOut},
        (*_REFUSED, 404, 409, 503),
        body=bodies.ResolveIn,
        body_required=False,
    ),
    Endpoint(
        "GET",
        f"{_V1}/stats",
        operations.stats,
        "Totals and distributions over the last days.",
        {200: schemas.StatsOut},
        (422, 503),
        query=schemas.StatsQuery,
    ),
    Endpoint(
        "GET",
        f"{_V1}/health",
        operations.health,
        "Each component, asked now.",
        {200: schemas.HealthOut, 503: schemas.HealthOut},
    ),
    Endpoint(
        "GET",
        f"{_V1}/health/live",
        operations.live,
        "Is the process alive?",
        {200: schemas.ProbeOut},
    ),
    Endpoint(
        "GET",
        f"{_V1}/health/ready",
        operations.ready,
        "May it be sent requests?",
        {200: schemas.ProbeOut, 503: schemas.ProbeOut},
    ),
    Endpoint(
        "GET",
        f"{_V1}/metrics",
        operations.metrics,
        "Metrics for Prometheus, of the whole service whichever of its processes answers.",
        {200: None},
        (503,),
        media_type="text/plain",
    ),
    Endpoint("GET", "/metrics", operations.metrics, "The same.", {200: None}, (503,), media_type="text/plain"),
    Endpoint("GET", f"{_V1}/openapi.json", documentation.openapi, "This document.", {200: None}),
)
