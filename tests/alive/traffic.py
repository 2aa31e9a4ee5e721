"""Those who use a service all the time: people who write, and an orchestrator that asks whether it is ready."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from tests.alive.hurrying import FACTOR

CLIENTS: Final = 12
PAUSE_S: Final = 1.2
PROBE_PERIOD_S: Final = 5 / FACTOR
SUBMIT: Final = "/api/v1/inquiries/submit"
BULK: Final = "/api/v1/inquiries/bulk"

CALM: Final = (
    "I love the new search, thank you! A dark theme would make it perfect.",
    "The new export is great, thank you very much. It saves us an hour a week.",
    "Thank you for the quick help last week, everything works well now.",
)
ANGRY: Final = (
    "Our lawyers will sue you unless you answer by tomorrow. This is unacceptable!",
    "URGENT: the whole site is down for all our customers, this is unacceptable, we are losing thousands every minute!",
)


class Traffic:
    """`CLIENTS` people, each of whom writes, waits for the answer, and then for `pause_s`. Change what at any time."""

    def __init__(self, url: str) -> None:
        self.texts: Sequence[str] = CALM
        self.pause_s = PAUSE_S
        self.in_bulk = False
        """Each as an upload of one line, whose answer is 200 whatever became of it."""
        self.alike = False
        """Nothing but the texts, so that they come again."""
        self.wanted = asyncio.Event()
        self.wanted.set()
        self.statuses: Counter[int] = Counter()
        """Of the answers; 0 where there was none."""
        self._url = url
        self._numbers = itertools.count()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        anew = aiohttp.TCPConnector(force_close=True)  # each probe goes to any of the workers
        async with (
            aiohttp.ClientSession(self._url) as people,
            aiohttp.ClientSession(self._url, connector=anew) as probe,
        ):
            tasks = [asyncio.create_task(self._write(people, place), name="writer") for place in range(CLIENTS)]
            tasks.append(asyncio.create_task(_probe(probe), name="probe"))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in ended if not isinstance(each, asyncio.CancelledError)] == []

    async def _write(self, session: aiohttp.ClientSession, place: int) -> None:
        await asyncio.sleep(self.pause_s * place / CLIENTS)
        while True:
            await self.wanted.wait()
            number = next(self._numbers)
            text = self.texts[number % len(self.texts)]
            sent = {"body": text if self.alike else f"{text} ({number})", "sender_email": "ana@example.org"}
            headers = {"Content-Type": "application/x-ndjson" if self.in_bulk else "application/json"}
            data = json.dumps(sent)
            try:
                async with session.post(BULK if self.in_bulk else SUBMIT, data=data, headers=headers) as answer:
                    await answer.read()
                self.statuses[answer.status] += 1
            except aiohttp.ClientError:
                self.statuses[0] += 1
            await asyncio.sleep(self.pause_s)


async def _probe(session: aiohttp.ClientSession) -> None:
    while True:
        try:
            async with session.get("/api/v1/health/ready") as answer:
                await answer.read()
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(PROBE_PERIOD_S)
