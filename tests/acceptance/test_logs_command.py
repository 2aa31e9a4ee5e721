"""`inquiry-svc logs` as people use it: files, pipes, a reader that has enough, a log that grows, wrong words."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.serving import COMMAND, child_environ, run_command

NOW = datetime.now(UTC)


def line(message: str, *, level: str = "ERROR", minutes_ago: float = 0, **more: Any) -> str:
    at = (NOW - timedelta(minutes=minutes_ago)).isoformat()
    return json.dumps({"timestamp": at, "level": level, "logger": "inquiry_svc.x", "message": message, **more}) + "\n"


def test_files_gzipped_or_not_are_read_in_turn_and_what_is_none_of_ours_is_told_of(tmp_path: Path) -> None:
    old, new = tmp_path / "app.log.1.gz", tmp_path / "app.log"
    old.write_bytes(gzip.compress(line("first").encode()))
    new.write_text("Traceback (most recent call last):\n" + line("second") + line("fine", level="INFO"))
    code, out, err = run_command("logs", "errors", str(old), str(new))
    assert (code, err) == (0, "inquiry-svc: passed over what is no log line of the service: 1\n")
    assert [shown.split()[-1] for shown in out.splitlines()] == ["first", "second"]


def test_a_pipe_is_read_with_and_without_a_dash() -> None:
    for files in ([], ["-"]):
        code, out, err = run_command("logs", "slow", "--over", "500ms", *files, stdin=line("x", duration_s=0.6))
        assert (code, err, out.count("0.600 s")) == (0, "", 1)


def test_since_is_a_time_ago_or_a_moment() -> None:
    lines = line("old", minutes_ago=120) + line("new")
    for since in ("1h", "60m", "3600", (NOW - timedelta(hours=1)).isoformat(), f"{NOW - timedelta(hours=1):%FT%T}"):
        assert run_command("logs", "errors", "--since", since, stdin=lines)[1].split()[-1] == "new", since
    assert run_command("logs", "errors", "--since", f"{'9' * 400}d", stdin=lines)[1].count("\n") == 2


def test_an_error_is_shown_with_what_is_behind_it_and_where_to_look_further() -> None:
    exception = [
        {"type": "StoreUnavailable", "message": "gone", "where": ["a.py:1 f", "b.py:2 g"]},
        {"type": "OSError", "where": []},
    ]
    found = line("not stored", exception=exception, request_id="r1", trace_id="ab" * 16, worker=2)
    first, *rest = run_command("logs", "errors", stdin=found)[1].splitlines()
    assert first == f"{NOW:%Y-%m-%d %H:%M:%S}  ERROR     inquiry_svc.x  not stored"
    assert rest == [
        "    StoreUnavailable: gone, at b.py:2 g",
        "    OSError, at ?",
        f"    request_id r1  trace_id {'ab' * 16}  worker 2",
    ]


def test_kinds_can_be_had_as_json() -> None:
    lines = line("3 of 8 failed") + line("4 of 8 failed") + line("other")
    _, out, _ = run_command("logs", "errors", "--top", "1", "--json", stdin=lines)
    [kind] = [json.loads(each) for each in out.splitlines()]
    assert (kind["count"], kind["last"]["message"]) == (2, "4 of 8 failed")


@pytest.mark.parametrize(
    "strange",
    [
        {"message": "\x1b[31mred\u202e\nline"},
        {"exception": [{"type": 1, "where": "x", "message": None}, {"where": {"a": 1}}, "y", []]},
        {"logger": None, "message": None, "exception": {}, "request_id": ["\x07"]},
    ],
)
def test_strange_lines_are_shown_without_harm(strange: dict[str, Any]) -> None:
    for options in ([], ["--top", "3"]):
        found = json.dumps({"timestamp": NOW.isoformat(), "level": "ERROR", **strange})
        code, out, err = run_command("logs", "errors", *options, stdin=found)
        assert (code, err) == (0, "")
        assert all(each.isprintable() or each == "\n" for each in out)


def test_a_reader_that_has_enough_hears_no_complaint(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_text(line("x" * 200) * 5000)
    script = f"'{COMMAND}' logs errors '{file}' | head -1 | wc -l"
    environ = child_environ()
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True, env=environ)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


async def test_a_log_that_grows_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "app.log"
    file.write_text(line("first"))
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "logs", "errors", "--follow", str(file)), stdout=asyncio.subprocess.PIPE, env=child_environ()
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert (await process.stdout.readline()).endswith(b"first\n")
            with file.open("a") as more:
                more.write(line("second"))
            assert (await process.stdout.readline()).endswith(b"second\n")
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["slow", "--over", "quickly"], "'quickly' is no duration; write 500ms, 2s, 15m, 1h or 7d"),
        (["errors", "--since", "yesterday"], "'yesterday' is no duration; write 500ms, 2s, 15m, 1h or 7d"),
        (["errors", "--level", "bad"], "'bad' is not one of"),
        (["errors", "--top", "0"], "0 is not in the range x>=1"),
        (["errors", "--follow"], "--follow takes one FILE, and no --top: that counts to an end"),
    ],
)
def test_wrong_words_are_told_in_a_line(arguments: list[str], said: str) -> None:
    code, out, err = run_command("logs", *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err


def test_a_file_that_is_not_there_is_told_in_a_line() -> None:
    code, out, err = run_command("logs", "errors", "/no/app.log")
    assert (code, out, err) == (1, "", "inquiry-svc: No such file or directory: /no/app.log\n")
