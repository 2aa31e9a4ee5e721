"""The review queue of the store `postgres`: what waits, who holds what.

A row lock decides between two who claim one review at the same moment; what is locked is passed over rather than waited
for. Each statement may be sent again after a lost connection: it then gives what it gave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from inquiry_svc.review_queue import Claim, Review, ReviewQueue, Turn
from inquiry_svc_plugins.stores.outcome_rows import OutcomeRows

_BEFORE_ALL: Final = (datetime.min.replace(tzinfo=UTC), UUID(int=0))


class ReviewTable:
    def __init__(self, queries: Mapping[str, str], rows: OutcomeRows) -> None:
        self._queries = queries
        self._rows = rows

    async def list(self, connection: Any, limit: int, after: Turn | None) -> Sequence[Review]:
        at, inquiry_id = _BEFORE_ALL if after is None else (after.at, UUID(after.inquiry_id))
        return list(map(self._review, await connection.fetch(self._queries["reviews"], limit, at, inquiry_id)))

    async def claim(
        self, connection: Any, claim: Claim, now: datetime, limit: int, inquiry_id: UUID | None
    ) -> Sequence[Review]:
        query, last = ("claim_reviews", limit) if inquiry_id is None else ("claim_review", inquiry_id)
        claimed = await connection.fetch(self._queries[query], claim.reviewer, claim.until, now, last)
        return await self._reviews(connection, [row[0] for row in claimed])

    async def give_back(
        self, connection: Any, inquiry_id: UUID, reviewer: str, now: datetime, behind: bool
    ) -> Review | None:
        returned = await connection.fetch(self._queries["return_review"], inquiry_id, reviewer, now, behind)
        found = await self._reviews(connection, [row[0] for row in returned])
        return found[0] if found else None

    async def queue(self, connection: Any) -> ReviewQueue:
        return self._rows.review_queue(await connection.fetch(self._queries["review_queue"]))

    async def _reviews(self, connection: Any, ids: Sequence[UUID]) -> Sequence[Review]:
        """In the order of the ids; one that was decided meanwhile is missing."""
        if not ids:
            return []
        found = {row[0]: self._review(row) for row in await connection.fetch(self._queries["reviews_of_ids"], ids)}
        return [found[each] for each in ids if each in found]

    def _review(self, row: Any) -> Review:
        inquiry_id, *columns = row
        return self._rows.review([str(inquiry_id), *columns])
