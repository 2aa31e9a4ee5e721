"""A file of log lines has a bounded size, whoever writes to it, and no line is lost or torn while it is rotated."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Final

import pytest

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.log_files import LogFile
from inquiry_svc.logs import logging_to
from inquiry_svc.settings import LoggingSettings

WRITER: Final = """
import sys
from pathlib import Path
from inquiry_svc.log_files import LogFile
file = LogFile(Path(sys.argv[1]), max_bytes=2000, count=200)
for number in range(1500):
    file.write(f"{sys.argv[2]} {number} {'x' * 50}\\n")
"""


def test_only_so_many_files_of_a_bounded_size_are_kept(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "app.log", max_bytes=100, count=3)
    for number in range(100):
        file.write(f"line {number:04}\n")
    file.close()
    found = sorted(tmp_path.iterdir())
    assert [each.name for each in found] == ["app.log", "app.log.1", "app.log.2"]
    assert [each.stat().st_size for each in found] == [100, 100, 100]
    assert "".join(each.read_text() for each in reversed(found)).split("\n")[:-1] == [
        f"line {number:04}" for number in range(70, 100)
    ]


def test_of_one_file_alone_what_is_over_is_forgotten(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "app.log", max_bytes=10, count=1)
    for number in range(5):
        file.write(f"line {number:04}\n")
    file.close()
    assert [each.read_text() for each in tmp_path.iterdir()] == ["line 0004\n"]


def test_a_file_that_cannot_be_rotated_grows_on_and_holds_up_nobody(tmp_path: Path) -> None:
    (tmp_path / "app.log.1").mkdir()
    (tmp_path / "app.log.1" / "in the way").touch()
    one, other = (LogFile(tmp_path / "app.log", max_bytes=10, count=2) for _ in range(2))
    for number in range(4):
        for file in (one, other):
            file.write(f"line {number:04}\n")
    assert (tmp_path / "app.log").read_text().count("line") == 8
    for file in (one, other):
        file.close()


def test_processes_that_write_to_one_file_lose_and_tear_no_line_over_its_rotations(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "app.log"), str(number)]) for number in range(3)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 3
    lines = [line.split() for each in tmp_path.iterdir() for line in each.read_text().splitlines()]
    assert sorted((int(line[0]), int(line[1])) for line in lines) == [
        (writer, number) for writer in range(3) for number in range(1500)
    ]
    assert {line[2] for line in lines} == {"x" * 50}
    assert len(list(tmp_path.iterdir())) > 3


def test_a_file_that_somebody_has_moved_is_begun_anew(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "app.log", max_bytes=1000, count=2)
    file.write("one\n")
    (tmp_path / "app.log").rename(tmp_path / "moved")
    file.write("two\n")
    file.close()
    assert [(tmp_path / name).read_text() for name in ("moved", "app.log")] == ["one\n", "two\n"]


def test_lines_go_to_the_stream_and_as_json_to_the_file(tmp_path: Path) -> None:
    stream = StringIO()
    with logging_to(stream, LoggingSettings(file=str(tmp_path / "app.log"), format="auto")):
        logging.getLogger("inquiry_svc.test").warning("a lone \udc80 and %s", "more")
    [line] = (tmp_path / "app.log").read_text().splitlines()
    assert json.loads(line)["logger"] == "inquiry_svc.test"
    assert stream.getvalue().count("\n") == 1


def test_a_file_that_can_not_be_written_is_named_with_the_cure(tmp_path: Path) -> None:
    settings = LoggingSettings(file=str(tmp_path / "missing" / "app.log"))
    wanted = r"missing/app\.log' can't be written: .*; set logging\.file"
    with pytest.raises(ConfigurationError, match=wanted), logging_to(StringIO(), settings):
        pass
