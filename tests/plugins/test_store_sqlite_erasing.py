"""What the store `sqlite` erases is in none of its files: the bytes are looked for, while services have it open."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from inquiry_svc.contracts import Host, Store
from inquiry_svc.inquiries import Feedback, IdempotencyKey, Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc.review_queue import Claim
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome, sample_prediction
from inquiry_svc.testing.stores import OpenStore
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, erasing, open_sqlite
from inquiry_svc_plugins.stores.sqlite.store import SqliteStore


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    return lambda: open_sqlite(SqliteSettings(busy_timeout_s=10), Host(tmp_path, Metrics()))


@dataclass(frozen=True, slots=True)
class Told:
    """An outcome, each of whose texts is nowhere else."""

    outcome: Outcome
    feedback: Feedback

    @property
    def inquiry_id(self) -> str:
        return self.outcome.inquiry.inquiry_id

    @property
    def words(self) -> Sequence[str]:
        inquiry = self.outcome.inquiry
        assert inquiry.idempotency_key
        assert self.feedback.reviewer
        return (
            *(inquiry.inquiry_id, inquiry.subject, inquiry.body[:24], inquiry.sender_email),
            *(inquiry.sender_name or "", str(inquiry.metadata["of"]), self.feedback.reviewer),
            *(inquiry.idempotency_key.value, inquiry.idempotency_key.fingerprint),
        )


def told(dice: random.Random) -> Told:
    def word() -> str:
        return f"{dice.getrandbits(96):024x}"

    inquiry = sample_inquiry(
        subject=word(),
        body=word() * dice.choice((1, 4, 40, 400)),
        sender_email=f"{word()}@example.org",
        sender_name=word(),
        metadata={"of": word()},
        idempotency_key=IdempotencyKey(word(), word()),
    )
    outcome = sample_outcome(inquiry, prediction=sample_prediction(needs_review=True))
    return Told(outcome, Feedback("sales", None, None, word(), NOON))


async def kept(store: Store, how_many: int) -> tuple[random.Random, list[Told]]:
    """The same each time, so that the same lies in the same page."""
    dice = random.Random(7)
    everything = [told(dice) for _ in range(how_many)]
    for start in range(0, how_many, 20):
        await store.save([each.outcome for each in everything[start : start + 20]])
    for each in everything:
        await store.add_feedback(each.inquiry_id, each.feedback)
    return dice, everything


def found(folder: Path, everything: Iterable[Told]) -> set[str]:
    """Those words that are in any of the files."""
    files = [file.read_bytes() for file in folder.iterdir()]
    assert len(files) >= 2, "the store is to be open"
    return {word for each in everything for word in each.words if any(word.encode() in file for file in files)}


async def test_no_byte_of_what_is_erased_is_in_the_files_and_the_rest_is(open_store: OpenStore, tmp_path: Path) -> None:
    async with open_store() as store, open_store() as other:
        dice, everything = await kept(store, 120)
        assert len(found(tmp_path, everything)) == 9 * len(everything)
        dice.shuffle(everything)
        for count in (1, 1, 20, 1, 40):
            gone, everything = everything[:count], everything[count:]
            erased = await store.erase([each.inquiry_id for each in gone])
            assert len(erased) == count
            assert found(tmp_path, gone) == set()
            assert len(found(tmp_path, everything)) == 9 * len(everything)
        assert await other.get(everything[0].inquiry_id) == replace(
            everything[0].outcome, prediction=sample_prediction(), feedback=everything[0].feedback
        )
    with closing(sqlite3.connect(tmp_path / "inquiries.sqlite3")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_nor_is_what_was_moved_to_make_room_before_it_was_erased(open_store: OpenStore, tmp_path: Path) -> None:
    """Keys come in no order: their pages are full again and again, and half of each is moved."""
    async with open_store() as store:
        _, everything = await kept(store, 600)
        for start in range(0, 600, 100):
            some = everything[start : start + 100]
            await store.erase([each.inquiry_id for each in some])
            keys = {each.outcome.inquiry.idempotency_key.value for each in some if each.outcome.inquiry.idempotency_key}
            assert not keys & found(tmp_path, some)


async def test_who_held_a_review_is_not_in_the_files_either(open_store: OpenStore, tmp_path: Path) -> None:
    async with open_store() as store:
        outcome = sample_outcome(prediction=sample_prediction(needs_review=True))
        await store.save([outcome])
        await store.claim_reviews(Claim("somebody by name", NOON), now=NOON, limit=1)
        assert b"somebody by name" in everywhere(tmp_path)
        await store.erase([outcome.inquiry.inquiry_id])
        assert b"somebody by name" not in everywhere(tmp_path)


def everywhere(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


@contextmanager
def somebody_reads(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "inquiries.sqlite3", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM inquiries").fetchone()
        yield
        reader.execute("COMMIT")


async def test_while_somebody_reads_the_log_holds_it_and_is_emptied_soon_afterwards(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as store:
        assert isinstance(store, SqliteStore)
        _, everything = await kept(store, 20)
        with somebody_reads(tmp_path):
            assert len(await store.erase([each.inquiry_id for each in everything])) == 20
            assert found(tmp_path, everything), "the log can't be emptied"
            late = sample_outcome()
            assert list(await store.save([late])) == [late], "nobody waits"
            await store.count_hours()
            assert found(tmp_path, everything)
        await store.count_hours()
        assert found(tmp_path, everything) == set()
        assert await store.get(late.inquiry.inquiry_id) == late


async def test_the_log_is_emptied_where_nobody_waits_for_the_erasing_any_more(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as store:
        assert isinstance(store, SqliteStore)
        await store.count_hours()
        _, everything = await kept(store, 20)
        erasing_all = asyncio.create_task(store.erase([each.inquiry_id for each in everything]))
        while not store._erasing._log_may_hold_some:  # noqa: ASYNC110 (a thread tells)
            await asyncio.sleep(0)
        erasing_all.cancel()
        await store.check()  # behind it
        assert await store.get(everything[0].inquiry_id) is None
        await store.count_hours()
        assert found(tmp_path, everything) == set()


async def test_what_a_killed_process_left_in_the_log_is_emptied_by_the_next(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as killed:
        assert isinstance(killed, SqliteStore)
        _, everything = await kept(killed, 20)
        with somebody_reads(tmp_path):
            await killed.erase([each.inquiry_id for each in everything])
        assert found(tmp_path, everything)
        async with open_store() as store:
            assert isinstance(store, SqliteStore)
            await store.count_hours()
            assert found(tmp_path, everything) == set()


async def test_closing_waits_for_a_reader_and_says_so_where_one_never_ends(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(erasing, "_LAST_CHANCE_S", 0.1)
    async with open_store() as service:
        _, everything = await kept(service, 3)
        with somebody_reads(tmp_path):
            async with open_store() as store:
                await store.erase([each.inquiry_id for each in everything])
            assert "holds what was erased while somebody reads it" in caplog.text
        caplog.clear()
        async with open_store() as store:
            _, more = await kept(store, 3)
            with somebody_reads(tmp_path):
                await store.erase([each.inquiry_id for each in more])
        assert caplog.text == ""
        assert found(tmp_path, everything + more) == set()
