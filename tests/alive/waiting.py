"""Waiting for what will happen, with a limit that a loaded machine keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

LIMIT_S: Final = 180.0


async def until(condition: Callable[[], Awaitable[bool]], what: str, *, within_s: float = LIMIT_S) -> None:
    try:
        async with asyncio.timeout(within_s):
            while not await condition():  # noqa: ASYNC110 (other processes tell)
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {within_s:g} s") from None
