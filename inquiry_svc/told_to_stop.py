"""Tells the two kinds of `CancelledError` apart: this task is to stop, or something that it called was cancelled.

A client library may cancel what it waits for itself. Who goes on after errors goes on after that too, and ends only
when it is told to.
"""

from __future__ import annotations

import asyncio


def told_to_stop() -> bool:
    """Whether this task was cancelled: ask where a `CancelledError` is caught, and raise it again if so."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
