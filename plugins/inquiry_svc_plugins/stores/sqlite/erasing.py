"""Erases inquiries so that no byte of them stays in the database file or in its write-ahead log.

What belongs to an inquiry goes with it by its foreign key, and triggers see to it that it counts no more. The writer
has `secure_delete` on, so what is freed is overwritten. The log holds what was written lately, the text of an inquiry
too, until it is emptied: that takes a moment in which nobody reads, in whichever process, so it is tried for a while
and, where a backup or the like takes longer, again later.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from inquiry_svc.errors import StoreUnavailable
from inquiry_svc_plugins.stores.outcome_rows import to_json
from inquiry_svc_plugins.stores.sqlite.connections import Connections

logger = logging.getLogger(__name__)

_AGAIN_AFTER_S: Final = 0.005
_LAST_CHANCE_S: Final = 1.0
"""On closing: a service must end soon. Who opens the file next tries again."""


@contextmanager
def cascading(connection: sqlite3.Connection) -> Iterator[None]:
    """What refers to an inquiry is erased with it. SQLite takes no notice of this inside a transaction."""
    connection.execute("PRAGMA foreign_keys = ON")
    try:
        yield
    finally:
        connection.execute("PRAGMA foreign_keys = OFF")


class Erasing:
    def __init__(self, query: str, writer: Connections) -> None:
        self._query = query
        self._writer = writer
        self._erased = False
        self._log_may_hold_some = True
        """Whoever had the file open before may have been killed."""

    def erase(self, connection: sqlite3.Connection, inquiry_ids: Sequence[str]) -> Sequence[str]:
        """In a transaction, inside `cascading`. The ids of those that were there."""
        self._erased = self._log_may_hold_some = True  # by now: it is committed even where nobody waits for it any more
        return [row[0] for row in connection.execute(self._query, (to_json(list(inquiry_ids)),)).fetchall()]

    async def empty_log(self, *, within_s: float) -> None:
        """Where it may hold what was erased. Others may write in between."""
        if not self._log_may_hold_some:
            return
        give_up_at = time.monotonic() + within_s
        while not await self._emptied() and time.monotonic() < give_up_at:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def close(self) -> None:
        """Before the writer is closed."""
        await self.empty_log(within_s=_LAST_CHANCE_S if self._erased else 0)
        if self._erased and self._log_may_hold_some:
            logger.warning("the write-ahead log of the sqlite store holds what was erased while somebody reads it")

    async def _emptied(self) -> bool:
        with suppress(StoreUnavailable):  # a full disk, say: what is erased stays so
            await self._writer.run(self._empty)
        return not self._log_may_hold_some

    def _empty(self, connection: sqlite3.Connection) -> None:
        """Have all of the log in the database file, unless somebody reads it."""
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            self._log_may_hold_some = False
