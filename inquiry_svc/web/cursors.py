"""Ids in paths and cursors of lists: read from a request, and written into an answer.

A cursor is where a page ended, a moment and an id, as text without a meaning for clients.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from inquiry_svc.errors import InquiryNotFound
from inquiry_svc.intake.strict_json import Fault
from inquiry_svc.web.incoming import Refusal

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def inquiry_id_of(request: web.Request) -> str:
    """As the store writes it. Raises `InquiryNotFound` for what can be no id, so that the store is not asked."""
    given = request.match_info["inquiry_id"].lower()
    if not _UUID.fullmatch(given):
        raise InquiryNotFound
    return given


def cursor_of(moment: datetime, inquiry_id: str) -> str:
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {inquiry_id}".encode()).decode().rstrip("=")


def place_of(cursor: str) -> tuple[datetime, str]:
    """What `cursor_of` was given. Raises `Refusal`."""
    try:
        moment, inquiry_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(" ")
        if not _UUID.fullmatch(inquiry_id):
            raise ValueError(inquiry_id)
        return datetime.fromisoformat(moment).astimezone(UTC), inquiry_id
    except (ValueError, binascii.Error, OverflowError) as error:
        fault = Fault("cursor", "is not a next_cursor of this list")
        raise Refusal(422, "not valid: cursor", [fault]) from error
