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
_LAST_CHANCE_S: Final = 30.0
"""On closing: longer than a backup of a million inquiries reads."""


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
        self._log_holds_some = False

    def erase(self, connection: sqlite3.Connection, inquiry_ids: Sequence[str]) -> Sequence[str]:
        """In a transaction, inside `cascading`. The ids of those that were there."""
        return [row[0] for row in connection.execute(self._query, (to_json(list(inquiry_ids)),)).fetchall()]

    async def empty_log(self, *, within_s: float, erased: bool = False) -> None:
        """Where something was `erased`, now or before, and is in the log still. Others may write in between."""
        self._log_holds_some |= erased
        if not self._log_holds_some:
            return
        give_up_at = time.monotonic() + within_s
        while not await self._emptied() and time.monotonic() < give_up_at:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(_AGAIN_AFTER_S)

    async def close(self) -> None:
        """Before the writer is closed."""
        await self.empty_log(within_s=_LAST_CHANCE_S)
        if self._log_holds_some:
            logger.warning("the write-ahead log of the sqlite store holds what was erased while somebody reads it")

    async def _emptied(self) -> bool:
        with suppress(StoreUnavailable):  # a full disk, say: what is erased stays so
            self._log_holds_some = not await self._writer.run(_is_emptied)
        return not self._log_holds_some


def _is_emptied(connection: sqlite3.Connection) -> bool:
    """Whether the log is empty now and all of it in the database file."""
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
