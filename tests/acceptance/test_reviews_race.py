"""Many reviewers at two services on one database: no two ever hold one review, and each review is decided once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.acceptance.serving import serving
from tests.servers.postgres import postgres_server

INQUIRIES: Final = 150
REVIEWERS: Final = 12
ENVIRON: Final = {
    "INQUIRY_REVIEW__BELOW_CONFIDENCE": "1.0",
    "INQUIRY_REVIEW__LEASE_S": "600",
    "INQUIRY_STORE__TIMEOUT_S": "30",
    "INQUIRY_STORE__SQLITE__BUSY_TIMEOUT_S": "20",
    "INQUIRY_STORE__POSTGRES__STATEMENT_TIMEOUT_S": "20",
    "INQUIRY_BATCHING__DEADLINE_S": "30",
}
"""Everything needs review, no claim runs out, and nobody is refused because the machine is slow."""


@pytest.fixture(params=["sqlite", "postgres"])
def environ(request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    if request.param == "sqlite":
        yield ENVIRON
        return
    with postgres_server() as server, server.database("inquiries") as url:
        yield {**ENVIRON, "INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": url}


@dataclass(slots=True)
class Ledger:
    """Who holds what, as the reviewers know it. All of them are in this process, so what is written is in order."""

    dice: random.Random
    holder: dict[str, str] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    decided: Counter[str] = field(default_factory=Counter)

    def claimed(self, inquiry_id: str, reviewer: str) -> None:
        before = self.holder.setdefault(inquiry_id, reviewer)
        assert before == reviewer, f"{reviewer} got what {before} holds"
        self.done["claimed"] += 1


async def review_all(session: aiohttp.ClientSession, reviewer: str, ledger: Ledger) -> None:
    """Claim and work off what was claimed, until nothing waits any more."""
    while True:
        async with session.post("/api/v1/reviews/claim", json={"reviewer": reviewer, "limit": 3}) as answer:
            assert answer.status == 200, await answer.text()
            mine = [item["inquiry"]["inquiry_id"] for item in (await answer.json())["items"]]
        for inquiry_id in mine:
            ledger.claimed(inquiry_id, reviewer)
        if not mine and not (await waiting(session)):
            return
        for inquiry_id in mine:
            await work_off(session, inquiry_id, reviewer, ledger)


async def work_off(session: aiohttp.ClientSession, inquiry_id: str, reviewer: str, ledger: Ledger) -> None:
    action = ledger.dice.choices(["decide", "skip", "release"], [4, 1, 1])[0]
    del ledger.holder[inquiry_id]  # from the moment of asking, it may be another's
    async with session.post(f"/api/v1/reviews/{inquiry_id}/{action}", json={"reviewer": reviewer}) as answer:
        assert answer.status == 200, f"{action} by who holds it: {await answer.text()}"
    ledger.done[action] += 1
    if action == "decide":
        ledger.decided[inquiry_id] += 1


async def snatch(session: aiohttp.ClientSession, ledger: Ledger) -> None:
    """Somebody who takes what is not theirs: refused each time that another holds it."""
    while await waiting(session):
        held = dict(ledger.holder)
        for inquiry_id, holder in list(held.items())[:3]:
            sent = {"reviewer": "snatcher"}
            async with session.post(f"/api/v1/reviews/{inquiry_id}/claim", json=sent) as answer:
                got = answer.status == 200
            if got:
                assert ledger.holder.get(inquiry_id) != holder, f"the snatcher got what {holder} holds"
                async with session.post(f"/api/v1/reviews/{inquiry_id}/release", json=sent) as answer:
                    assert answer.status == 200
            ledger.done["snatched" if got else "refused"] += 1
        await asyncio.sleep(0)


async def waiting(session: aiohttp.ClientSession) -> list[Any]:
    async with session.get("/api/v1/reviews", params={"limit": "1"}) as answer:
        items: list[Any] = (await answer.json())["items"]
        return items


@asynccontextmanager
async def two_services(tmp_path: Path, environ: Mapping[str, str]) -> AsyncIterator[list[aiohttp.ClientSession]]:
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(serving(tmp_path, environ=environ)) for _ in range(2)]
        yield [await stack.enter_async_context(aiohttp.ClientSession(service.url)) for service in services]


@pytest.mark.timeout(300)
async def test_two_reviewers_never_hold_one_review_and_each_is_decided_once(
    tmp_path: Path, environ: Mapping[str, str]
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    ledger = Ledger(random.Random(seed))
    async with two_services(tmp_path, environ) as sessions:
        ids = set()
        for number in range(INQUIRIES):
            sent = {"body": f"My card was charged twice: {number}.", "sender_email": "ana@example.org"}
            async with sessions[number % 2].post("/api/v1/inquiries/submit", json=sent) as answer:
                ids.add((await answer.json())["inquiry_id"])
        async with asyncio.TaskGroup() as group:
            for number in range(REVIEWERS):
                group.create_task(review_all(sessions[number % 2], f"reviewer {number}", ledger))
            group.create_task(snatch(sessions[0], ledger))
        assert [await waiting(session) for session in sessions] == [[], []]
    print(dict(ledger.done))
    assert ledger.holder == {}
    assert ledger.decided == Counter(ids), "each is decided, and once"
    assert ledger.done["refused"] > 0 < ledger.done["skip"]
