"""`inquiry-svc keys` makes what a running service takes; `serve` refuses to be open to others without."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from inquiry_svc.logs import AUDIT
from tests.acceptance.serving import Serving, run_command, serving
from tests.api_keys import bearing
from tests.servers import free_port

KEY: Final = re.compile(r"inq_[0-9a-f]{8}_[0-9a-f]{64}\n")
INQUIRY: Final = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}


def create(file: Path, *arguments: str) -> str:
    code, out, err = run_command("keys", "create", *arguments, "--file", str(file))
    assert (code, bool(KEY.fullmatch(out))) == (0, True), err
    return out.strip()


def refusal(*arguments: str) -> str:
    code, out, err = run_command("keys", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


def test_a_key_is_shown_once_and_its_hash_alone_is_kept_where_nobody_else_may_read(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    key = create(file, "website", "--scope", "submit", "--scope", "read")
    assert key[13:] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run_command("keys", "list", "--file", str(file)) == (0, f"website  submit,read  {key[4:12]}\n", "")


def test_one_more_key_of_a_name_may_do_the_same_unless_told_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    tomorrow = str(datetime.now(UTC).date() + timedelta(days=1))
    first = create(file, "website", "--scope", "submit", "--scope", "read")
    second = create(file, "website", "--expires", tomorrow)
    third = create(file, "website", "--scope", "read")
    _, listed, _ = run_command("keys", "list", "--file", str(file))
    assert [line.split() for line in listed.splitlines()] == [
        ["website", "submit,read", first[4:12]],
        ["website", "submit,read", second[4:12], "until", tomorrow],
        ["website", "read", third[4:12]],
    ]


def test_a_key_is_taken_back_and_all_else_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# Who may call. Ask ops.\n")
    first, second = create(file, "a", "--scope", "read"), create(file, "b", "--scope", "read")
    file.write_text(file.read_text() + f"# {first[4:12]} was Ana's\n")
    file.chmod(0o640)
    before, inode = file.read_text(), file.stat().st_ino
    assert run_command("keys", "revoke", first[4:12], "--file", str(file)) == (0, "", "")
    assert file.read_text() == before.replace("sha256:", "revoked", 1)
    assert (file.stat().st_ino, stat.S_IMODE(file.stat().st_mode)) == (inode, 0o640), "it may be mounted somewhere"
    assert run_command("keys", "list", "--file", str(file)) == (0, f"b  read  {second[4:12]}\n", "")
    assert "no key has the id" in refusal("revoke", first[4:12], "--file", str(file))


def test_what_can_not_be_is_told_in_one_line(tmp_path: Path) -> None:
    file = str(tmp_path / "keys")
    assert "give it a --scope" in refusal("create", "website", "--file", file)
    assert "key name 'web site'" in refusal("create", "web site", "--scope", "read", "--file", file)
    assert "is not one of" in refusal("create", "website", "--scope", "write", "--file", file)
    assert "is over" in refusal("create", "website", "--scope", "read", "--expires", "2001-01-01", "--file", file)
    assert "No such file" in refusal("list", "--file", file)
    assert "name it with --file, or set auth.keys_file" in refusal("list")
    assert not Path(file).exists()


async def status(url: str, path: str, key: str | None = None) -> int:
    headers = {} if key is None else bearing(key)
    async with aiohttp.ClientSession(url, headers=headers) as client, client.get(path) as answer:
        return answer.status


async def test_every_worker_takes_a_change_up_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    old = create(file, "website", "--scope", "read")
    environ = {"INQUIRY_AUTH__KEYS_FILE": str(file), "INQUIRY_SERVER__ADMIN_PORT": "0"}
    async with serving(tmp_path / "data", "--workers", "2", environ=environ) as service:
        new = await asyncio.to_thread(create, file, "website")
        for key, wanted in ((old, 200), (new, 200)):
            await until_all(service, key, wanted)
        code, _, _ = await asyncio.to_thread(
            run_command, "keys", "revoke", old[4:12], environ={"INQUIRY_AUTH__KEYS_FILE": str(file)}
        )
        assert code == 0
        await until_all(service, old, 401)
        await until_all(service, new, 200)
        service.signal(signal.SIGTERM)
        assert await service.exit_code(within_s=20) == 0
    changes = [line for line in service.logged() if line["logger"] == AUDIT]
    assert {(line["worker"], *line["added"], *line["removed"]) for line in changes} == {
        (worker, f"website {key[4:12]}") for worker in (1, 2) for key in (old, new)
    }
    assert not [key for key in (old, new) if key[13:] in "".join(service.lines)]


async def until_all(service: Serving, key: str, wanted: int) -> None:
    """Until twenty new connections in a row, which the workers share, are answered so."""
    in_a_row = 0
    async with asyncio.timeout(20):
        while in_a_row < 20:
            in_a_row = in_a_row + 1 if await status(service.url, "/api/v1/stats", key) == wanted else 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_does_not_serve_others_unless_there_are_keys_or_it_is_told_to(tmp_path: Path, workers: str) -> None:
    options = ("serve", "--port", str(free_port()), "--data-dir", str(tmp_path), "--workers", workers)
    code, _, err = run_command(*options, "--host", "0.0.0.0")
    assert code == 2, err
    assert "server.host 0.0.0.0 can be reached from elsewhere and there are no API keys: set auth.keys_file" in err
    assert "auth.anyone_may_call" in err


async def test_it_serves_others_with_keys_and_when_told_that_something_in_front_asks(tmp_path: Path) -> None:
    key = create(tmp_path / "keys", "website", "--scope", "read")
    for environ, without in (
        ({"INQUIRY_AUTH__KEYS_FILE": str(tmp_path / "keys")}, 401),
        ({"INQUIRY_AUTH__ANYONE_MAY_CALL": "true"}, 200),
    ):
        async with serving(tmp_path / "data", "--host", "0.0.0.0", environ=environ) as service:
            url = service.url.replace("0.0.0.0", "127.0.0.1")
            assert await status(url, "/api/v1/stats") == without
            assert await status(url, "/api/v1/stats", key) == 200
            asked = await asyncio.to_thread(run_command, "health", "--url", url)
            assert asked == (0, "ready\n", ""), "whoever asks for health needs no key"


def test_the_doctor_tells_of_keys_that_expire_soon_and_of_a_file_that_is_wrong(tmp_path: Path) -> None:
    file, today = tmp_path / "keys", datetime.now(UTC).date()
    environ = {"INQUIRY_AUTH__KEYS_FILE": str(file), "INQUIRY_SERVER__PORT": str(free_port())}

    def told() -> list[dict[str, str]]:
        _, out, _ = run_command("doctor", "--json", "--folder", str(tmp_path), environ=environ)
        return [each for each in json.loads(out)["findings"] if each["check"] == "API keys"]

    create(file, "website", "--scope", "submit", "--expires", str(today + timedelta(days=30)))
    assert told()[0]["says"] == "API keys: 1, none expires within 14 days"
    soon = create(file, "website", "--expires", str(today + timedelta(days=10)))
    [found] = told()
    assert (found["state"], soon[4:12] in found["says"], "keys create website" in found["cure"]) == ("look", True, True)
    file.write_text("nonsense")
    assert [(each["state"], "line 1" in each["says"]) for each in told()] == [("wrong", True)]


async def test_doctor_and_dashboard_read_metrics_with_the_key_of_the_client(tmp_path: Path) -> None:
    metrics, other = (create(tmp_path / "keys", scope, "--scope", scope) for scope in ("metrics", "read"))
    environ = {"INQUIRY_AUTH__KEYS_FILE": str(tmp_path / "keys")}
    async with serving(tmp_path / "data", environ=environ) as service:
        (tmp_path / "key").write_text(f"{metrics}\n")
        doctor = ("doctor", "--url", service.url, "--data-dir", str(tmp_path / "data"), "--folder", str(tmp_path))
        for given, found in (
            ({"INQUIRY_CLIENT__KEY_FILE": str(tmp_path / "key")}, "samples of"),
            ({"INQUIRY_CLIENT__KEY": other}, "answers 403: set client.key"),
            ({}, "answers 401: set client.key"),
        ):
            _, out, err = await asyncio.to_thread(run_command, *doctor, environ=given)
            assert found in out, err
            assert not [key for key in (metrics, other) if key[13:] in out + err]
