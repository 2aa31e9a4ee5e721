"""A checked body as a new `Inquiry`, and what makes two bodies the same."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b

import orjson
import uuid_utils

from inquiry_svc.inquiries import IdempotencyKey, Inquiry
from inquiry_svc.intake.bodies import SubmitIn


def inquiry_of(
    body: SubmitIn, *, idempotency_key: IdempotencyKey | None, received_at: datetime | None = None
) -> Inquiry:
    """A new inquiry, with an id. It came when the body says, else at `received_at`, else now."""
    moment = body.received_at or received_at
    return Inquiry(  # in the order of the fields: to name them takes longer than all the rest
        body.subject,
        body.body,
        str(uuid_utils.uuid7()),
        body.sender_email,
        datetime.now(UTC) if moment is None else moment.astimezone(UTC),
        body.sender_name,
        body.source,
        body.metadata,
        idempotency_key,
    )


def fingerprint_of(body: SubmitIn) -> str:
    """The same for two payloads that mean the same, whatever the order of their members."""
    canonical = orjson.dumps(
        [
            body.subject,
            body.body,
            body.sender_email,
            body.sender_name,
            body.source,
            None if body.received_at is None else body.received_at.astimezone(UTC),
            body.metadata,
        ],
        option=orjson.OPT_SORT_KEYS,
    )
    return blake2b(canonical, digest_size=16).hexdigest()
