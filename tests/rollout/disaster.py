"""A machine that is lost and one that was cut off: what was acknowledged is there again, and how long it takes."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import aiohttp
import psutil
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_backups_page import Shell
from tests.acceptance.test_kill import Book
from tests.acceptance.test_postgres_kill import look_into_the_database
from tests.acceptance.test_redis_stream_kill import environ as environ_of_source
from tests.acceptance.test_redis_stream_kill import until_all_is_done
from tests.integration.test_redis_stream_faults import Producer
from tests.rollout.account import Account
from tests.rollout.customers import customers, more, new_book, submit
from tests.rollout.rolling import environ_on, require_ready, running_postgres
from tests.servers import free_port
from tests.servers.postgres import PostgresServer
from tests.servers.redis import redis_server

_ROLE: Final = "inquiries"
_READY_LIMIT_S: Final = 60.0


async def restore_embedded(folder: Path, account: Account, rounds: int) -> None:
    """The embedded store, by the commands of docs/backups.md."""
    machine, new = Shell(folder / "machine"), Shell(folder / "new machine")
    for shell in (machine, new):
        shell.folder.mkdir()
    await _restore(account, rounds, machine, new, ("Back up", "Restore"), "inquiries-*.sqlite3")


async def restore_postgres(folder: Path, account: Account, rounds: int) -> None:
    """PostgreSQL, by the commands of docs/backups.md, on a cluster that holds nothing but the role it names."""
    async with running_postgres() as old, running_postgres() as empty:
        for server in (old, empty):
            await asyncio.to_thread(server.sql, f"CREATE ROLE {_ROLE} LOGIN CREATEDB")
        machine, new = Shell(folder / "machine", old, _ROLE), Shell(folder / "new machine", empty, _ROLE)
        for shell in (machine, new):
            shell.folder.mkdir()
        await asyncio.to_thread(machine.bash, 'createdb --maintenance-db="$SERVER/postgres" inquiries')
        await _restore(account, rounds, machine, new, ("Dump", "Put back"), "inquiries.dump")


async def _restore(
    account: Account, rounds: int, machine: Shell, new: Shell, titles: tuple[str, str], backup: str
) -> None:
    """Back up under load, lose the machine, restore, find every inquiry, go on. `rounds` times as many inquiries."""
    back_up, restore = titles
    book = new_book()
    environ = machine.environ_of_service(restore)
    async with serving(machine.folder / "inquiry-data", environ=environ) as service:
        account.note("the machine serves")
        async with customers(service.url, account, book):
            await more(book, 200 * rounds, within_s=60 * rounds)
            before = dict(book.acknowledged)
            account.note("the backup begins")
            await asyncio.to_thread(machine.run, back_up)
            account.note("the backup is made")
            await more(book, 50)
        assert account.failures == []
    (made,) = machine.folder.glob(backup)
    made.rename(new.folder / made.name)
    shutil.rmtree(machine.folder)
    if machine.server:
        machine.server.kill()
    lost_at = account.note("the machine is lost")
    await asyncio.to_thread(new.run, restore)
    account.note("the backup is restored on a new one")
    async with serving(new.folder / "inquiry-data", environ=new.environ_of_service(restore)) as service:
        await require_ready(service.url)
        account.note(f"the new machine is ready, {account.now_s() - lost_at:.1f} s after the loss")
        late = {key: value for key, value in book.acknowledged.items() if key not in before}
        missing = await _missing(service.url, before.items())
        assert missing == [], "acknowledged before the backup began, and not in it"
        gone = len(await _missing(service.url, late.items()))
        account.note(f"all {len(before)} from before the backup are found; of {len(late)} after, {gone} are not")
        key = next(key for key, found in book.id_of_key.items() if found in before)
        async with aiohttp.ClientSession(service.url) as session:
            await submit(session, account, book, before[book.id_of_key[key]], key)
        async with customers(service.url, account, book):
            await more(book)
    assert account.failures == []


async def _missing(url: str, inquiries: Iterable[tuple[str, str]]) -> list[str]:
    """Those of these, id and subject, that the service does not have."""
    found = []
    async with aiohttp.ClientSession(url) as session:
        for inquiry_id, subject in inquiries:
            async with session.get(f"/api/v1/inquiries/{inquiry_id}") as answer:
                assert answer.status in (200, 404), await answer.text()
                if answer.status == 404:
                    found.append(inquiry_id)
                else:
                    assert (await answer.json())["subject"] == subject
    return found


async def power_cut(folder: Path, account: Account, rounds: int) -> None:
    """SIGKILL of the service with its workers, PostgreSQL and Redis at once, under load; all started again at once.

    Redis is the cache and holds the queue of a second way in.
    """
    book, port = new_book(), free_port()
    async with running_postgres(durable=True) as database, AsyncExitStack() as opened:
        redis = opened.enter_context(redis_server(durable=True))
        environ = {
            **environ_on(database),
            "INQUIRY_CACHE__PROVIDER": "redis",
            "INQUIRY_CACHE__REDIS__URL": redis.url,
            **environ_of_source(redis),
        }
        await redis.start()
        asking = await opened.enter_async_context(aioredis.Redis.from_url(redis.url, retry=Retry(NoBackoff(), 0)))
        producer = Producer(asking)
        service = await _supervised(opened, account, folder, port, environ)
        account.note("all serve")
        async with customers(service.url, account, book), producer.adding():
            for _ in range(rounds):
                await more(book)
                await _queue_many(producer, redis.url)
                _kill_all(service, database, redis.kill)
                cut_at = account.note("SIGKILL of service, workers, PostgreSQL and Redis")
                await asyncio.sleep(book.dice.uniform(0.5, 1.5))  # without power
                began_at = account.note("the power is back: all are started at once")
                service, *_ = await asyncio.gather(
                    _supervised(opened, account, folder, port, environ),
                    _start(database, account),
                    redis.start(),
                    _first_answer(book, account, began_at, cut_at),
                )
                await require_ready(service.url)
                account.note(f"both workers are ready, {account.now_s() - began_at:.1f} s after the power")
            await more(book)
        assert account.failures, "nobody noticed: this proves nothing"
        async with aioredis.Redis.from_url(redis.url) as anew:  # no connection of before the last kill
            await until_all_is_done(anew)
        account.note(f"the queue is empty: {len(producer.added)} messages")
        assert await _missing(service.url, book.acknowledged.items()) == []
        look_into_the_database(database, book)
        subjects = set(database.sql("SELECT subject FROM inquiries").splitlines())
        assert producer.added
        assert subjects >= set(producer.added), "messages are lost"


async def _queue_many(producer: Producer, url: str) -> None:
    """At once, so that most of them still wait when the next thing happens."""
    subjects = [f"one of many {next(producer.numbers)}" for _ in range(300)]
    async with aioredis.Redis.from_url(url) as anew, anew.pipeline(transaction=False) as queue:
        for subject in subjects:
            body = {"subject": subject, "body": "My card was charged twice.", "sender_email": "ana@example.org"}
            queue.xadd("inquiries", {"inquiry": json.dumps(body)})
        await queue.execute()
    producer.added += subjects


def _kill_all(service: Serving, database: PostgresServer, kill_redis: Callable[[], None]) -> None:
    workers = [psutil.Process(each) for each in service.workers()]
    service.process.kill()
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    database.kill()
    kill_redis()


async def _start(database: PostgresServer, account: Account) -> None:
    await asyncio.to_thread(database.start)
    account.note("PostgreSQL has recovered")


async def _first_answer(book: Book, account: Account, began_at: float, cut_at: float) -> None:
    await more(book, 1)
    now_s = account.now_s()
    account.note(f"201 again, {now_s - began_at:.1f} s after the power came, {now_s - cut_at:.1f} s after it went")


async def _supervised(
    opened: AsyncExitStack, account: Account, folder: Path, port: int, environ: Mapping[str, str]
) -> Serving:
    """Started again a second after it ended, as compose, Kubernetes and systemd do, until it serves."""
    async with asyncio.timeout(_READY_LIMIT_S):
        while True:
            options = ("--workers", "2", "--port", str(port))
            try:
                return await opened.enter_async_context(serving(folder / "data", *options, environ=environ))
            except AssertionError as error:
                account.note(f"the service ended and is started again: {str(error)[-160:]}")
                await asyncio.sleep(1)
