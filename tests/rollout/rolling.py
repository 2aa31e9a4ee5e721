"""Renewed under load: the workers of one service, and two instances behind a proxy. No customer notices."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp

from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_kill import look_into_the_database as look_into_sqlite
from tests.acceptance.test_postgres_kill import look_into_the_database as look_into_postgres
from tests.acceptance.test_workers import STORED, scrape
from tests.rollout.account import Account
from tests.rollout.customers import customers, more, new_book
from tests.servers import free_port
from tests.servers.nginx import running_nginx
from tests.servers.postgres import PostgresServer, postgres_server

PAGE: Final = (Path(__file__).parents[2] / "docs/rollouts.md").read_text()


async def workers(folder: Path, account: Account, rounds: int) -> None:
    """SIGHUP to a service of two workers, on the embedded store."""
    book = new_book()
    async with serving(folder, "--workers", "2") as service:
        account.note("two workers serve")
        async with customers(service.url, account, book):
            await more(book)
            for number in range(1, rounds + 1):
                before = set(service.workers())
                account.note("SIGHUP")
                service.signal(signal.SIGHUP)
                async with asyncio.timeout(60):
                    while sum("renewed the workers" in line for line in service.lines) < number:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                account.note("both are renewed")
                assert not before & set(service.workers())
                await more(book)
    assert account.failures == []
    look_into_sqlite(folder / "inquiries.sqlite3", book)


async def instances(folder: Path, account: Account, rounds: int) -> None:
    """Two on one PostgreSQL behind nginx as docs/rollouts.md has it: renewed one by one, then one is killed."""
    book, ports = new_book(), (free_port(), free_port())
    async with AsyncExitStack() as opened:
        database = await opened.enter_async_context(running_postgres())
        environ = environ_on(database)
        running: dict[int, Serving] = {}

        async def start(port: int) -> None:
            starting = serving(folder / str(port), "--port", str(port), environ=environ)
            running[port] = await opened.enter_async_context(starting)
            await require_ready(running[port].url)

        for port in ports:
            await start(port)
        url = await opened.enter_async_context(proxy_of_the_page(ports, folder))
        account.note("two instances serve behind nginx")
        async with customers(url, account, book):
            await more(book)
            await _require_the_rest(url)
            for _ in range(rounds):
                for name, port in zip("AB", ports, strict=True):
                    account.note(f"SIGTERM to {name}")
                    running[port].signal(signal.SIGTERM)
                    assert await running[port].exit_code(within_s=20) == 0
                    account.note(f"{name} has ended")
                    await start(port)
                    account.note(f"{name} is ready")
            await more(book)
            for port in ports:  # in each of the two: what was stored last came through the other as well
                await _require_used(running[port])
            account.note("SIGKILL of A")
            running[ports[0]].process.kill()
            await more(book, 200)
        assert account.failures == []
        look_into_postgres(database, book)


@asynccontextmanager
async def proxy_of_the_page(ports: tuple[int, int], folder: Path) -> AsyncIterator[str]:
    """nginx with the block of docs/rollouts.md, for other addresses."""
    (site,) = re.findall(r"^```nginx\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    port = free_port()
    for written, real in {
        "10.0.0.11:8000": f"127.0.0.1:{ports[0]}",
        "10.0.0.12:8000": f"127.0.0.1:{ports[1]}",
        "listen 80;": f"listen 127.0.0.1:{port};",
    }.items():
        assert site.count(written) == 1, written
        site = site.replace(written, real)
    place = folder / "nginx"
    place.mkdir()
    async with running_nginx(site, port, place) as url:
        yield url


@asynccontextmanager
async def running_postgres(*, durable: bool = False) -> AsyncIterator[PostgresServer]:
    """Started and stopped beside the event loop."""
    opening = postgres_server(durable=durable)
    server = await asyncio.to_thread(opening.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(opening.__exit__, None, None, None)


def environ_on(server: PostgresServer) -> Mapping[str, str]:
    return {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": server.url()}


async def require_ready(url: str) -> None:
    """What whoever renews instances asks before the next one."""
    async with aiohttp.ClientSession(url) as session, session.get("/api/v1/health/ready") as answer:
        assert answer.status == 200, await answer.text()


async def _require_the_rest(url: str) -> None:
    """A POST without a key and a streamed upload have ways of their own through the proxy."""
    text = {"subject": "in bulk", "body": "My card was charged twice."}
    line = json.dumps({**text, "sender_email": "ana@example.org"}).encode() + b"\n"
    streamed = {"Idempotency-Key": "bulk", "Content-Type": "application/x-ndjson"}
    async with aiohttp.ClientSession(url) as session:
        async with session.post("/api/v1/inquiries/classify", json=text) as answer:
            assert answer.status == 200, await answer.text()
        async with session.post("/api/v1/inquiries/bulk", data=line, headers=streamed) as answer:
            assert (answer.status, b'"inquiry_id"' in await answer.read()) == (200, True)


async def _require_used(service: Serving) -> None:
    async with aiohttp.ClientSession(service.url) as session:
        assert (await scrape(session))[STORED] > 0, "the proxy does not use it"
