"""`inquiry-svc backup` and `restore` beside a real service: what was acknowledged is backed up, and served again."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from inquiry_svc.cli import run
from tests.acceptance.serving import install_plugin, run_command, serving
from tests.acceptance.test_kill import Book, look_into_the_database, submit
from tests.acceptance.test_workers_kill import load

FIGURES = re.compile(r"(?P<inquiries>\d+) inquiries, .*; \d+ bytes; content [0-9a-f]{32}")


async def command(*arguments: str) -> tuple[int, str, str]:
    """While this process's clients go on."""
    return await asyncio.to_thread(run_command, *arguments)


def figures(line: str) -> str:
    """What a backup, its check and its restore all show of one content."""
    found = FIGURES.search(line)
    assert found, line
    return found.group()


async def more_acknowledged(book: Book, count: int = 200) -> None:
    """Wait until the clients of `load` have so many more."""
    wanted = len(book.acknowledged) + count
    while len(book.acknowledged) < wanted:  # noqa: ASYNC110 (the clients' book rings no bell)
        await asyncio.sleep(0.01)


async def require_served(url: str, subjects: Mapping[str, str]) -> None:
    """A few of these: all are looked for in the file."""
    async with aiohttp.ClientSession(url) as session:
        for inquiry_id, subject in [*subjects.items()][-50:]:
            async with session.get(f"/api/v1/inquiries/{inquiry_id}") as answer:
                assert answer.status == 200, f"{inquiry_id} was acknowledged before the backup began, and is not in it"
                assert (await answer.json())["subject"] == subject


async def test_a_backup_under_load_holds_all_that_was_acknowledged_before_it_began(tmp_path: Path) -> None:
    book = Book(random.Random(1))
    backups: list[tuple[Path, dict[str, str], str]] = []
    async with serving(tmp_path / "data", "--workers", "2") as service, load(service.url, book):
        for number in range(3):
            before, backup = dict(book.acknowledged), tmp_path / f"backup {number}"
            code, told, error = await command("backup", str(backup), "--data-dir", str(tmp_path / "data"))
            assert (code, error, told.count("\n")) == (0, "", 1)
            assert len(book.acknowledged) > len(before), "nothing was submitted meanwhile: this proves nothing"
            backups.append((backup, before, figures(told)))
    look_into_the_database(tmp_path / "data" / "inquiries.sqlite3", book)

    assert len(backups[-1][1]) > len(backups[0][1])
    for backup, before, shown in backups:
        elsewhere = tmp_path / f"elsewhere {backup.name}"
        assert figures((await command("backup", "--verify", str(backup)))[1]) == shown
        code, told, error = await command("restore", str(backup), "--data-dir", str(elsewhere))
        assert (code, error, told.count("\n")) == (0, "", 1)
        assert told.startswith(f"{elsewhere / 'inquiries.sqlite3'}: {shown}; restored in ")
        assert told.endswith(" s; nothing was there before\n")
        held = Book(book.dice, acknowledged=before)
        look_into_the_database(elsewhere / "inquiries.sqlite3", held)
    async with serving(elsewhere) as service:
        await require_served(service.url, before)
        async with aiohttp.ClientSession(service.url) as session:
            key = next(key for key, inquiry_id in book.id_of_key.items() if inquiry_id in before)
            await submit(session, held, before[book.id_of_key[key]], key)
            assert held.id_of_key[key] == book.id_of_key[key], "a retry is to get what was stored"
            await submit(session, held, "after the restore", None)


async def test_a_restore_is_refused_while_a_service_serves_and_done_once_it_stopped(tmp_path: Path) -> None:
    data, backup, book = tmp_path / "data", tmp_path / "backup", Book(random.Random(1))
    restoring = ("restore", str(backup), "--data-dir", str(data))
    async with serving(data) as service, aiohttp.ClientSession(service.url) as session:
        await submit(session, book, "before", None)
        await command("backup", str(backup), "--data-dir", str(data))
        async with load(service.url, book):
            for _ in range(3):
                code, out, told = await command(*restoring)
                assert (code, out, told.count("\n")) == (1, "", 1)
                assert told.startswith(f"inquiry-svc: {data / 'inquiries.sqlite3'} is in use: stop the service")
        await require_served(service.url, book.acknowledged)
    code, told, _ = await command(*restoring)
    assert code == 0
    kept = Path(told.rstrip().rpartition("what was there before is in ")[2])
    assert figures(told).startswith("1 inquiries, ")
    assert figures((await command("backup", "--verify", str(kept)))[1]).startswith(f"{len(book.acknowledged)} inq")
    async with serving(data) as service:
        await require_served(service.url, dict(list(book.acknowledged.items())[:1]))


# In this process, which is quicker


class Commands:
    """Runs commands on one data folder, which holds an empty database."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture

    def refusal(self, code: int, *arguments: str) -> str:
        """The one line."""
        found = run([*arguments, "--data-dir", str(self.folder)])
        shown = self._capture.readouterr()
        assert (found, shown.out) == (code, ""), shown.err
        assert shown.err.startswith("inquiry-svc: ")
        assert shown.err.count("\n") == 1
        return shown.err.rstrip()

    def told(self, *arguments: str) -> str:
        assert run([*arguments, "--data-dir", str(self.folder)]) == 0
        shown = self._capture.readouterr()
        assert (shown.err, shown.out.count("\n")) == ("", 1)
        return shown.out.rstrip()


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Commands:
    commands = Commands(tmp_path / "data", capsys)
    commands.told("migrate")
    return commands


def test_a_backup_replaces_a_file_only_when_told_to(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    file.write_text("something dear")
    assert commands.refusal(2, "backup", str(file)) == (
        f"inquiry-svc: {file} exists: name another file, or replace it with --force"
    )
    assert file.read_text() == "something dear"
    assert figures(commands.told("backup", "--force", str(file))) == figures(
        commands.told("backup", "--verify", str(file))
    )


def test_each_refusal_is_one_line_with_its_exit_code(commands: Commands, tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    commands.told("backup", str(good))
    pages = good.read_bytes()
    bad.write_bytes(pages[:8192] + b"\xa5" * 4096 + pages[12288:])
    assert "bad is damaged" in commands.refusal(1, "backup", "--verify", str(bad))
    assert "bad is damaged" in commands.refusal(1, "restore", str(bad))
    assert "is no backup of this store" in commands.refusal(2, "restore", __file__)
    assert "can't be read: No such file or directory" in commands.refusal(2, "restore", str(tmp_path / "typo"))
    assert "can't be written: " in commands.refusal(2, "backup", "/proc/backup")
    assert "--force and --verify exclude each other" in commands.refusal(2, "backup", "--force", "--verify", str(good))
    assert "Missing argument 'FILE'" in commands.refusal(2, "backup")
    assert "Missing argument 'FILE'" in commands.refusal(2, "restore")
    commands.folder = tmp_path / "typo"
    assert "there is nothing to back up; name its folder with --data-dir" in commands.refusal(2, "backup", "x")


@pytest.mark.parametrize(
    ("store", "instead"),
    [
        ("postgres", "use pg_dump and pg_restore, as docs/backups.md tells"),
        ("memory", "it forgets at exit; choose sqlite or postgres to keep anything"),
    ],
)
def test_a_store_that_has_no_backups_here_says_what_to_use(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, store: str, instead: str
) -> None:
    monkeypatch.setenv("INQUIRY_STORE__PROVIDER", store)
    for arguments in (["backup", "x"], ["backup", "--verify", "x"], ["restore", "x"]):
        assert commands.refusal(2, *arguments) == f"inquiry-svc: store '{store}' has no backups here: {instead}"


def test_migrating_says_what_was_applied(commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert re.fullmatch(r"store 'sqlite': no migration was due; \d+\.\d\d s", commands.told("migrate"))
    commands.folder = tmp_path / "new"
    assert re.fullmatch(r"store 'sqlite': applied migration 1(, \d+)*; \d+\.\d\d s", commands.told("migrate"))
    monkeypatch.setenv("INQUIRY_STORE__PROVIDER", "memory")
    assert "store 'memory' has no schema: there is nothing to migrate" in commands.refusal(2, "migrate")


def test_a_store_whose_library_is_not_installed_is_told_the_command_that_mends_it(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_plugin(
        tmp_path,
        "needy_store",
        "from inquiry_svc.contracts import Provider\nfrom inquiry_svc.upkeep import Upkeep\n"
        "from inquiry_svc.hookspecs import hookimpl\n"
        "def migrate(settings, host):\n"
        "    import no_such_library\n"
        "@hookimpl\n"
        "def register_stores():\n"
        "    return [Provider('needy', None, extra='needy', upkeep=Upkeep(migrate))]\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("INQUIRY_STORE__PROVIDER", "needy")
    told = "store 'needy' needs no_such_library, which is not installed; pip install 'inquiry-svc[needy]'"
    assert told in commands.refusal(2, "migrate")
    assert "store 'needy' has no backups here: use what its own database offers" in commands.refusal(2, "backup", "x")
