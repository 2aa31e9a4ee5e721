"""Which of the named queries lists what passes some filters, and the values that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from inquiry_svc.contracts import Filters, Position

_LAST: Final = datetime.max.replace(tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_SMALLEST_ID: Final = UUID(int=0)


def list_query(filters: Filters, after: Position | None) -> tuple[str, Sequence[Any]]:
    """The named query led by the table whose index suits `filters` best, and its values, but the limit."""
    bounds = [(_LAST, UUID(int=2**128 - 1))]
    if filters.until is not None:
        bounds.append((filters.until, _SMALLEST_ID))  # no id is smaller: all at `until` are out
    if after is not None:
        bounds.append((after.received_at, UUID(after.inquiry_id)))
    before, before_id = min(bounds)
    values = (
        _FIRST if filters.since is None else filters.since,
        before,
        before_id,
        filters.category,
        filters.sentiment,
        filters.urgency,
        filters.needs_review,
        filters.department,
        filters.escalated,
        None if filters.status is None else filters.status == "resolved",
    )
    if filters.needs_review:  # from what the fewest inquiries pass, as a rule, to what most do
        return "list_predictions", values
    if filters.status == "routed" or filters.department is not None:
        return "list_routing_decisions", values
    if filters.category is not None:
        return "list_predictions", values
    if filters.status == "resolved":
        return "list_routing_decisions", values
    return "list_newest", values
