"""A limit holds for all workers together, whichever of them is asked, killed or renewed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_workers import connected_to

PATH: Final = "/api/v1/stats"
CALLERS: Final = 12
"""Connections that are kept alive."""


@dataclass(slots=True)
class Found:
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    """Requests without an answer: their worker was killed."""
    left: list[int] = field(default_factory=list)
    """What each answer said."""


@asynccontextmanager
async def limited(folder: Path, requests: int, window_s: int) -> AsyncIterator[Serving]:
    environ = {
        "INQUIRY_LIMITS__REQUESTS": str(requests),
        "INQUIRY_LIMITS__WINDOW_S": str(window_s),
        "INQUIRY_LOGGING__REQUESTS": "none",
    }
    async with serving(folder, "--workers", "2", environ=environ) as service:
        yield service


@asynccontextmanager
async def callers(service: Serving) -> AsyncIterator[Sequence[aiohttp.ClientSession]]:
    """Half of them connected to each worker; those of one that is gone connect anew to any."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(await connected_to(service, process_id))
            for process_id in service.workers()
            for _ in range(CALLERS // 2)
        ]


async def call(sessions: Sequence[aiohttp.ClientSession], until: Callable[[Found], bool]) -> Found:
    """All at once, one request after the other, until that holds of what was found."""
    found = Found()

    async def one(session: aiohttp.ClientSession) -> None:
        while not until(found):
            try:
                async with session.get(PATH) as answer:
                    await answer.read()
            except aiohttp.ClientError:
                found.lost += 1
                continue
            found.statuses[answer.status] += 1
            found.left.append(int(answer.headers["RateLimit"].split(";")[1].removeprefix("r=")))

    async with asyncio.TaskGroup() as tasks:
        for session in sessions:
            tasks.create_task(one(session))
    assert found.statuses.keys() <= {200, 429}
    return found


async def test_of_two_workers_both_give_and_together_no_more_than_the_limit(tmp_path: Path) -> None:
    async with limited(tmp_path, 700, 3600) as service, callers(service) as sessions:
        first = await call(sessions[:1], lambda found: found.statuses.total() >= 5)
        assert first.left == [699, 698, 697, 696, 695]
        other = await call(sessions[-1:], lambda found: found.statuses.total() >= 5)
        assert other.left == [694, 693, 692, 691, 690], "what one gives, the other has no more"
        rest = await call(sessions, lambda found: found.statuses[429] >= 200)
        assert (rest.statuses[200], rest.lost) == (690, 0)
        assert min(rest.left) == 0


@pytest.mark.parametrize("how", ["killed", "renewed"])
async def test_a_worker_that_goes_gives_nothing_twice_and_keeps_nothing(how: str, tmp_path: Path) -> None:
    async with limited(tmp_path, 3000, 3600) as service, callers(service) as sessions:
        before = service.workers()
        going = set(before if how == "renewed" else before[:1])

        async def disturb() -> None:
            if how == "renewed":
                service.signal(signal.SIGHUP)
            else:
                os.kill(before[0], signal.SIGKILL)

        first = await call(sessions, lambda found: found.statuses[200] >= 500)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(disturb())
            second = tasks.create_task(call(sessions, lambda found: found.statuses[200] >= 1500))
        async with asyncio.timeout(60):
            while len(service.workers()) < 2 or going & set(service.workers()):  # noqa: ASYNC110 (the system is asked)
                await asyncio.sleep(0.01)
        third = await call(sessions, lambda found: found.statuses[429] >= 100)
        given = sum(found.statuses[200] for found in (first, second.result(), third))
        lost = sum(found.lost for found in (first, second.result(), third))
        assert 3000 - lost <= given <= 3000
        assert lost <= CALLERS


async def test_a_window_that_is_over_is_followed_by_a_whole_one(tmp_path: Path) -> None:
    requests, window_s = 150, 4
    async with limited(tmp_path, requests, window_s) as service, callers(service) as sessions:
        given = []
        for _ in range(3):
            found = await call(sessions, lambda found: found.statuses[429] >= 20)
            given.append(found.statuses[200])
            await asyncio.sleep(await _ends_in_s(sessions[0]))
        assert given == [requests] * 3


async def test_of_one_sender_two_workers_take_together_no_more_than_the_limit(tmp_path: Path) -> None:
    environ = {"INQUIRY_LIMITS__PER_SENDER": "7", "INQUIRY_LIMITS__WINDOW_S": "3600"}
    body = {"body": "Urgent!", "sender_email": "ana@example.org"}
    async with serving(tmp_path, "--workers", "2", environ=environ) as service, callers(service) as sessions:
        found: Counter[int] = Counter()
        for session in (sessions[0], sessions[-1]) * 10:
            async with session.post("/api/v1/inquiries/submit", json=body) as answer:
                found[answer.status] += 1
        assert found == {201: 7, 429: 13}


async def _ends_in_s(session: aiohttp.ClientSession) -> int:
    async with session.get(PATH) as answer:
        assert answer.status == 429
        return int(answer.headers["Retry-After"])


async def test_callers_are_served_while_the_parent_does_not_answer(tmp_path: Path) -> None:
    """Then each worker counts for itself: late rather than not at all, and a little too generous."""
    async with limited(tmp_path, 50, 3600) as service, callers(service) as sessions:
        os.kill(service.process.pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            found = await call(sessions, lambda found: found.statuses[429] >= 20)
            assert time.monotonic() - started < 30
        finally:
            with suppress(ProcessLookupError):
                os.kill(service.process.pid, signal.SIGCONT)
        assert 50 <= found.statuses[200] <= 100
