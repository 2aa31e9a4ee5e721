"""`inquiry-svc score` says the same of an archive in one process, in several, and when one of those is killed."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest

from inquiry_svc_plugins.classifiers import xgboost
from tests.acceptance.serving import COMMAND, child_environ, install_plugin, run_command

CORPUS: Final = xgboost.PACKAGED_MODEL.with_name("corpus")
LINES: Final = b"".join(file.read_bytes() for file in sorted(CORPUS.glob("*.jsonl"))).splitlines(keepends=True)
LIMIT_S: Final = 100.0

DEADLY: Final = '''
"""A classifier that ends the process over a text."""
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from inquiry_svc.contracts import Provider
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Model, Verdict

@dataclass(frozen=True)
class Settings:
    pass

class Deadly:
    model = Model("deadly", "1", "digest")

    async def classify(self, texts):
        if any(text.body == "die" for text in texts):
            os._exit(3)
        return [Verdict.from_scores([1.0, 0, 0, 0, 0, 0, 1.0, 0, 0, 1.0, 0, 0, 0])] * len(texts)

@asynccontextmanager
async def opened(settings, host):
    yield Deadly()

@hookimpl
def register_classifiers():
    yield Provider("deadly", opened, Settings)
'''


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "archive.jsonl"
    file.write_bytes(b"".join([*LINES, b"no JSON\n", *LINES]))
    return file


def scored(*arguments: str | Path) -> bytes:
    out = Path(arguments[0]).with_name("scored.jsonl")
    code, said, err = run_command("score", *map(str, arguments), "--out", str(out))
    assert (code, err) == (0, ""), err
    assert said.startswith(f"{out}: ")
    assert [file for file in out.parent.iterdir() if file.suffix == ".part"] == []
    return out.read_bytes()


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=child_environ(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_each_line_is_scored_as_classify_says_and_gzip_makes_no_difference(tmp_path: Path) -> None:
    texts = [" ".join(json.loads(line)["body"].split()) for line in LINES[::100]]
    archive = tmp_path / "archive.jsonl"
    archive.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    found = [json.loads(line) for line in scored(archive).splitlines()]
    assert [each.pop("line") for each in found] == list(range(1, len(texts) + 1))
    _, out, _ = run_command("classify", "--json", "-", stdin="\n".join(texts))
    said = [json.loads(line) for line in out.splitlines()]
    for each in said:
        each.pop("scores")
    assert found == [{"file": str(archive), "inquiry_id": None, **each} for each in said]
    zipped = archive.with_name("archive.jsonl.gz")
    zipped.write_bytes(gzip.compress(archive.read_bytes()))
    assert scored(zipped).replace(b".jsonl.gz", b".jsonl") == scored(archive)


def test_what_fails_leaves_the_file_that_was_there(archive: Path) -> None:
    out, broken = archive.with_name("out"), archive.with_name("broken.jsonl.gz")
    out.write_text("as it was")
    broken.write_bytes(gzip.compress(archive.read_bytes())[:-100])
    code, said, err = run_command("score", str(archive), str(broken), "--out", str(out))
    assert (code, said) == (2, "")
    assert err.startswith(f"inquiry-svc: {broken} can't be read: ")
    assert out.read_text() == "as it was"
    assert sorted(file.name for file in archive.parent.iterdir()) == ["archive.jsonl", "broken.jsonl.gz", "out"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "2"], "--workers and --scheduler go with --engine dask"),
        (["--engine", "dask", "--workers", "2", "--scheduler", "tcp://a:1"], "exclude each other"),
        (["--engine", "dask", "--scheduler", "nonsense"], "--scheduler nonsense is no address"),
        (["--out", "archive.jsonl"], "is one of the archives"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    options: list[str], said: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(archive.parent)
    code, _, err = run_command("score", str(archive), "--out", "out", *options)
    assert code == 2
    assert said in err


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    def peak_mib(times: int) -> float:
        file = tmp_path / "archive.jsonl"
        with file.open("wb") as target:
            for _ in range(times):
                target.writelines(LINES)
        process = subprocess.Popen([COMMAND, "score", str(file), "--out", str(tmp_path / "out")], env=child_environ())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss / 1024

    assert peak_mib(4) - peak_mib(1) < 10, "39,000 lines more are 13 MB, and 14 MB of answers"


def test_a_killed_worker_loses_nothing(archive: Path) -> None:
    expected = scored(archive)
    out = archive.with_name("of-many.jsonl")
    part = out.with_name("of-many.jsonl.part")
    with running(COMMAND, "score", str(archive), "--out", str(out), "--engine", "dask", "--workers", "2") as process:
        deadline = time.monotonic() + LIMIT_S
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        workers = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if any("spawn_main" in word for word in child.cmdline())
        ]
        assert len(workers) == 2
        workers[0].kill()
        _, err = process.communicate(timeout=LIMIT_S)
        assert (process.returncode, err) == (0, b"")
    assert out.read_bytes() == expected
    assert not any(worker.is_running() for worker in workers)


def test_a_line_that_ends_every_worker_is_told_of_and_nothing_is_written(tmp_path: Path) -> None:
    install_plugin(tmp_path, "deadly", DEADLY)
    archive, out = tmp_path / "archive.jsonl", tmp_path / "out"
    archive.write_text('{"body": "live"}\n{"body": "die"}\n')
    environ = {"PYTHONPATH": str(tmp_path), "INQUIRY_CLASSIFIER__PROVIDER": "deadly"}
    code, _, err = run_command("score", str(archive), "--out", str(out), "--engine", "dask", environ=environ)
    assert (code, out.exists()) == (1, False)
    told = f"{archive}, lines 1 to 2: each worker that took them ended; score them alone to see why"
    assert err == f"inquiry-svc: {told}\n"


def test_an_existing_scheduler_and_its_workers_say_the_same(archive: Path) -> None:
    where = archive.with_name("scheduler.json")
    dask = [sys.executable, "-m"]
    with (
        running(
            *dask, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(where),
        ),
        running(
            *dask, "distributed.cli.dask_worker", "--scheduler-file", str(where), "--nthreads", "2", "--no-nanny",
            "--no-dashboard", "--local-directory", str(archive.parent),
        ),
    ):  # fmt: skip
        deadline = time.monotonic() + LIMIT_S
        while not where.exists() or not where.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        address = json.loads(where.read_text())["address"]
        by_cluster = scored(archive, "--engine", "dask", "--scheduler", address)
    assert by_cluster == scored(archive)
