"""What a store holds of a stretch of time, oldest first and a page at a time, however much it is.

A store lists the newest first. So the stretch is walked twice: back to its beginning, where only the end of each page
is kept, and forth over the same pages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from inquiry_svc.contracts import Filters, Position, Store
from inquiry_svc.inquiries import Outcome

PAGE: Final = 512


@dataclass(frozen=True, slots=True)
class History:
    """The outcomes received in a stretch of time. One that is stored while it is read may be missed."""

    count: int
    _store: Store
    _window: Filters
    _page: int
    _starts: Sequence[Position | None]
    """Just after which each page begins, the newest page first."""

    async def pages(self) -> AsyncIterator[Sequence[Outcome]]:
        """Each outcome once, the oldest first; no page is empty."""
        for start in reversed(self._starts):
            found = await self._store.list(self._window, limit=self._page, after=start)
            if found:
                yield found[::-1]


async def history_of(store: Store, *, since: datetime, until: datetime, page: int = PAGE) -> History:
    """What was received from `since` to before `until`."""
    window, count = Filters(since=since, until=until), 0
    starts: list[Position | None] = [None]
    while True:
        found = await store.list(window, limit=page, after=starts[-1])
        count += len(found)
        if len(found) < page:
            return History(count, store, window, page, starts)
        oldest = found[-1].inquiry
        starts.append(Position(oldest.received_at, oldest.inquiry_id))
