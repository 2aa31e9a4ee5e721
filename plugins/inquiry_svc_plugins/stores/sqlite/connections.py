"""Runs work on SQLite connections in threads of their own, so that a disk that takes its time never holds up the loop.

Also says which errors of SQLite mean that the store can't serve now, and which blame the row. Knows no table.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from inquiry_svc.contracts import Pool
from inquiry_svc.errors import StoreUnavailable

T = TypeVar("T")

_BLAMES_THE_ROW = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.NotSupportedError,
    sqlite3.ProgrammingError,
)


class Connections:
    """A thread for each connection. With one connection, work is done one at a time, in the order in which it came."""

    def __init__(self, connections: Sequence[sqlite3.Connection], role: str) -> None:
        self._connections = connections
        self._role = role
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for connection in connections:
            self._idle.put(connection)
        self._threads = ThreadPoolExecutor(len(connections), thread_name_prefix=f"sqlite-{role}")

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Give `work` a connection. Raises `StoreUnavailable`, or what `work` raises over a row.

        A caller that is cancelled stops waiting: work that has begun is finished, work that has not never begins.
        """
        try:
            future = self._threads.submit(self._run, work)
        except RuntimeError as error:
            raise StoreUnavailable(f"the {self._role} of the sqlite store is closed") from error
        return await asyncio.wrap_future(future)

    def pool(self) -> Pool:
        idle = self._idle.qsize()
        return Pool(idle, len(self._connections) - idle, len(self._connections))

    def close(self) -> None:
        """Wait for what was submitted, then close. Blocks."""
        self._threads.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._idle.get()
        try:
            return work(connection)
        except _BLAMES_THE_ROW:
            raise
        except sqlite3.DatabaseError as error:
            raise StoreUnavailable(f"the {self._role} of the sqlite store can't reach its database file") from error
        finally:
            self._idle.put(connection)
