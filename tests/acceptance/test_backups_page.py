"""The commands of docs/backups.md do what it says, as they stand there, beside a real service and real servers."""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.acceptance.serving import child_environ, serving
from tests.acceptance.test_backups import figures, more_acknowledged, require_served
from tests.acceptance.test_kill import Book, submit
from tests.acceptance.test_workers_kill import load
from tests.servers.postgres import PostgresServer, postgres_server

PAGE: Final = (Path(__file__).parents[2] / "docs/backups.md").read_text()
SECTIONS: Final = {
    title: re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for title, text in re.findall(r"^##+ (.+)\n((?:(?!^##).*\n)*)", PAGE, re.MULTILINE)
}
SERVE: Final = re.compile(r"^.*inquiry-svc serve.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs the page's commands in a folder, and with them on the path."""

    folder: Path
    server: PostgresServer | None = None
    role: str = "postgres"

    def bash(self, script: str) -> str:
        """What a script prints that knows what the page exported. Raises where one of its commands fails."""
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]
        exported = ""
        if self.server:
            path.insert(0, str(self.server.bin))
            address = f"postgresql://{self.role}@127.0.0.1:{self.server.port}"
            (exports,) = SECTIONS["PostgreSQL"]
            exported, changes = re.subn("(?<=SERVER=).*", address, exports, count=1)
            assert changes
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", exported + script],
            cwd=self.folder,
            env=child_environ({"PATH": ":".join(path)}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout

    def run(self, title: str) -> str:
        """What all commands of this section print, but for those that serve."""
        return self.bash("".join(SERVE.sub("", block) for block in SECTIONS[title]))

    def environ_of_service(self, title: str) -> Mapping[str, str]:
        """What the command of this section that serves finds in its environment."""
        (line,) = (line for block in SECTIONS[title] for line in SERVE.findall(block))
        found = self.bash(re.sub("inquiry-svc serve.*", "env -0", line)).split("\0")
        return dict(each.split("=", 1) for each in found if each.startswith("INQUIRY_"))


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


async def test_the_embedded_store_is_backed_up_and_restored_on_another_machine(tmp_path: Path) -> None:
    machine, other = Shell(tmp_path / "machine"), Shell(tmp_path / "other")
    book = Book(random.Random(1))
    for shell in (machine, other):
        shell.folder.mkdir()
    async with serving(machine.folder / "inquiry-data") as service, load(service.url, book):
        await more_acknowledged(book)
        before = dict(book.acknowledged)
        told = await asyncio.to_thread(machine.run, "Back up")
    (example,) = re.findall(r"^```\n(inquiries-.*\n)```", PAGE, re.MULTILINE)
    assert without_figures(told) == without_figures(example)
    shown = figures(told)
    assert figures(machine.run("Check")) == shown
    (backup,) = machine.folder.glob("inquiries-*.sqlite3")
    backup.rename(other.folder / backup.name)
    assert figures(other.run("Restore")) == shown
    async with serving(other.folder / "inquiry-data", environ=other.environ_of_service("Restore")) as service:
        await require_served(service.url, before)


def without_figures(line: str) -> str:
    return re.sub(r"[0-9a-f]{32}|\d+", "0", line)


async def test_a_dump_of_postgres_holds_all_that_was_acknowledged_and_is_put_back_on_a_new_server(
    server: PostgresServer, tmp_path: Path
) -> None:
    book, shell = Book(random.Random(1)), Shell(tmp_path, server)
    with server.database("inquiries"):
        async with serving(tmp_path, environ=shell.environ_of_service("Put back")) as service, load(service.url, book):
            await more_acknowledged(book)
            before = dict(book.acknowledged)
            await asyncio.to_thread(shell.run, "Dump")
            await more_acknowledged(book)
    with postgres_server() as new:
        shell = Shell(tmp_path, new)
        shell.run("Put back")
        counts = new.sql(
            "SELECT (SELECT count(*) FROM outcomes), (SELECT count(*) FROM inquiries), "
            "(SELECT count(*) FROM predictions), (SELECT count(*) FROM routing_decisions)",
            "inquiries",
        )
        assert len(set(counts.split("|"))) == 1, counts
        assert len(before) <= int(counts.split("|")[0]) < len(book.acknowledged)
        subjects = dict(
            row.split("|") for row in new.sql("SELECT inquiry_id, subject FROM inquiries", "inquiries").splitlines()
        )
        assert before.items() <= subjects.items(), "acknowledged before the dump began, and not in it"
        async with serving(tmp_path, environ=shell.environ_of_service("Put back")) as service:
            await require_served(service.url, before)
            await go_on(service.url, book, before)


async def go_on(url: str, book: Book, before: Mapping[str, str]) -> None:
    """A retry gets what was stored, a new inquiry is stored, and its feedback gets the number after the last."""
    key = next(key for key, inquiry_id in book.id_of_key.items() if inquiry_id in before)
    async with aiohttp.ClientSession(url) as session:
        await submit(session, book, before[book.id_of_key[key]], key)
        await submit(session, book, "after the restore", None)
        for category in ("sales", "legal"):
            address = f"/api/v1/inquiries/{book.id_of_key[key]}/feedback"
            async with session.post(address, json={"category": category}) as answer:
                assert (await answer.json())["feedback"]["category"] == category


async def test_the_drill_restores_row_for_row_what_the_database_held_while_a_service_wrote(
    server: PostgresServer, tmp_path: Path
) -> None:
    book, shell = Book(random.Random(1)), Shell(tmp_path, server)
    *restore, last = SECTIONS["Drill"]
    assert SERVE.search(last), "the last block serves, and cleans up"
    with server.database("inquiries"):
        environ = shell.environ_of_service("Put back")
        async with serving(tmp_path, environ=environ) as service, load(service.url, book):
            await more_acknowledged(book)
            before = dict(book.acknowledged)
            await review(service.url, [*before][-1])
            assert await asyncio.to_thread(shell.bash, "".join(restore)) == "", "diff prints nothing"
        after = (tmp_path / "after.txt").read_text().splitlines()
        held = {name: int(count) for name, count, _ in (line.split("|") for line in after)}
        assert held.keys() == {
            *("inquiries", "predictions", "routing_decisions"),
            *("feedback", "reviews", "notices", "idempotency_keys"),
        }
        assert held["feedback"] == 1
        assert len(before) <= held["inquiries"] == held["predictions"] == held["routing_decisions"]
        drill = shell.environ_of_service("Drill")
        assert drill["INQUIRY_STORE__POSTGRES__URL"] == server.url("inquiries_drill")
        async with serving(tmp_path, environ=drill) as service:
            await require_served(service.url, before)
        shell.bash(SERVE.sub("", last))
    assert server.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'inquiries%'") == "0"


async def test_the_digest_of_the_drill_tells_a_single_changed_row(server: PostgresServer, tmp_path: Path) -> None:
    shell = Shell(tmp_path, server)
    with server.database("inquiries"):
        environ = shell.environ_of_service("Put back")
        async with serving(tmp_path, environ=environ) as service, aiohttp.ClientSession(service.url) as session:
            book = Book(random.Random(1))
            for number in range(3):
                await submit(session, book, f"inquiry {number}", f"key {number}")
            await review(service.url, next(iter(book.acknowledged)))
        contents = next(block for block in SECTIONS["Drill"] if "cat > contents.sql" in block)
        count = 'psql -qAt --file=contents.sql --dbname="$INQUIRY_STORE__POSTGRES__URL"'
        seen = {shell.bash(f"{contents}{count}")}
        for change in (
            "UPDATE inquiries SET body = body || '!' WHERE subject = 'inquiry 1'",
            "UPDATE predictions SET scores = '\\x00' WHERE inquiry_id IN (SELECT inquiry_id FROM feedback)",
            "UPDATE routing_decisions SET sla_due_at = sla_due_at + interval '1 microsecond'",
            "UPDATE feedback SET reviewer = 'Ana'",
            "UPDATE idempotency_keys SET fingerprint = 'f' WHERE value = 'key 2'",
            "INSERT INTO reviews SELECT inquiry_id, timestamp, timestamp, '[]' FROM inquiries LIMIT 1",
            "INSERT INTO notices (notice_id, notifier, kind, inquiry_id, created_at, waiting_since, due_at) "
            "SELECT inquiry_id, 'chat', 'triaged', inquiry_id, timestamp, timestamp, timestamp FROM inquiries LIMIT 1",
        ):
            server.sql(change, "inquiries")
            seen.add(shell.bash(count))
        assert len(seen) == 8


async def review(url: str, inquiry_id: str) -> None:
    async with (
        aiohttp.ClientSession(url) as session,
        session.post(f"/api/v1/inquiries/{inquiry_id}/feedback", json={"category": "sales"}) as answer,
    ):
        assert answer.status == 200
