"""The store `sqlite`, its backups and its disasters, as tests need them. For tests alone."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from inquiry_svc.contracts import Filters, Host
from inquiry_svc.errors import InquiryServiceError
from inquiry_svc.inquiries import Feedback, IdempotencyKey, Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome, sample_prediction
from inquiry_svc.upkeep import Backups, Contents, Restored, Upkeep
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite, register_stores

SETTINGS: Final = SqliteSettings(busy_timeout_s=0.05)


def host(folder: Path) -> Host:
    return Host(folder, Metrics())


def database(folder: Path) -> Path:
    return folder / "inquiries.sqlite3"


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def upkeep() -> Upkeep:
    (provider,) = register_stores()
    return provider.upkeep


def save(folder: Path, backup: Path) -> Contents:
    return _backups().save(SETTINGS, host(folder), backup)


def verify(backup: Path) -> Contents:
    return _backups().verify(SETTINGS, host(Path("/nowhere")), backup)


def restore(folder: Path, backup: Path) -> Restored:
    return _backups().restore(SETTINGS, host(folder), backup)


def migrate(folder: Path) -> list[int]:
    found = upkeep().migrate
    assert found
    return list(found(SETTINGS, host(folder)))


def _backups() -> Backups:
    found = upkeep().backups
    assert found
    return found


def stored(folder: Path, *outcomes: Outcome) -> list[Outcome]:
    """All that the store in this folder holds, newest first, after these were added."""

    async def added() -> list[Outcome]:
        async with open_sqlite(SETTINGS, host(folder)) as store:
            await store.save(outcomes)
            return list(await store.list(Filters(), limit=100_000, after=None))

    folder.mkdir(exist_ok=True)
    return asyncio.run(added())


def sample_outcomes(count: int) -> list[Outcome]:
    """Newest first; with keys, feedback and an end, so that every table has rows."""
    outcomes = [
        sample_outcome(
            sample_inquiry(
                received_at=NOON + timedelta(seconds=number),
                body=f"{number} " + "x" * (number % 700),
                idempotency_key=IdempotencyKey(f"key {number}", "f"),
            )
        )
        for number in range(count)
    ]
    outcomes[-1] = replace(outcomes[-1], prediction=sample_prediction(needs_review=True))
    outcomes[0] = replace(outcomes[0], feedback=Feedback("sales", None, "high", "Ana", NOON), resolved_at=NOON)
    return outcomes[::-1]


def refused(kind: type[InquiryServiceError], call: Callable[..., object], *values: object) -> str:
    """The one line."""
    with pytest.raises(kind) as refusal:
        call(*values)
    message = str(refusal.value)
    assert "\n" not in message
    return message


def changed(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def damaged(file: Path, page: int = 40) -> None:
    pages = file.read_bytes()
    file.write_bytes(pages[: page * 4096] + b"\xa5" * 4096 + pages[(page + 1) * 4096 :])


# In a process of its own, to be killed

_IMPORTS: Final = """
import asyncio, itertools
from pathlib import Path
from inquiry_svc.contracts import Host
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.samples import sample_outcome
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite, restore_backup, save_backup

async def keep_open(folder, count):
    async with open_sqlite(SqliteSettings(), Host(Path(folder), Metrics())) as store:
        await store.save([sample_outcome() for _ in range(count)])
        print("saved", flush=True)
        await asyncio.sleep(60)

def again_and_again(call, folder, files):
    for file in itertools.cycle(files):
        call(SqliteSettings(), Host(Path(folder), Metrics()), Path(file))
        print("once more", flush=True)
"""


@contextmanager
def another_process_that_saved(folder: Path, count: int) -> Iterator[None]:
    """It has the store open, and is killed in the end."""
    with _killed(f"asyncio.run(keep_open({str(folder)!r}, {count}))"):
        yield


@contextmanager
def another_process_that_repeats(call: str, folder: Path, *files: Path) -> Iterator[None]:
    """It does this with one file after the other, has done it once at least, and is killed in the end."""
    with _killed(f"again_and_again({call}, {str(folder)!r}, {list(map(str, files))!r})"):
        yield


@contextmanager
def _killed(program: str) -> Iterator[None]:
    command = [sys.executable, "-c", _IMPORTS + program]
    environ = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            yield
            assert child.poll() is None, "the child ended by itself"
        finally:
            child.send_signal(signal.SIGKILL)
