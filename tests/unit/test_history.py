"""A stretch of time is read oldest first, each inquiry once, in pages that are never too large."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import pytest

from inquiry_svc.history import history_of
from inquiry_svc.inquiries import Outcome
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome
from inquiry_svc_plugins.stores.memory import MemoryStore

WEEK: Final = timedelta(days=7)


async def pages(times: Sequence[datetime], since: datetime, until: datetime, page: int) -> list[Sequence[Outcome]]:
    store = MemoryStore()
    await store.save([sample_outcome(sample_inquiry(received_at=time)) for time in times])
    history = await history_of(store, since=since, until=until, page=page)
    found = [each async for each in history.pages()]
    assert sum(map(len, found)) == history.count
    return found


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 64, 700])
@pytest.mark.parametrize("moments", [7, 10**9], ids=["many at one moment", "none at one moment"])
async def test_each_is_read_once_in_the_order_of_time(count: int, moments: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    times = [NOON + WEEK * (chance.randrange(moments) / moments) for _ in range(count)]
    found = await pages(times, NOON, NOON + WEEK, 32)
    assert [len(page) for page in found if not 0 < len(page) <= 32] == []
    inquiries = [outcome.inquiry for page in found for outcome in page]
    assert [inquiry.received_at for inquiry in inquiries] == sorted(times)
    assert len({inquiry.inquiry_id for inquiry in inquiries}) == count


async def test_the_first_moment_is_in_and_the_last_is_not() -> None:
    moment = timedelta(microseconds=1)
    found = await pages([NOON - moment, NOON, NOON + WEEK, NOON + WEEK - moment], NOON, NOON + WEEK, 32)
    assert [outcome.inquiry.received_at for page in found for outcome in page] == [NOON, NOON + WEEK - moment]
