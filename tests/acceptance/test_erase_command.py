"""`inquiry-svc erase` finds what is meant, asks, and erases it beside a service that goes on, on both stores."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from inquiry_svc.intake.bodies import SubmitIn
from tests.acceptance.serving import run_command, serving
from tests.servers.postgres import PostgresServer, postgres_server

INQUIRIES: Final = "/api/v1/inquiries"
NOWHERE: Final = "01a21482-a654-72cd-b233-a80edd837d83"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service stores."""

    data_dir: Path
    environ: Mapping[str, str]
    server: PostgresServer | None = None

    async def erase(self, *options: str, stdin: str = "") -> tuple[int, str, str]:
        arguments = ("erase", "--data-dir", str(self.data_dir), *options)
        code, out, err = await asyncio.to_thread(run_command, *arguments, environ=self.environ, stdin=stdin)
        return code, out, re.sub("PostgreSQL runs with .* = off: .*\n", "", err)

    def holds(self, word: str) -> bool:
        """Whether the word is in what the store keeps: the files as they are, or a dump."""
        if self.server is not None:
            return word in self.server.run("pg_dump", database="erasing")
        return any(word.encode() in file.read_bytes() for file in self.data_dir.iterdir() if file.is_file())


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(tmp_path / "data", {})
        return
    server: PostgresServer = request.getfixturevalue("server")
    with server.database("erasing") as url:
        environ = {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": url}
        yield Place(tmp_path / "data", environ, server)


async def submitted(client: aiohttp.ClientSession, **changes: Any) -> str:
    sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org", **changes}
    assert sent.keys() <= set(SubmitIn.__struct_fields__)
    async with client.post(f"{INQUIRIES}/submit", json=sent) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["inquiry_id"])


async def stored(client: aiohttp.ClientSession) -> set[str]:
    async with client.get(f"{INQUIRIES}?limit=100") as answer:
        return {each["inquiry_id"] for each in (await answer.json())["items"]}


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


async def test_what_a_person_sent_is_erased_however_they_spelled_their_address(place: Place) -> None:
    async with serving(place.data_dir, environ=place.environ) as service, aiohttp.ClientSession(service.url) as client:
        for spelled in ("ana@bücher.example", "Ana@Bücher.Example", "ana@xn--bcher-kva.example"):
            await submitted(client, sender_email=spelled, body="the words of one person")
        others = {await submitted(client, sender_email=each) for each in ("ana@bucher.example", "bo@bücher.example")}
        assert place.holds("the words of one person")

        code, out, err = await place.erase("--sender", "ANA@bücher.example", stdin="n\n")
        assert (code, out.splitlines()[0]) == (1, "3 inquiries from that sender are stored")
        assert "interrupted" in err
        assert len(await stored(client)) == 5

        code, out, err = await place.erase("--sender", "ANA@bücher.example", stdin="y\n")
        assert (code, err) == (0, "")
        assert out.endswith("3 inquiries erased\n")
        assert await stored(client) == others
        assert not place.holds("the words of one person")

        assert await place.erase("--sender", "ana@bücher.example") == (
            *(0, "0 inquiries from that sender are stored\n", ""),
        )


async def test_what_is_old_enough_is_erased_without_asking_for_cron(place: Place) -> None:
    async with serving(place.data_dir, environ=place.environ) as service, aiohttp.ClientSession(service.url) as client:
        old = {await submitted(client, received_at=ago(days)) for days in (365.1, 366, 900)}
        young = {await submitted(client, received_at=ago(days)) for days in (0, 1, 364.9)}
        assert await stored(client) == old | young
        told = "3 inquiries older than 365d are stored\n3 inquiries erased\n"
        assert await place.erase("--older-than", "365d", "--yes") == (0, told, "")
        assert await stored(client) == young
        async with client.get("/api/v1/stats?days=366") as answer:
            assert (await answer.json())["total_inquiries"] == 3


async def test_those_named_are_erased_and_what_is_not_there_is_not_counted(place: Place) -> None:
    async with serving(place.data_dir, environ=place.environ) as service, aiohttp.ClientSession(service.url) as client:
        one, two, three = [await submitted(client) for _ in range(3)]
        named = [word for each in (one.upper(), NOWHERE, two, two) for word in ("--inquiry", each)]
        told = "2 inquiries by these ids are stored\n2 inquiries erased\n"
        assert await place.erase(*named, "--yes") == (0, told, "")
        assert await stored(client) == {three}


async def test_many_are_erased_in_turns_with_a_service_that_stores(place: Place) -> None:
    async with serving(place.data_dir, environ=place.environ) as service, aiohttp.ClientSession(service.url) as client:
        lines = "".join(
            f'{{"body": "old", "sender_email": "a@example.org", "received_at": "{ago(400)}"}}\n' for _ in range(1200)
        )
        headers = {"Content-Type": "application/x-ndjson"}
        async with client.post(f"{INQUIRIES}/bulk", data=lines.encode(), headers=headers) as answer:
            assert (await answer.text()).count('"inquiry_id"') == 1200
        erasing = asyncio.create_task(place.erase("--older-than", "365d", "--yes"))
        fresh = set()
        while not erasing.done():
            fresh.add(await submitted(client))
        code, out, err = await erasing
        assert (code, out.splitlines()[-1], err) == (0, "1,200 inquiries erased", "")
        async with client.get("/api/v1/stats?days=366") as answer:
            assert (await answer.json())["total_inquiries"] == len(fresh)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "say which inquiries"),
        (("--sender", "ana@example.org", "--older-than", "1d"), "one of the three"),
        (("--sender", "ana"), "no e-mail address"),
        (("--inquiry", "x"), "not a valid UUID"),
        (("--older-than", "soon"), "no stretch of time"),
    ],
)
def test_what_can_not_be_meant_is_wrong_usage(options: Sequence[str], told: str, tmp_path: Path) -> None:
    code, out, err = run_command("erase", "--data-dir", str(tmp_path), "--yes", *options)
    assert (code, out) == (2, "")
    assert told in err


def test_where_nothing_is_stored_nothing_is_made(tmp_path: Path) -> None:
    code, out, err = run_command("erase", "--data-dir", str(tmp_path / "wrong"), "--older-than", "1d", "--yes")
    assert (code, out) == (2, "")
    assert "does not exist" in err
    assert not (tmp_path / "wrong").exists()


def test_a_store_that_only_its_service_sees_is_refused(tmp_path: Path) -> None:
    environ = {"INQUIRY_STORE__PROVIDER": "memory"}
    code, _, err = run_command("erase", "--data-dir", str(tmp_path), "--older-than", "1d", "--yes", environ=environ)
    assert (code, "can't be read from outside the service" in err) == (2, True)


async def test_what_was_erased_before_it_failed_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as service, aiohttp.ClientSession(service.url) as client:
        await submitted(client)
        with closing(sqlite3.connect(tmp_path / "inquiries.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            environ = {"INQUIRY_STORE__SQLITE__BUSY_TIMEOUT_S": "0.1"}
            arguments = ("erase", "--data-dir", str(tmp_path), "--sender", "ana@example.org", "--yes")
            code, out, err = await asyncio.to_thread(run_command, *arguments, environ=environ)
        assert code in (1, 2)
        assert out.endswith("0 inquiries erased\n")
        assert err.count("\n") == 1
        assert len(await stored(client)) == 1
