"""The review queue of the store `sqlite`: what waits, who holds what. Each call is made inside the store's transaction.

One connection at a time writes the file, whichever process it belongs to, so no two reviewers can hold one review.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from inquiry_svc.errors import ReviewNotYours
from inquiry_svc.review_queue import Claim, Review, ReviewQueue, Turn
from inquiry_svc_plugins.stores.outcome_rows import OutcomeRows
from inquiry_svc_plugins.stores.sqlite.times import to_microseconds

_BEFORE_ALL: Final = (-(2**63), "")


class ReviewTable:
    def __init__(self, queries: Mapping[str, str], rows: OutcomeRows) -> None:
        self._queries = queries
        self._rows = rows

    def list(self, connection: sqlite3.Connection, limit: int, after: Turn | None) -> Sequence[Review]:
        turn_at, inquiry_id = _BEFORE_ALL if after is None else (to_microseconds(after.at), after.inquiry_id)
        values = {"turn_at": turn_at, "inquiry_id": inquiry_id, "limit": limit}
        return [self._rows.review(row) for row in connection.execute(self._queries["reviews"], values)]

    def claim(
        self, connection: sqlite3.Connection, claim: Claim, now: datetime, limit: int, inquiry_id: str | None
    ) -> Sequence[Review]:
        values = {"reviewer": claim.reviewer, "now": to_microseconds(now), "inquiry_id": inquiry_id}

        def ids(query: str, at_most: int) -> list[str]:
            return [row[0] for row in connection.execute(self._queries[query], {**values, "limit": at_most})]

        if inquiry_id is not None:
            claimed = ids("review_to_have", 1)
        else:
            claimed = ids("held_reviews", limit)
            claimed += ids("free_reviews", limit - len(claimed))
        until = to_microseconds(claim.until)
        for each in claimed:
            connection.execute(self._queries["claim_review"], {**values, "until": until, "inquiry_id": each})
        return [self._review(connection, each) for each in claimed]

    def give_back(
        self, connection: sqlite3.Connection, inquiry_id: str, reviewer: str, now: datetime, *, behind: bool
    ) -> Review | None:
        if not self._may_have(connection, inquiry_id, reviewer, now):
            return None
        connection.execute(self._queries["release_review"], {"inquiry_id": inquiry_id})
        if behind:
            connection.execute(self._queries["put_review_behind"], {"inquiry_id": inquiry_id})
        return self._review(connection, inquiry_id)

    def require(self, connection: sqlite3.Connection, inquiry_id: str, reviewer: str | None, now: datetime) -> None:
        """Raises `ReviewNotYours` unless the reviewer may have it."""
        if not self._may_have(connection, inquiry_id, reviewer, now):
            raise ReviewNotYours(f"the review of inquiry {inquiry_id} is held by another, or it does not wait for one")

    def queue(self, connection: sqlite3.Connection) -> ReviewQueue:
        return self._rows.review_queue(connection.execute(self._queries["review_queue"]).fetchall())

    def _may_have(self, connection: sqlite3.Connection, inquiry_id: str, reviewer: str | None, now: datetime) -> bool:
        values = {"inquiry_id": inquiry_id, "reviewer": reviewer, "now": to_microseconds(now)}
        return connection.execute(self._queries["review_to_have"], values).fetchone() is not None

    def _review(self, connection: sqlite3.Connection, inquiry_id: str) -> Review:
        return self._rows.review(connection.execute(self._queries["review"], (inquiry_id,)).fetchone())
