"""Killed at random moments under load: what was acknowledged is there, whole and once, with its notices, and service
resumes at once.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import statistics
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.serving import Serving, install_plugin, serving

SUBMIT = "/api/v1/inquiries/submit"
CLIENTS = 50
AGAIN_S = 2.0
SLOWEST_S = 5.0
"""One of many may meet a moment at which the machine hardly runs."""
NOTIFIER = '''
"""A notifier that writes down in a file what it is told, so that no kill loses any of it."""

import os
from contextlib import asynccontextmanager

from inquiry_svc.contracts import Provider
from inquiry_svc.hookspecs import hookimpl


class Diary:
    kinds = ("triaged", "needs_review")

    def __init__(self, file):
        self._descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def notify(self, notice, outcome):
        os.write(self._descriptor, f"{notice.inquiry_id} {notice.kind}\\n".encode())


@asynccontextmanager
async def open_diary(settings, host):
    yield Diary(host.data_dir / "diary")


@hookimpl
def register_notifiers():
    return [Provider("diary", open_diary)]
'''


@dataclass(slots=True)
class Book:
    """What the clients sent and what they were promised."""

    dice: random.Random
    sent: int = 0
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Inquiry id to subject; each subject was sent as one inquiry."""
    id_of_key: dict[str, str] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    """Key to subject: sent, but the service was killed before it answered."""
    replayed: int = 0
    restarts_s: list[float] = field(default_factory=list)

    def write(self, answer: dict[str, Any], key: str | None, subject: str, *, replayed: bool) -> None:
        inquiry_id = answer["inquiry_id"]
        assert answer["subject"] == subject
        assert self.acknowledged.setdefault(inquiry_id, subject) == subject
        if key is not None:
            assert self.id_of_key.setdefault(key, inquiry_id) == inquiry_id, f"key {key} became two inquiries"
            self.unanswered.pop(key, None)
        self.replayed += replayed


async def submit(session: aiohttp.ClientSession, book: Book, subject: str, key: str | None) -> None:
    """Raises `ClientError` where the service is gone."""
    body = {"subject": subject, "body": f"My card was charged twice: {subject}.", "sender_email": "ana@example.org"}
    if key is not None:
        book.unanswered[key] = subject
    async with session.post(SUBMIT, json=body, headers={"Idempotency-Key": key} if key else {}) as response:
        answer = await response.json()
        assert response.status == 201, answer
        book.write(answer, key, subject, replayed="Idempotency-Replayed" in response.headers)


async def client(session: aiohttp.ClientSession, book: Book, *, with_keys: bool) -> None:
    """Submit until the service is gone."""
    try:
        while True:
            book.sent += 1
            subject = f"inquiry {book.sent}"
            await submit(session, book, subject, f"key {book.sent}" if with_keys else None)
    except aiohttp.ClientError:
        return


async def one_life(data_dir: Path, book: Book, environ: dict[str, str]) -> None:
    """Start, retry what the last kill cut off, look at what was promised, load, kill."""
    async with serving(data_dir, environ=environ) as service, aiohttp.ClientSession(service.url) as session:
        await submit(session, book, f"first of life {len(book.restarts_s)}", None)
        book.restarts_s.append(time.perf_counter() - service.started_at)
        for key, subject in list(book.unanswered.items()):
            await submit(session, book, subject, key)
        for key in list(book.id_of_key)[-5:]:
            await submit(session, book, book.acknowledged[book.id_of_key[key]], key)
        for inquiry_id in list(book.acknowledged)[-30:]:
            async with session.get(f"/api/v1/inquiries/{inquiry_id}") as response:
                assert response.status == 200, f"{inquiry_id} was acknowledged and is lost"
                assert (await response.json())["subject"] == book.acknowledged[inquiry_id]
        await load_and_kill(service, session, book)


async def load_and_kill(service: Serving, session: aiohttp.ClientSession, book: Book) -> None:
    moment_s = book.dice.uniform(0.05, 0.5)
    async with asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(client(session, book, with_keys=number % 2 == 0))
        await asyncio.sleep(moment_s)
        service.signal(signal.SIGKILL)
    assert await service.exit_code(within_s=20) == -signal.SIGKILL


@pytest.mark.alone
@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(30, marks=pytest.mark.timeout(300)),
        pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(3000)]),
    ],
)
async def test_nothing_acknowledged_is_lost_halved_or_doubled_by_kills(tmp_path: Path, kills: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    book = Book(random.Random(seed))
    install_plugin(tmp_path, "diary_notifier", NOTIFIER)
    environ = {"PYTHONPATH": str(tmp_path), "INQUIRY_NOTIFIERS__PROVIDERS": "diary"}
    async with serving(tmp_path / "warm-up", environ=environ):
        """Its bytecode is compiled now, as an installation's is."""
    for _ in range(kills):
        await one_life(tmp_path, book, environ)
    restarts_s = sorted(book.restarts_s)
    print(
        f"{kills} kills, {book.sent} sent, {len(book.acknowledged)} acknowledged, {book.replayed} replayed; "
        f"from start to first 201: min {restarts_s[0]:.2f} s, median {statistics.median(restarts_s):.2f} s, "
        f"max {restarts_s[-1]:.2f} s"
    )
    look_into_the_database(tmp_path / "inquiries.sqlite3", book)
    look_for_the_notices(tmp_path / "inquiries.sqlite3", (tmp_path / "diary").read_text().splitlines())
    assert len(book.acknowledged) > kills * CLIENTS, "too little load: this proves nothing"
    assert statistics.median(restarts_s) < AGAIN_S
    assert restarts_s[-1] < SLOWEST_S


def look_into_the_database(file: Path, book: Book) -> None:
    database = sqlite3.connect(file)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        subjects = dict(database.execute("SELECT inquiry_id, subject FROM inquiries").fetchall())
        for table in ("predictions", "routing_decisions"):
            assert {row[0] for row in database.execute(f"SELECT inquiry_id FROM {table}")} == subjects.keys(), table
        keys = dict(database.execute("SELECT value, inquiry_id FROM idempotency_keys").fetchall())
    finally:
        database.close()
    lost = book.acknowledged.keys() - subjects.keys()
    assert not lost, f"{len(lost)} of {len(book.acknowledged)} acknowledged inquiries are lost"
    assert {inquiry_id: subjects[inquiry_id] for inquiry_id in book.acknowledged} == book.acknowledged
    doubled = [subject for subject, count in Counter(subjects.values()).items() if count > 1]
    assert not doubled, f"stored twice: {doubled}"
    assert book.id_of_key.items() <= keys.items()
    assert subjects.keys() >= set(keys.values())


def look_for_the_notices(file: Path, diary: list[str]) -> None:
    """Of each inquiry that is stored, and of no other, all was told, in order, or waits to be."""
    with closing(sqlite3.connect(file)) as database:
        needs_review = dict(database.execute("SELECT inquiry_id, needs_review FROM predictions").fetchall())
        waiting = [
            f"{inquiry_id} {kind}"
            for inquiry_id, kind in database.execute("SELECT inquiry_id, kind FROM notices ORDER BY nth")
        ]
    found: dict[str, list[str]] = {}
    for line in dict.fromkeys([*diary, *waiting]):
        inquiry_id, kind = line.split()
        found.setdefault(inquiry_id, []).append(kind)
    expected = {each: ["triaged", "needs_review"] if needed else ["triaged"] for each, needed in needs_review.items()}
    assert found == expected
    twice = len(diary) - len(set(diary))
    print(f"{len(diary)} told, {twice} of them twice; {len(waiting)} wait")
    assert len(diary) > len(needs_review) / 10, "too few told: this proves little"
