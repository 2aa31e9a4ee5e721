"""The store `sqlite`: the contract, the faults of a disk, a kill at any moment, and an index for each query."""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from inquiry_svc.contracts import Filters, Host, Store
from inquiry_svc.errors import ConfigurationError, StoreUnavailable
from inquiry_svc.inquiries import IdempotencyKey, Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.reading import ReadingContract
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome, sample_prediction
from inquiry_svc.testing.stores import DurableStoreContract, OpenStore
from inquiry_svc.upkeep import Schema
from inquiry_svc_plugins.stores.named_sql import read_migrations, read_queries
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite, open_to_read, register_stores, schema
from inquiry_svc_plugins.stores.sqlite.database import connect
from inquiry_svc_plugins.stores.sqlite.store import SqliteStore

PACKAGE = "inquiry_svc_plugins.stores.sqlite"
NEWEST = read_migrations(PACKAGE)[-1][0]
KILLS = 15
WALKS_UP_TO_A_LIMIT = (" INDEX idx_reviews_turn", " INDEX idx_reviews_timestamp")


class TestSqliteStore(DurableStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return opener(tmp_path, busy_timeout_s=10)  # two processes take turns, however slow the disk is


class TestReadingSqlite(ReadingContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> OpenStore:
        return opener(tmp_path)

    @pytest.fixture
    def open_to_read(self, tmp_path: Path) -> OpenStore:
        return lambda: open_to_read(SqliteSettings(), Host(tmp_path, Metrics()))


async def test_a_store_works_while_all_that_read_are_busy(tmp_path: Path) -> None:
    over = threading.Event()
    async with opener(tmp_path, readers=2)() as store:
        assert isinstance(store, SqliteStore)
        reading = [asyncio.create_task(store._readers.run(lambda connection: over.wait(30))) for _ in range(2)]
        while store.pools()["reader"].idle:  # noqa: ASYNC110 (threads tell nobody)
            await asyncio.sleep(0)
        await store.check()
        assert not any(each.done() for each in reading)
        over.set()
        await asyncio.gather(*reading)


@pytest.mark.parametrize("schema", [0, 99])
async def test_a_file_of_another_schema_is_not_read_and_not_migrated(tmp_path: Path, file: Path, schema: int) -> None:
    async with opener(tmp_path)() as store:
        await store.save([sample_outcome()])
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {schema}")
    before = file.read_bytes()  # noqa: ASYNC240 (quick)
    with pytest.raises(
        ConfigurationError, match=f"has schema {schema}, this release reads {NEWEST}: run inquiry-svc migrate"
    ):
        async with open_to_read(SqliteSettings(), Host(tmp_path, Metrics())):
            pass
    assert file.read_bytes() == before  # noqa: ASYNC240 (quick)


def opener(folder: Path, path: str = "", readers: int = 2, busy_timeout_s: float = 0.05) -> OpenStore:
    settings = SqliteSettings(path=path, busy_timeout_s=busy_timeout_s, readers=readers)
    return lambda: open_sqlite(settings, Host(folder, Metrics()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "inquiries.sqlite3"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opener(tmp_path)() as store:
        yield store


def test_it_is_offered_as_sqlite() -> None:
    assert [provider.name for provider in register_stores()] == ["sqlite"]


def test_loading_the_entry_point_does_not_load_sqlite() -> None:
    program = f"import sys, {PACKAGE}; sys.exit('sqlite3' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": ":".join(sys.path)}, check=True)


# Faults: nothing is acknowledged, nothing is kept, and the store serves again as soon as the fault is gone


async def test_another_program_that_holds_the_lock_makes_it_unavailable_until_it_lets_go(
    store: Store, file: Path
) -> None:
    refused, later = sample_outcome(), sample_outcome()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for call in (store.save([refused]), store.check()):
            with pytest.raises(StoreUnavailable, match="writer of the sqlite store") as failure:
                await call
            assert isinstance(failure.value.__cause__, sqlite3.OperationalError)
            assert str(file) not in str(failure.value)
        assert await store.get(refused.inquiry.inquiry_id) is None  # reading goes on
        other.execute("ROLLBACK")
    await store.check()
    assert list(await store.save([later])) == [later]
    assert await store.get(refused.inquiry.inquiry_id) is None


async def test_a_full_disk_makes_it_unavailable_until_there_is_room(store: Store) -> None:
    refused, later = [sample_outcome() for _ in range(50)], sample_outcome()
    with no_file_grows():
        for call in (store.save(refused), store.check()):
            with pytest.raises(StoreUnavailable):
                await call
    await store.check()
    await store.save([later])
    assert list(await store.list(Filters(), limit=99, after=None)) == [later]


@contextmanager
def no_file_grows() -> Iterator[None]:
    """No file of this process may grow: the kernel refuses to write past the first byte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux which files are open")
def test_no_file_is_made_outside_the_folder_of_the_database(tmp_path: Path) -> None:
    """In a container there may be nowhere else to write: SQLite then calls it an I/O error."""
    rows = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i, zeroblob(1000) FROM n"
    )
    with closing(connect(tmp_path / "inquiries.db", "rwc", 1.0)) as connection:
        connection.execute(f"CREATE TEMP TABLE large AS {rows}")
        assert [each for each in open_files() if "etilqs" in each.name] == []


def open_files() -> Iterator[Path]:
    for number in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            yield number.readlink()


async def test_a_file_that_was_deleted_takes_no_more_writes(store: Store, file: Path) -> None:
    await store.check()
    file.unlink()  # noqa: ASYNC240
    for call in (store.save([sample_outcome()]), store.check()):
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            await call


async def test_damaged_pages_are_reported_and_not_served(tmp_path: Path, file: Path) -> None:
    async with opener(tmp_path)() as store:
        await store.save([sample_outcome(sample_inquiry(body="x" * 9000)) for _ in range(50)])
    damage(file, first_page=40)
    async with opener(tmp_path)() as store:
        with pytest.raises(StoreUnavailable, match="readers of the sqlite store"):
            await store.list(Filters(), limit=50, after=None)


def damage(file: Path, first_page: int) -> None:
    pages = file.read_bytes()
    file.write_bytes(pages[: first_page * 4096].ljust(len(pages), b"\xa5"))


@pytest.mark.parametrize(
    "poison",
    [
        sample_outcome(sample_inquiry(subject="\ud800")),
        sample_outcome(sample_inquiry(metadata={"x": float("nan")})),
        sample_outcome(processed_at=NOON.replace(tzinfo=None)),
        sample_outcome(sample_inquiry(body=None)),
        sample_outcome(sample_inquiry(sender_name=object())),
    ],
    ids=["lone surrogate", "NaN", "time without a zone", "null", "foreign type"],
)
async def test_a_row_that_is_at_fault_itself_does_not_look_like_an_outage(store: Store, poison: Outcome) -> None:
    with pytest.raises(Exception) as failure:  # noqa: PT011 (any error but one)
        await store.save([sample_outcome(), poison])
    assert not isinstance(failure.value, StoreUnavailable)
    assert list(await store.list(Filters(), limit=9, after=None)) == []


async def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:
    async with opener(tmp_path)() as store:
        pass
    with pytest.raises(StoreUnavailable, match="is closed"):
        await store.save([sample_outcome()])


# Refusals at the start: one line with the value and the cure


async def refused(folder: Path, path: str = "") -> str:
    with pytest.raises(ConfigurationError) as refusal:
        async with opener(folder, path)():
            pass
    message = str(refusal.value)
    assert "\n" not in message
    assert "[store.sqlite]" in message
    return message


async def test_a_folder_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    assert "a folder in which it may write" in await refused(Path("/proc"))
    assert "can't be made" in await refused(Path("/proc/missing"))


async def test_a_folder_that_does_not_exist_is_made(tmp_path: Path) -> None:
    async with opener(tmp_path, "as/deep/as.you.like")() as store:
        await store.check()
    assert (tmp_path / "as/deep/as.you.like").is_file()


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path) in await refused(tmp_path, str(tmp_path))


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, file: Path) -> None:
    file.write_text("dear diary, " * 1000)  # noqa: ASYNC240
    assert "is no SQLite database: move it away" in await refused(tmp_path)
    assert file.read_text() == "dear diary, " * 1000  # noqa: ASYNC240


async def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE inquiries (x)")
        assert "belongs to another program" in await refused(tmp_path)
        assert other.execute("SELECT name FROM sqlite_schema").fetchall() == [("inquiries",)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)


async def test_a_schema_of_a_newer_release_is_refused(tmp_path: Path, file: Path) -> None:
    async with opener(tmp_path)():
        pass
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA user_version = 99")
    assert f"has schema 99, this release knows up to {NEWEST}" in await refused(tmp_path)


async def test_a_file_that_another_program_holds_is_refused(tmp_path: Path, file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "is locked by another program" in await refused(tmp_path)


async def test_a_lock_that_another_has_is_asked_for_again_and_again(file: Path) -> None:
    """And SQLite, which would sleep longer and longer in between, does not wait by itself."""
    from inquiry_svc_plugins.stores.sqlite.database import open_database, transaction

    writer, reader = open_database(file, busy_timeout_s=0.05, readers=1)
    asked: list[str] = []
    with closing(writer), closing(reader), closing(sqlite3.connect(file, isolation_level=None)) as other:
        assert writer.execute("PRAGMA busy_timeout").fetchone() == (0,)
        other.execute("BEGIN IMMEDIATE")

        def let_go_at_last(statement: str) -> None:
            asked.append(statement)
            if len(asked) == 5:
                other.execute("ROLLBACK")

        writer.set_trace_callback(let_go_at_last)
        with transaction(writer, within_s=60):
            assert asked == ["BEGIN IMMEDIATE"] * 5


# The file


async def test_several_may_open_a_new_file_at_once_and_one_makes_its_tables(tmp_path: Path) -> None:
    async def open_and_save() -> Outcome:
        async with open_sqlite(SqliteSettings(busy_timeout_s=10), Host(tmp_path, Metrics())) as store:
            (outcome,) = await store.save([sample_outcome()])
            return outcome

    outcomes = await asyncio.gather(*(open_and_save() for _ in range(8)))
    async with opener(tmp_path)() as store:
        assert len(await store.list(Filters(), limit=99, after=None)) == len(outcomes)


async def test_a_commit_reaches_the_disk_before_it_is_answered(tmp_path: Path, file: Path) -> None:
    from inquiry_svc_plugins.stores.sqlite.database import open_database

    writer, reader = open_database(file, busy_timeout_s=0.05, readers=1)
    with closing(writer), closing(reader):
        settings = {name: writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        assert settings == {"journal_mode": "wal", "synchronous": 2}
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM inquiries")


def test_each_migration_sets_the_version_that_its_name_says() -> None:
    migrations = read_migrations(PACKAGE)
    assert [number for number, _ in migrations] == list(range(1, len(migrations) + 1))
    for number, script in migrations:
        assert re.findall(r"^PRAGMA user_version = (\d+);$", script, re.MULTILINE) == [str(number)]


async def test_how_far_the_schema_is_can_be_asked_beside_an_open_store(tmp_path: Path) -> None:
    async with opener(tmp_path)():
        assert schema(SqliteSettings(), Host(tmp_path, Metrics())) == Schema(NEWEST, NEWEST)


def test_asking_how_far_the_schema_is_makes_no_file_and_refuses_one_that_is_none(tmp_path: Path, file: Path) -> None:
    assert schema(SqliteSettings(), Host(tmp_path, Metrics())) == Schema(0, NEWEST)
    assert not file.exists()
    file.write_text("not a database, and long enough to be looked at" * 100)
    with pytest.raises(ConfigurationError, match="is no SQLite database"):
        schema(SqliteSettings(), Host(tmp_path, Metrics()))


async def test_a_migration_that_fails_leaves_the_file_as_it_was(file: Path) -> None:
    from inquiry_svc_plugins.stores.sqlite.database import migrate

    broken = f"CREATE TABLE half_done (x);\nPRAGMA user_version = {NEWEST + 1};\nINSERT INTO missing VALUES (1);\n"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        migrate(connection, file, read_migrations(PACKAGE))
        before = connection.execute("SELECT name FROM sqlite_schema").fetchall()
        with pytest.raises(sqlite3.OperationalError, match="missing"):
            migrate(connection, file, [*read_migrations(PACKAGE), (NEWEST + 1, broken)])
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == before
        assert connection.execute("PRAGMA user_version").fetchone() == (NEWEST,)


async def test_erasing_an_inquiry_erases_all_that_was_kept_of_it(store: Store, file: Path) -> None:
    kept, erased = (
        sample_outcome(sample_inquiry(idempotency_key=IdempotencyKey(key, "f")), prediction=sample_prediction())
        for key in ("kept", "erased")
    )
    await store.save([kept, erased])
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA foreign_keys = ON")
        other.execute("DELETE FROM inquiries WHERE inquiry_id = ?", (erased.inquiry.inquiry_id,))
        for table in ("predictions", "routing_decisions", "idempotency_keys"):
            assert other.execute(f"SELECT inquiry_id FROM {table}").fetchall() == [(kept.inquiry.inquiry_id,)]
    assert await store.open_inquiries() == {kept.route.consultant: 1}


async def test_what_the_release_before_saves_is_followed_up_by_a_trigger(store: Store, file: Path) -> None:
    """Beside this one, while processes are renewed: its consultant's load, its review, the hour that it changes."""
    mine, its = sample_outcome(), sample_outcome()
    await store.save([mine])
    assert isinstance(store, SqliteStore)
    await store.count_hours()
    with closing(sqlite3.connect(file, isolation_level=None)) as before:
        for table in ("inquiries", "predictions", "routing_decisions"):
            columns = [row[1] for row in before.execute(f"PRAGMA table_info({table})")]
            known = [column for column in columns if column not in ("inquiry_id", "followed_up")]
            values = ["1" if column == "needs_review" else column for column in known]
            before.execute(
                f"INSERT INTO {table} (inquiry_id, {', '.join(known)}) SELECT ?, {', '.join(values)} FROM {table}",
                (its.inquiry.inquiry_id,),
            )
    assert await store.open_inquiries() == {mine.route.consultant: 2}
    assert (await store.review_queue()).size == 1
    counted = await store.stats(since=NOON, now=NOON)
    assert (counted.total_inquiries, counted.needs_review_inquiries) == (2, 1)


# Query plans


@pytest.fixture
def planned(file: Path) -> Iterator[sqlite3.Connection]:
    from inquiry_svc_plugins.stores.sqlite.database import migrate

    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        migrate(connection, file, read_migrations(PACKAGE))
        yield connection


def plan(connection: sqlite3.Connection, query: str) -> list[str]:
    names = re.findall(r":(\w+)", query)
    numbers = re.findall(r"\?(\d*)", query)
    values = dict.fromkeys(names) if names else [None] * (numbers.count("") + len({*numbers} - {""}))
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("list_newest", "COVERING INDEX idx_inquiries_timestamp (timestamp>?"),
        ("list_needs_review", "INDEX idx_predictions_needs_review (timestamp>?"),
        ("list_status", "INDEX idx_routing_status (<expr>=? AND timestamp>?"),
        ("list_department", "INDEX idx_routing_department (department=? AND timestamp>?"),
        ("list_category", "INDEX idx_predictions_category (category=? AND timestamp>?"),
    ],
)
def test_each_list_walks_its_index_in_order_and_sorts_no_more_than_its_page(
    planned: sqlite3.Connection, query: str, index: str
) -> None:
    steps = plan(planned, read_queries(PACKAGE)[query])
    end_of_page = steps.index("SCAN page")
    (leading,) = [step for step in steps[:end_of_page] if "timestamp" in step]
    assert leading.endswith(f" USING {index} AND (timestamp,inquiry_id)<(?,?))")
    assert not [step for step in steps[:end_of_page] if "TEMP B-TREE" in step or step.startswith("SCAN")]
    assert not [step for step in steps[end_of_page + 1 :] if step.startswith("SCAN")]


def test_no_query_scans_a_table_that_grows(planned: sqlite3.Connection) -> None:
    """But what a person asks of the outbox, which is done a thousand rows at a time."""
    asked_by_people = {"notices", "retry_notices", "drop_notices"}
    for name, query in read_queries(PACKAGE).items():
        if name in asked_by_people:
            continue
        scans = [step for step in plan(planned, query) if step.startswith("SCAN")]
        tables = {step.split()[1] for step in scans if not step.endswith(WALKS_UP_TO_A_LIMIT)}
        assert tables <= {
            "page",
            "waiting",
            "set_aside",
            "json_each",
            "CONSTANT",
            "consultant_loads",
            "write_checks",
            "hours_counted",
            "hours_changed",
        }, name


@pytest.mark.parametrize("query", ["insert_inquiry", "insert_prediction", "insert_routing_decision", "insert_notice"])
def test_inserting_an_outcome_makes_no_copies_of_pages(planned: sqlite3.Connection, query: str) -> None:
    """SQLite makes them where a statement, or a trigger below it, may fail half-way without rolling all back: where it
    calls a function, counts violations of foreign keys, or halts with the second way to resolve a conflict, ABORT.
    """
    values = [None] * {"insert_prediction": 16, "insert_notice": 5}.get(query, 9)
    steps = planned.execute(f"EXPLAIN {read_queries(PACKAGE)[query]}", values).fetchall()
    assert [step for step in steps if step[1].startswith("Halt") and step[2] > 0]
    for _, operation, error, resolution, *_ in steps:
        assert operation not in {"Function", "PureFunc", "FkCounter"}
        assert not (operation.startswith("Halt") and error and resolution == 2)


def test_looking_for_unprocessed_inquiries_uses_an_index(planned: sqlite3.Connection) -> None:
    (step,) = plan(planned, "SELECT * FROM inquiries WHERE processed = FALSE")
    assert step == "SCAN inquiries USING INDEX idx_inquiries_unprocessed"


# Kill -9

SAVER = """
import asyncio, sys
from pathlib import Path
from inquiry_svc.contracts import Host
from inquiry_svc.inquiries import IdempotencyKey
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.samples import sample_inquiry, sample_outcome
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite

def outcome(name):
    return sample_outcome(sample_inquiry(body="x" * 2000, idempotency_key=IdempotencyKey(name, "f")))

async def save_until_killed():
    async with open_sqlite(SqliteSettings(), Host(Path(sys.argv[1]), Metrics())) as store:
        for batch in range(10**9):
            saved = await store.save([outcome(f"{sys.argv[2]}-{batch}-{number}") for number in range(batch % 40 + 1)])
            print(*(each.inquiry.inquiry_id for each in saved), flush=True)

asyncio.run(save_until_killed())
"""


async def test_a_kill_at_any_moment_loses_nothing_acknowledged_and_leaves_no_half(tmp_path: Path, file: Path) -> None:
    seed = random.randrange(2**32)
    print(f"kills of seed {seed}")
    rng = random.Random(seed)
    acknowledged: list[str] = []
    for kill in range(KILLS):
        acknowledged += acknowledged_until_killed(tmp_path, f"run {kill}", rng)
        async with opener(tmp_path)() as store:
            assert await store.get(acknowledged[-1]) is not None, f"seed {seed}: the last acknowledged is lost"
    async with opener(tmp_path)() as store:
        lost = [inquiry_id for inquiry_id in acknowledged if await store.get(inquiry_id) is None]
    assert lost == [], f"seed {seed}"
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        counts = {
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            for table in ("inquiries", "predictions", "routing_decisions", "idempotency_keys", "outcomes")
        }
        assert len(counts) == 1, f"seed {seed}: an inquiry is half-written"
        for run, batches in whole_batches(connection).items():
            assert all(batches.values()), f"seed {seed}: half of a batch of {run} was kept"


def acknowledged_until_killed(folder: Path, run: str, rng: random.Random) -> list[str]:
    """Let a child save, kill it at a random moment, and give the ids that it acknowledged.

    Of a line that the kill cut short, the whole ids count.
    """
    with subprocess.Popen(
        [sys.executable, "-c", SAVER, str(folder), run],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        said = child.stdout.read(rng.randrange(37, 30_000))
        time.sleep(rng.uniform(0, 0.01))  # any moment of a batch: while it is made, written, committed or told
        child.send_signal(signal.SIGKILL)
        said += child.stdout.read()
    assert child.returncode == -signal.SIGKILL, "the child ended by itself"
    return re.findall(r"[0-9a-f-]{36}", said.decode())


def whole_batches(connection: sqlite3.Connection) -> dict[str, dict[int, bool]]:
    """For each run, by the number of the batch, whether all of it is there: batch n holds n % 40 + 1 outcomes."""
    found: dict[str, Counter[int]] = {}
    for (key,) in connection.execute("SELECT value FROM idempotency_keys"):
        run, batch, _ = key.split("-")
        found.setdefault(run, Counter())[int(batch)] += 1
    return {run: {batch: n == batch % 40 + 1 for batch, n in batches.items()} for run, batches in found.items()}
