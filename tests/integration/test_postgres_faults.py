"""What can happen to PostgreSQL and to the way there: a quick and honest 503 at most, nothing half, nothing twice."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import pytest

from inquiry_svc.catalogue import HEALTH, INQUIRIES_PROCESSED
from inquiry_svc.errors import StoreUnavailable
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc_plugins.stores.postgres import PostgresSettings
from inquiry_svc_plugins.stores.postgres.connections import Connections
from inquiry_svc_plugins.stores.postgres.store import PostgresStore
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.servers.postgres import PostgresServer, postgres_server, postgres_standby
from tests.side_by_side import MORE_S

SUBMIT: Final = "/api/v1/inquiries/submit"
LONGEST_S: Final = 2.0
"""In which a client is answered, whatever happens."""
BACK_S: Final = 1.0
"""In which the first inquiry is stored once the server could do it."""
FRESH_S: Final = 0.3
NUMBERS: Final = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server(migrated=True) as server:
        yield server


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    name = f"test_{next(NUMBERS)}"
    with server.database(name):
        yield name


@asynccontextmanager
async def behind_a_proxy(server: PostgresServer, database: str) -> AsyncIterator[tuple[Running, FaultProxy]]:
    async with fault_proxy(server.port) as proxy:
        url = server.url(database, port=proxy.port)
        async with running_service({"store.provider": "postgres", "store.postgres.url": url}) as running:
            for number in range(4):  # every connection knows its statements
                assert (await submit(running, f"before {number}"))[0] == 201
            yield running, proxy


async def submit(running: Running, subject: str, body: str = "Charged twice.") -> tuple[int, float, Any]:
    """Status, seconds and answer; the status is 201 or an honest 503, in time."""
    inquiry = {"subject": subject, "body": body, "sender_email": "ana@example.org"}
    started = time.perf_counter()
    async with running.client.post(SUBMIT, json=inquiry, headers={"Idempotency-Key": subject}) as response:
        answer = await response.json()
        took_s = time.perf_counter() - started
        assert response.status in (201, 503), answer
        if response.status == 503:
            assert int(response.headers["Retry-After"]) >= 1
    assert took_s < LONGEST_S + MORE_S
    return response.status, took_s, answer


async def stored_again(running: Running, subject: str) -> float:
    """Seconds until the inquiry, sent again whenever it is refused, is stored."""
    started = time.perf_counter()
    while (await submit(running, subject))[0] != 201:  # noqa: ASYNC110 (a server tells nobody)
        await asyncio.sleep(0.01)
    took_s = time.perf_counter() - started
    print(f"stored {took_s:.3f} s after it could be")
    assert took_s < BACK_S + MORE_S
    return took_s


async def database_is(status: str, running: Running) -> None:
    """As a probe sees it, and as the alert DatabaseConnectionIssues does, once what was found last is old."""
    await asyncio.sleep(FRESH_S)
    async with running.client.get("/api/v1/health") as response:
        assert (await response.json())["components"]["database"]["status"] == status
        assert response.status == (200 if status == "healthy" else 503)
    assert running.service.metrics.series(HEALTH, component="database").value == (status == "healthy")


def stored(server: PostgresServer, database: str) -> list[str]:
    """The subjects of all inquiries, each of which is whole."""
    whole = "SELECT count(*) FROM outcomes JOIN idempotency_keys USING (inquiry_id)"
    subjects = server.sql("SELECT subject FROM inquiries ORDER BY subject", database).splitlines()
    assert int(server.sql(whole, database)) == len(subjects)
    return [subject for subject in subjects if not subject.startswith("before")]


REFUSALS: Final = {
    "25006": "read-only after a failover",
    "40001": "serialization failure",
    "53100": "disk full",
    "53200": "out of memory",
    "57014": "statement timeout",
    "57P01": "shut down by the administrator",
    "57P03": "starting up",
    "58030": "input/output error",
    "XX000": "internal error",
}


def refuse_with(sqlstate: str, server: PostgresServer, database: str) -> None:
    server.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$; "
        "CREATE TRIGGER refusing BEFORE INSERT ON routing_decisions EXECUTE FUNCTION refuse()",
        database,
    )


@pytest.mark.parametrize("sqlstate", REFUSALS)
async def test_whatever_the_server_refuses_with_is_a_503_and_over_when_it_is(
    sqlstate: str, server: PostgresServer, database: str
) -> None:
    async with behind_a_proxy(server, database) as (running, _):
        refuse_with(sqlstate, server, database)
        assert [(await submit(running, "refused"))[0] for _ in range(3)] == [503] * 3
        server.sql("DROP TRIGGER refusing ON routing_decisions", database)
        await stored_again(running, "refused")
    assert stored(server, database) == ["refused"]


async def test_a_statement_that_takes_too_long_is_broken_off(server: PostgresServer, database: str) -> None:
    async with behind_a_proxy(server, database) as (running, _):
        locker = await asyncpg.connect(server.url(database))
        async with locker.transaction():
            await locker.execute("LOCK TABLE predictions, write_checks IN ACCESS EXCLUSIVE MODE")
            answers = await asyncio.gather(*(submit(running, f"locked {number}") for number in range(20)))
            assert {status for status, _, _ in answers} == {503}
            await database_is("unhealthy", running)
        await locker.close()
        await stored_again(running, "locked 0")
        await database_is("healthy", running)
    subjects = stored(server, database)  # those that waited for the first batch may have been written after it
    assert len(set(subjects)) == len(subjects)
    assert "locked 0" in subjects


async def test_a_server_whose_connections_are_all_taken_is_a_503_until_one_is_free(
    server: PostgresServer, database: str
) -> None:
    async with behind_a_proxy(server, database) as (running, _):
        taken: list[Any] = []

        async def take_all() -> None:
            while True:
                taken.append(await asyncpg.connect(server.url()))

        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'inquiry-svc%'")
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await take_all()
        assert (await submit(running, "crowded"))[0] == 503
        await database_is("unhealthy", running)
        await asyncio.gather(*(connection.close() for connection in taken))
        await stored_again(running, "crowded")
        await database_is("healthy", running)
    assert stored(server, database) == ["crowded"]


async def test_a_disk_that_is_full_keeps_nothing_half_and_serves_again_when_there_is_room() -> None:
    """The texts can't be compressed. A piece of the write-ahead log has 16 MiB, so a table is full before it is.

    A row that is there can still be changed meanwhile, and so the database passes its check.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    acknowledged: list[str] = []
    with postgres_server() as server:
        server.kill()
        server.start(max_file_mib=20)
        async with behind_a_proxy(server, "postgres") as (running, _):
            while True:
                subjects = [f"large {next(NUMBERS)}" for _ in range(64)]
                bodies = ["".join(dice.choices(LETTERS, k=10_000)) for _ in subjects]
                sending = (submit(running, *each) for each in zip(subjects, bodies, strict=True))
                statuses = [status for status, _, _ in await asyncio.gather(*sending)]
                acknowledged += [each for each, status in zip(subjects, statuses, strict=True) if status == 201]
                if 503 in statuses:
                    break
            assert (await submit(running, "no room", bodies[0]))[0] == 503
            failed = running.service.metrics.series(INQUIRIES_PROCESSED, status="failed")
            assert failed.value == statuses.count(503) + 1, "the alert InquiriesFailing reads it"
            server.kill()
            server.start()
            await stored_again(running, "no room")
            await database_is("healthy", running)
        print(f"{len(acknowledged)} were stored before the disk was full")
        assert set(stored(server, "postgres")) >= {*acknowledged, "no room"}


LETTERS: Final = "".join(chr(number) for number in range(0x4E00, 0x4E00 + 4096))


async def test_a_connection_that_dies_during_its_commit_is_asked_about_on_another(
    server: PostgresServer, database: str
) -> None:
    async with behind_a_proxy(server, database) as (running, proxy):
        for number in range(10):
            proxy.answers_to_cut = 1
            status, _, answer = await submit(running, f"cut {number}")
            assert proxy.answers_to_cut == 0
            assert (status, answer["subject"]) == (201, f"cut {number}")
            proxy.answers_to_cut = 1
            at = {"resolved_at": "2026-11-23T09:00:00Z"}
            async with running.client.post(f"/api/v1/inquiries/{answer['inquiry_id']}/resolve", json=at) as response:
                assert response.status == 200, "it was this call that resolved it"
            proxy.answers_to_cut = 1
            reviewed = {"category": "sales"}
            async with running.client.post(
                f"/api/v1/inquiries/{answer['inquiry_id']}/feedback", json=reviewed
            ) as response:
                assert response.status == 200
    assert stored(server, database) == sorted(f"cut {number}" for number in range(10))
    assert int(server.sql("SELECT count(*) FROM feedback", database)) == 10


async def test_whose_answer_is_always_cut_off_is_told_503_and_has_one_inquiry(
    server: PostgresServer, database: str
) -> None:
    async with behind_a_proxy(server, database) as (running, proxy):
        proxy.answers_to_cut = 10**6
        status, _, _ = await submit(running, "unknown")
        assert status == 503
        proxy.answers_to_cut = 0
        await stored_again(running, "unknown")
    assert stored(server, database) == ["unknown"]


@pytest.mark.parametrize("fault", ["hang", "reset"])
async def test_a_way_to_the_server_that_fails_is_a_503_in_time_and_used_again_when_well(
    fault: Any, server: PostgresServer, database: str
) -> None:
    async with behind_a_proxy(server, database) as (running, proxy):
        proxy.fault = fault
        answers = await asyncio.gather(*(submit(running, f"failing {number}") for number in range(30)))
        assert {status for status, _, _ in answers} == {503}
        print(f"{fault}: the slowest of 30 was told after {max(took_s for _, took_s, _ in answers):.2f} s")
        proxy.fault = "none"
        await stored_again(running, "failing 0")
    assert "failing 0" in stored(server, database)


async def test_connections_that_the_server_ends_cost_nobody_an_answer(server: PostgresServer, database: str) -> None:
    async with behind_a_proxy(server, database) as (running, _):
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'inquiry-svc%'")
        answers = await asyncio.gather(*(submit(running, f"ended {number}") for number in range(30)))
        assert {status for status, _, _ in answers} == {201}
        assert (await submit(running, "ended 0"))[2]["inquiry_id"] == answers[0][2]["inquiry_id"]
    assert len(stored(server, database)) == 30


@asynccontextmanager
async def two_connections(url: str, connect_timeout_s: float = 5.0) -> AsyncIterator[tuple[Connections, list[int]]]:
    """Both open, and the process ids of their ends in the server."""
    settings = PostgresSettings(url, connect_timeout_s=connect_timeout_s)
    async with Connections(settings, 2, "writer") as connections:
        yield connections, await ends_of(connections)


async def ends_of(connections: Connections) -> list[int]:
    both = asyncio.Barrier(2)

    async def end(connection: Any) -> int:
        async with asyncio.timeout(30):
            await both.wait()
        found: int = connection.get_server_pid()
        return found

    return sorted(await asyncio.gather(connections.run(end), connections.run(end)))


async def test_who_waits_long_for_a_free_connection_gets_one_and_none_is_opened_anew(
    server: PostgresServer, database: str
) -> None:
    async with two_connections(server.url(database), connect_timeout_s=0.5) as (connections, ends):
        over = asyncio.Event()
        busy = [asyncio.create_task(connections.run(lambda _: over.wait())) for _ in range(2)]
        waiting = asyncio.create_task(connections.run(lambda connection: connection.fetchval("SELECT 1")))
        impatient = asyncio.create_task(connections.run(lambda connection: connection.fetchval("SELECT 2")))
        done, _ = await asyncio.wait([waiting, impatient], timeout=1.0)  # twice the limit for a connection
        impatient.cancel()
        over.set()
        assert not done
        assert await waiting == 1
        await asyncio.gather(*busy)
        assert await ends_of(connections) == ends


async def test_who_gets_a_connection_just_before_its_time_is_over_blames_no_other(
    server: PostgresServer, database: str
) -> None:
    async with two_connections(server.url(database)) as (connections, ends):
        begun = asyncio.Event()

        async def slow(connection: Any) -> None:
            begun.set()
            await connection.execute("SELECT pg_sleep(60)")

        late = asyncio.create_task(connections.run(slow))
        await begun.wait()
        late.cancel()
        await asyncio.wait([late])
        assert len({*ends} & {*await ends_of(connections)}) == 1


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "53200", "57014"])
async def test_a_server_that_refuses_one_statement_keeps_the_other_connections(
    sqlstate: str, server: PostgresServer, database: str
) -> None:
    async with two_connections(server.url(database)) as (connections, ends):
        tries = 0

        async def refused_at_first(connection: Any) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$")

        with suppress(StoreUnavailable):
            await connections.run(refused_at_first)
        assert len({*ends} & {*await ends_of(connections)}) == 1


async def test_work_that_is_done_is_answered_though_its_connection_cannot_be_closed(
    server: PostgresServer, database: str
) -> None:
    async with (
        fault_proxy(server.port) as proxy,
        two_connections(server.url(database, port=proxy.port)) as (both, ends),
    ):
        over, begun = asyncio.Event(), asyncio.Event()

        async def done(connection: Any) -> int:
            begun.set()
            await over.wait()
            return 1

        async def lost(connection: Any) -> None:
            raise ConnectionResetError

        working = asyncio.create_task(both.run(done))
        await begun.wait()
        with pytest.raises(StoreUnavailable):
            await both.run(lost)
        proxy.fault = "hang"
        over.set()
        assert await working == 1
        proxy.fault = "none"
        assert not {*ends} & {*await ends_of(both)}


async def test_counting_hours_gives_up_on_a_server_that_vanished(
    server: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fault_proxy(server.port) as proxy:
        settings = PostgresSettings(server.url(database, port=proxy.port))
        async with (
            Connections(settings, 1, "writer") as writers,
            Connections(settings, 1, "reader") as readers,
            asyncio.timeout(10) as whole,
        ):
            store = PostgresStore(writers, readers)
            await store.count_hours()
            monkeypatch.setattr("inquiry_svc_plugins.stores.postgres.store._LONGEST_TURN_S", 0.1)
            proxy.fault = "hang"
            with pytest.raises(TimeoutError):
                await store.count_hours()
            assert not whole.expired()
            proxy.fault = "none"
            await store.check()


async def test_a_failover_is_followed_and_loses_nothing(server: PostgresServer, database: str) -> None:
    async with behind_a_proxy(server, database) as (running, proxy):
        with postgres_standby(server) as standby:
            assert (await submit(running, "on the first"))[0] == 201
            await arrived(standby, database, "on the first")
            proxy.server_port, proxy.fault = standby.port, "reset"
            assert (await submit(running, "meanwhile"))[0] == 503
            proxy.fault = "none"
            assert [(await submit(running, "meanwhile"))[0] for _ in range(3)] == [503] * 3, "it can't be written yet"
            await database_is("unhealthy", running)
            standby.sql("SELECT pg_promote()")
            await stored_again(running, "meanwhile")
            assert stored(standby, database) == ["meanwhile", "on the first"]


async def test_open_connections_to_a_server_that_turned_read_only_are_left_and_cost_nobody_an_answer(
    server: PostgresServer, database: str
) -> None:
    """The failover breaks none of them: that they lead to the wrong server is seen by what it refuses alone."""
    async with behind_a_proxy(server, database) as (running, proxy):
        with postgres_standby(server) as standby:
            await arrived(standby, database, "before 3")
            standby.sql("SELECT pg_promote()")
            proxy.server_port = standby.port
            refuse_with("25006", server, database)
            subjects = sorted(f"after {number}" for number in range(30))
            for _ in range(2):
                answers = await asyncio.gather(*(submit(running, subject) for subject in subjects))
                assert {status for status, _, _ in answers} == {201}
            await database_is("healthy", running)
            assert stored(standby, database) == subjects
            assert stored(server, database) == []


async def arrived(standby: PostgresServer, database: str, subject: str) -> None:
    """Wait until the standby has it."""
    count = f"SELECT count(*) FROM inquiries WHERE subject = '{subject}'"
    async with asyncio.timeout(10 + MORE_S):
        while standby.sql(count, database) != "1":  # noqa: ASYNC110 (a server tells nobody)
            await asyncio.sleep(0.01)
