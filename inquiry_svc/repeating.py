"""Does something again and again beside the service, and says once that it has begun to fail rather than each time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from inquiry_svc.told_to_stop import told_to_stop

logger = logging.getLogger(__name__)


@asynccontextmanager
async def repeated(
    work: Callable[[], Awaitable[object]], *, period_s: float, first_after_s: float, name: str, failing: str
) -> AsyncIterator[None]:
    """Call `work` every period while open. `failing` is logged, with the error, once for each time that it is lost."""
    task = asyncio.create_task(_repeat(work, period_s, first_after_s, failing), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _repeat(work: Callable[[], Awaitable[object]], period_s: float, first_after_s: float, failing: str) -> None:
    fails = False
    await asyncio.sleep(first_after_s)
    while True:
        try:
            await work()
            fails = False
        except (Exception, asyncio.CancelledError) as error:
            if told_to_stop():
                raise
            if not fails:
                logger.warning(failing, exc_info=error)
            fails = True
        await asyncio.sleep(period_s)
