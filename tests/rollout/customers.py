"""Customers of a service: each inquiry has an idempotency key, and is sent until it is answered 201."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from tests.acceptance.test_kill import SUBMIT, Book
from tests.rollout.account import Account

CUSTOMERS: Final = 8
PAUSE_S: Final = 0.02
"""Between two inquiries of one, so that a story is told by its events and not by how fast the machine is."""
SENT_AGAIN: Final = 0.1
"""The share of those that are sent once more after their 201, by people who press the button twice."""
_PATIENCE_S: Final = 10.0


@asynccontextmanager
async def customers(url: str, account: Account, book: Book, *, count: int = CUSTOMERS) -> AsyncIterator[None]:
    """Write to `url` while open. Half of them connect anew for each request. Leaving waits for their last 201s."""
    done = asyncio.Event()
    anew = aiohttp.TCPConnector(force_close=True)
    patience = aiohttp.ClientTimeout(total=_PATIENCE_S)
    async with (
        aiohttp.ClientSession(url, timeout=patience) as lasting,
        aiohttp.ClientSession(url, timeout=patience, connector=anew) as fleeting,
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(count):
            session = lasting if number % 2 else fleeting
            tasks.create_task(_write(session, account, book, done), name=f"customer {number}")
        try:
            yield
        finally:
            done.set()


async def _write(session: aiohttp.ClientSession, account: Account, book: Book, done: asyncio.Event) -> None:
    while not done.is_set():
        book.sent += 1
        number = book.sent
        await submit(session, account, book, f"inquiry {number}", f"key {number}")
        if book.dice.random() < SENT_AGAIN:
            await submit(session, account, book, f"inquiry {number}", f"key {number}")
        await asyncio.sleep(PAUSE_S)


async def submit(session: aiohttp.ClientSession, account: Account, book: Book, subject: str, key: str) -> None:
    """Whatever comes but a 201 is a failure, and the reason to send it again."""
    body = {"subject": subject, "body": f"My card was charged twice: {subject}.", "sender_email": "ana@example.org"}
    began_at = time.perf_counter()
    while True:
        try:
            async with session.post(SUBMIT, json=body, headers={"Idempotency-Key": key}) as response:
                answer = await response.read()
                if response.status == 201:
                    found = await response.json()
                    book.write(found, key, subject, replayed="Idempotency-Replayed" in response.headers)
                    account.answered(time.perf_counter() - began_at)
                    return
            account.failed(f"status {response.status}: {answer[:80]!r}")
        except (aiohttp.ClientError, TimeoutError) as error:
            account.failed(type(error).__name__)
        await asyncio.sleep(0.1)


async def more(book: Book, count: int = 100, *, within_s: float = 60) -> None:
    """Wait until so many more were acknowledged."""
    wanted = len(book.acknowledged) + count
    async with asyncio.timeout(within_s):
        while len(book.acknowledged) < wanted:  # noqa: ASYNC110 (the customers' book rings no bell)
            await asyncio.sleep(0.01)


def new_book() -> Book:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return Book(random.Random(seed))
