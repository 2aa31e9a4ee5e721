"""What is measured: each point of each line, with the server that it asks and what it sends there."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import psutil
import uvloop

from benchmarks.__main__ import CORPUS, ROOT
from benchmarks.load import Figures, closed_loop, request_bytes
from benchmarks.servers import constant_server, inquiry_server, serving
from inquiry_svc.contracts import Host
from inquiry_svc.labelled import read_labelled
from inquiry_svc.metrics import Metrics
from inquiry_svc_plugins.stores.postgres import PostgresSettings, open_postgres
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, migrate, open_sqlite
from tests.servers.postgres import PostgresServer, postgres_server

_CLASSIFY: Final = "/api/v1/inquiries/classify"
_SUBMIT: Final = "/api/v1/inquiries/submit"
QUIET: Final = {"INQUIRY_LOGGING__REQUESTS": "none"}
_POSTGRES_ROWS: Final = ROOT / "tests/plugins/million_inquiries.sql"
_SQLITE_ROWS: Final = Path(__file__).parent / "many_inquiries.sql"


class Asked(Protocol):
    def cpu_s(self) -> float:
        """So far, of all its processes; not of its database's."""

    def asked(self, requests: Sequence[bytes], connections: int, duration_s: float) -> Figures:
        """Raises `RuntimeError` for any answer that is not 2xx."""


@dataclass(frozen=True, slots=True)
class Server(Asked):
    url: str
    process: psutil.Process

    def cpu_s(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in [self.process, *self.process.children(recursive=True)])

    def asked(self, requests: Sequence[bytes], connections: int, duration_s: float) -> Figures:
        """What this process, its one load generator, finds."""
        load = closed_loop(self.url, requests, connections=connections, duration_s=duration_s, warm_up_s=0.0)
        return uvloop.run(load)


def started(stack: ExitStack, server: AbstractContextManager[str]) -> Server:
    before = set(psutil.Process().children())
    url = stack.enter_context(server)
    [process] = set(psutil.Process().children()) - before
    return Server(url, process)


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    plot: str
    line: str
    x: int
    server: Asked
    requests: Sequence[bytes]
    connections: int = 64


class Texts:
    """Requests of the corpus, or of any length cut from it."""

    def __init__(self, seed: int) -> None:
        texts = [row.text for row in read_labelled(sorted(CORPUS.glob("*.jsonl")))]
        random.Random(seed).shuffle(texts)
        self._bodies = [{"subject": text.subject, "body": text.body} for text in texts]
        self._all = " ".join(text.body for text in texts).encode("ascii", "replace").decode()
        self.classifies = [_posted(_CLASSIFY, body) for body in self._bodies]
        self.constants = [_posted("/", body) for body in self._bodies]
        self.submits = [_posted(_SUBMIT, {**body, "sender_email": "ana@example.org"}) for body in self._bodies]

    def of_length(self, characters: int) -> list[bytes]:
        """Different ones, a subject of a tenth (at most 500) and the rest the body."""
        subject = min(characters // 10, 500)
        starts = range(0, len(self._all) - characters, max(characters, len(self._all) // 2_000))
        cuts = (self._all[start : start + characters] for start in starts)
        return [_posted(_CLASSIFY, {"subject": cut[:subject], "body": f"a{cut[subject + 1 :]}"}) for cut in cuts]


def _posted(path: str, body: dict[str, str]) -> bytes:
    return request_bytes(path, json.dumps(body).encode())


def _got(path: str) -> list[bytes]:
    return [f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()]


def connections(stack: ExitStack, texts: Texts) -> Iterator[Point]:
    constant = started(stack, constant_server())
    service = started(stack, inquiry_server({**QUIET, "INQUIRY_BATCHING__PLACES": "2048"}))
    for number in (1, 4, 16, 64, 256, 1_024):
        yield Point("connections", "constant answer", number, constant, texts.constants, number)
        yield Point("connections", "classify", number, service, texts.classifies, number)
        yield Point("connections", "submit, SQLite", number, service, texts.submits, number)


def length(stack: ExitStack, texts: Texts) -> Iterator[Point]:
    service = started(stack, inquiry_server(QUIET))
    for characters in (50, 150, 500, 1_500, 5_000, 10_000):
        requests = texts.of_length(characters)
        yield Point("length", "classify, 64 connections", characters, service, requests)
        yield Point("length", "classify, 1 connection", characters, service, requests, 1)


def batch(stack: ExitStack, texts: Texts) -> Iterator[Point]:
    for most in (1, 4, 16, 64, 256):
        service = started(stack, inquiry_server({**QUIET, "INQUIRY_BATCHING__MAX_BATCH": str(most)}))
        yield Point("batch", "classify", most, service, texts.classifies, 256)
        yield Point("batch", "submit, SQLite", most, service, texts.submits, 256)


def watchers(stack: ExitStack, texts: Texts) -> Iterator[Point]:
    for number in (0, 1, 2, 4, 8, 16):
        service = started(stack, _prepared("--watchers", number))
        yield Point("watchers", "classify, 64 connections", number, service, texts.classifies)
        yield Point("watchers", "submit, 64 connections", number, service, texts.submits)
        yield Point("watchers", "submit, 1 connection", number, service, texts.submits, 1)


def series(stack: ExitStack, texts: Texts) -> Iterator[Point]:
    for number in (0, 1_000, 5_000, 20_000, 50_000):
        service = started(stack, _prepared("--series", number))
        yield Point("series", "scrape, 1 connection", number, service, _got("/metrics"), 1)
        yield Point("series", "classify, 64 connections", number, service, texts.classifies)


def rows(stack: ExitStack, texts: Texts, counts: Sequence[int]) -> Iterator[Point]:
    now = datetime.now(UTC)
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="inquiry-bench-")))
    postgres = stack.enter_context(postgres_server(durable=True, migrated=True, shared_buffers="256MB"))
    for count in counts:
        filled = folder / str(count)
        filled.mkdir()
        fill_sqlite(filled, count, now)
        url = stack.enter_context(postgres.database(f"rows_{count}"))
        _fill_postgres(postgres, f"rows_{count}", count, now)
        asyncio.run(_count_hours(open_sqlite(SqliteSettings(), Host(filled, Metrics()))))
        asyncio.run(_count_hours(open_postgres(PostgresSettings(url), Host(filled, Metrics()))))
        yield from _of_store("SQLite", started(stack, inquiry_server(QUIET, data_dir=str(filled))), count, texts)
        yield from _of_store("PostgreSQL", started(stack, inquiry_server(on_postgres(url))), count, texts)


def on_postgres(url: str) -> dict[str, str]:
    return {**QUIET, "INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": url}


def _of_store(store: str, service: Server, count: int, texts: Texts) -> Iterator[Point]:
    listed = "/api/v1/inquiries?limit=50"
    yield Point("list", f"{store}, newest", count, service, _got(listed), 1)
    yield Point("list", f"{store}, of one department", count, service, _got(f"{listed}&department=hr"), 1)
    yield Point("list", f"{store}, critical", count, service, _got(f"{listed}&urgency=critical"), 1)
    yield Point("stats", f"{store}, of a week", count, service, _got("/api/v1/stats?days=7"), 1)
    yield Point("stats", f"{store}, of ten years", count, service, _got("/api/v1/stats?days=3650"), 1)
    yield Point("submit", store, count, service, texts.submits)


def fill_sqlite(folder: Path, count: int, now: datetime) -> None:
    migrate(SqliteSettings(), Host(folder, Metrics()))
    script = _SQLITE_ROWS.read_text().replace(":rows", str(count)).replace(":now", str(int(now.timestamp() * 1e6)))
    [file] = folder.iterdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(f"PRAGMA synchronous = OFF; BEGIN;{script}COMMIT;")


def _fill_postgres(server: PostgresServer, database: str, count: int, now: datetime) -> None:
    script = _POSTGRES_ROWS.read_text().replace(":rows", str(count))
    server.sql(script.replace(":now", f"'{now.isoformat()}'::timestamptz"), database)
    server.sql("VACUUM ANALYZE", database)


async def _count_hours(opened: AbstractAsyncContextManager[Any]) -> None:
    """What a service does in its first minutes."""
    async with opened as store:
        await store.count_hours()


def _prepared(option: str, number: int) -> AbstractContextManager[str]:
    return serving([sys.executable, "-m", "benchmarks.growth.prepared", option, str(number)], {})
