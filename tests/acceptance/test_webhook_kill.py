"""The service killed while it tells a receiver: whatever was stored is told, in order and each thing under one id."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import psutil
import pytest

from inquiry_svc.notices import NoticeKind
from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_kill import SUBMIT
from tests.plugins.test_notifier_webhook import verified
from tests.servers.postgres import postgres_server
from tests.servers.webhook import SECRET, WebhookReceiver, told_of, webhook_receiver

CLIENTS: Final = 6
KINDS: Final[tuple[NoticeKind, ...]] = ("triaged", "resolved")

Promised = dict[str, list[NoticeKind]]
"""By the id of an inquiry: what was acknowledged to have become of it."""


@dataclass(frozen=True, slots=True)
class Database:
    environ: Mapping[str, str]
    undelivered: Callable[[], int]


@contextmanager
def sqlite_database(folder: Path) -> Iterator[Database]:
    def undelivered() -> int:
        database = sqlite3.connect(folder / "inquiries.sqlite3")
        try:
            [count] = database.execute("SELECT count(*) FROM notices").fetchone()
            return int(count)
        finally:
            database.close()

    yield Database({}, undelivered)


@contextmanager
def postgres_database(folder: Path) -> Iterator[Database]:
    with postgres_server(durable=True) as server:
        environ = {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": server.url()}
        yield Database(environ, lambda: int(server.sql("SELECT count(*) FROM notices")))


async def write(session: aiohttp.ClientSession, promised: Promised) -> None:
    """Submit and resolve until the service is gone."""
    body = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
    try:
        while True:
            async with session.post(SUBMIT, json=body) as answer:
                assert answer.status == 201, await answer.text()
                inquiry_id = (await answer.json())["inquiry_id"]
            promised[inquiry_id] = ["triaged"]
            async with session.post(f"/api/v1/inquiries/{inquiry_id}/resolve", json={}) as answer:
                assert answer.status == 200, await answer.text()
            promised[inquiry_id].append("resolved")
            await asyncio.sleep(0.02)
    except (aiohttp.ClientError, TimeoutError):
        return


@asynccontextmanager
async def moody(receiver: WebhookReceiver, dice: random.Random) -> AsyncIterator[None]:
    """Fails now and then, and at times says nothing for a while."""
    receiver.statuses = [500 if dice.random() < 0.02 else 204 for _ in range(100_000)]

    async def fall_silent() -> None:
        while True:
            await asyncio.sleep(dice.uniform(0.2, 1.0))
            receiver.open.clear()
            await asyncio.sleep(dice.uniform(0.0, 0.3))
            receiver.open.set()

    task = asyncio.create_task(fall_silent(), name="mood")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        receiver.open.set()
        receiver.statuses = []


async def killed_while_it_tells(service: Serving, promised: Promised, dice: random.Random) -> None:
    limit = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(service.url, timeout=limit) as session, asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(write(session, promised))
        await asyncio.sleep(dice.uniform(0.3, 1.2))  # load
        for worker in service.workers():
            psutil.Process(worker).kill()
        service.signal(signal.SIGKILL)
        assert await service.exit_code(within_s=20) == -signal.SIGKILL


@pytest.mark.alone
@pytest.mark.parametrize(
    ("database", "options", "kills"),
    [
        pytest.param(sqlite_database, (), 4, marks=pytest.mark.timeout(200), id="sqlite"),
        pytest.param(postgres_database, ("--workers", "2"), 3, marks=pytest.mark.timeout(200), id="postgres"),
        pytest.param(
            *(sqlite_database, (), 100), marks=[pytest.mark.soak, pytest.mark.timeout(3000)], id="sqlite at length"
        ),
    ],
)
async def test_what_was_stored_is_told_in_order_and_under_one_id_whatever_is_killed(
    tmp_path: Path, database: Callable[[Path], AbstractContextManager[Database]], options: tuple[str, ...], kills: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, promised, cut_off = random.Random(seed), Promised(), list[int]()
    async with webhook_receiver() as receiver:
        with database(tmp_path) as found:
            environ = {**found.environ, **told_of(receiver, *KINDS), "INQUIRY_NOTIFIERS__TIMEOUT_S": "1"}
            async with moody(receiver, dice):
                for _ in range(kills):
                    async with serving(tmp_path, *options, environ=environ) as service:
                        await killed_while_it_tells(service, promised, dice)
                    cut_off.append(await asyncio.to_thread(found.undelivered))
            async with serving(tmp_path, *options, environ=environ) as service:
                async with asyncio.timeout(60 + 5 * kills):
                    while await asyncio.to_thread(found.undelivered):  # noqa: ASYNC110 (a database tells nobody)
                        await asyncio.sleep(0.05)
                service.signal(signal.SIGTERM)
                assert await service.exit_code(within_s=20) == 0
    told = len({each.webhook_id for each in receiver.requests})
    print(f"{kills} kills: {told} notices in {len(receiver.requests)} requests; undelivered at each kill: {cut_off}")
    assert_told(receiver, promised)
    assert sum(cut_off) >= kills, "nothing was cut off: this proves nothing"
    assert len(receiver.requests) > told, "nothing was told twice: this proves nothing"


def assert_told(receiver: WebhookReceiver, promised: Promised) -> None:
    arrived, accepted = defaultdict[str, list[NoticeKind]](list), set[tuple[str, NoticeKind]]()
    ids = defaultdict[tuple[str, NoticeKind], set[str]](set)
    for request in receiver.requests:
        kind: NoticeKind = request.content["type"].removeprefix("inquiry.")
        arrived[request.inquiry_id].append(kind)
        ids[request.inquiry_id, kind].add(request.webhook_id)
        if request.answered == 204:
            accepted.add((request.inquiry_id, kind))
        sent_at = int(request.headers["webhook-timestamp"])
        assert verified(SECRET, request.headers, request.body, now_s=sent_at)
    lost = {(inquiry_id, kind) for inquiry_id, kinds in promised.items() for kind in kinds} - accepted
    assert not lost, f"{len(lost)} were never told"
    assert {len(each) for each in ids.values()} == {1}, "one thing had several ids"
    assert len(set().union(*ids.values())) == len(ids), "several things had one id"
    unordered = [kinds for kinds in arrived.values() if kinds != sorted(kinds, key=KINDS.index)]
    assert not unordered, f"{len(unordered)} inquiries' notices came in another order: {unordered[:3]}"
