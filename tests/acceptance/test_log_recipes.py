"""What monitoring/LOGS.md says to type, typed over the log of a service that has failed and been slow.

`docker` is a stand-in that gives this log as Compose would; `aws` asks a CloudWatch that moto plays.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from moto.server import ThreadedMotoServer

from tests.acceptance.serving import COMMAND, child_environ, install_plugin, serving

PAGE: Final = (Path(__file__).parents[2] / "monitoring/LOGS.md").read_text()
SECTIONS: Final = {
    title: re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for title, text in re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE)
}
GROUP: Final = "/ecs/inquiry-automation/api"
TROUBLE: Final = """
import asyncio
from aiohttp import web
from inquiry_svc.hookspecs import hookimpl

async def trouble(request):
    raise RuntimeError("as wanted")

async def slow(request):
    await asyncio.sleep(2.1)
    return web.Response()

@hookimpl
def register_routes(service):
    return [web.get("/trouble", trouble), web.get("/slow", slow)]
"""
DOCKER: Final = """#!/bin/sh
# docker compose logs [-f] [--no-log-prefix] [--since AGO] [SERVICE]
[ "$1 $2" = "compose logs" ] || exit 64
prefix="inquiry-svc-1  | "
for word; do [ "$word" = --no-log-prefix ] && prefix=; done
echo "${prefix}a line of something else"
while read -r line; do printf '%s%s\\n' "$prefix" "$line"; done < app.log
"""


@dataclass(frozen=True, slots=True)
class Shell:
    folder: Path
    environ: Mapping[str, str]

    def run(self, command: str) -> str:
        path = f"{self.folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=child_environ({"PATH": path, **self.environ}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of a real run: three errors, a slow request, a refused one."""
    folder = tmp_path_factory.mktemp("run")
    install_plugin(folder, "trouble", TROUBLE)

    async def run() -> list[str]:
        async with serving(folder / "data", environ={"PYTHONPATH": str(folder)}) as service:
            async with aiohttp.ClientSession(service.url) as client:
                for path, status in (*[("/trouble", 500)] * 3, ("/slow", 200), ("/nowhere", 404)):
                    async with client.get(path, headers={"X-Request-ID": f"of-{path}"}) as answer:
                        assert answer.status == status
            async with asyncio.timeout(20):
                while sum('"status"' in line for line in service.lines) < 5:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            return list(service.lines)

    return asyncio.run(run())


@pytest.fixture
def shell(tmp_path: Path, log: list[str]) -> Shell:
    (tmp_path / "app.log").write_text("".join(log))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(DOCKER)
    (tmp_path / "bin/docker").chmod(0o755)
    return Shell(tmp_path, {})


def commands(section: str) -> Iterator[str]:
    for block in SECTIONS[section]:
        for command in re.sub(r"\\\n\s*", "", block).splitlines():
            if not command.startswith("#"):
                yield command


def need_jq() -> None:
    if not shutil.which("jq"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no jq: apt-get install jq")


def as_lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def of_trouble(out: str) -> bool:
    """These are the three errors, in whatever form, and nothing else."""
    return out.count("was not served") == 3 and "/slow" not in out and "answered 404" not in out


def test_every_section_with_commands_is_tried_here() -> None:
    tried = {"Without jq", "To a file", "Docker Compose", "CloudWatch", "Errors by type", "Slow requests"}
    assert {title for title, blocks in SECTIONS.items() if blocks} == tried


def test_a_line_has_the_fields_of_the_page(log: list[str]) -> None:
    table = PAGE.split("\n## A line\n")[1].split("\n## ")[0]
    named = {
        name for row in table.splitlines() if row.startswith("| `") for name in re.findall("`(.*?)`", row.split("|")[1])
    }
    found = [json.loads(line) for line in log]
    always = {"timestamp", "level", "logger", "message", "module", "function", "line", "request_id"}
    assert all(always <= line.keys() for line in found)
    assert {name for line in found for name in line} <= named
    assert {"exception", "method", "endpoint", "status", "duration_s"} <= {name for line in found for name in line}


def test_without_jq(shell: Shell) -> None:
    every, counted, warnings, slow = commands("Without jq")
    assert of_trouble(shell.run(every))
    [kind] = shell.run(counted).splitlines()
    assert re.match(r" +3  last ....-..-.. ..:..:..  ERROR +inquiry_svc.web.edge  .*\(RuntimeError\)$", kind)
    assert {line["level"] for line in as_lines(shell.run(warnings))} == {"ERROR", "WARNING"}
    assert re.search(r"^ +1  last .*  longest +\d+\.\d{3} s  GET /slow$", shell.run(slow), re.MULTILINE)


def test_docker_compose(shell: Shell) -> None:
    need_jq()
    every, one, by_jq, without_jq = commands("Docker Compose")
    assert shell.run(every).count("was not served") == shell.run(one).count("was not served") == 3
    assert [line["level"] for line in as_lines(shell.run(by_jq))] == ["ERROR"] * 3
    assert of_trouble(shell.run(without_jq))


def test_errors_by_type(shell: Shell) -> None:
    need_jq()
    by_jq, without_jq, of_an_hour, of_an_hour_without, from_file, from_file_without = commands("Errors by type")
    assert shell.run(by_jq).split() == ["3", "inquiry_svc.web.edge", "RuntimeError"]
    assert shell.run(without_jq).split()[0] == "3"
    assert len(as_lines(shell.run(of_an_hour))) == len(as_lines(shell.run(from_file))) == 3
    assert of_trouble(shell.run(of_an_hour_without))
    assert of_trouble(shell.run(from_file_without))


def test_errors_of_long_ago_are_not_of_the_last_hour(shell: Shell, log: list[str]) -> None:
    need_jq()
    old = re.sub(r'"timestamp":"\d{4}', '"timestamp":"2020', "".join(log))
    (shell.folder / "app.log").write_text(old)
    *_, from_file, from_file_without = commands("Errors by type")
    assert shell.run(from_file) == shell.run(from_file_without) == ""


def test_slow_requests(shell: Shell) -> None:
    need_jq()
    by_jq, without_jq, routes = commands("Slow requests")
    # On a machine that is busy others may be slow too.
    assert re.search(r"^\d+\.\d+\tGET\t/slow\tof-/slow$", shell.run(by_jq), re.MULTILINE)
    assert re.search(r" \d+\.\d+ s  200  GET /slow  request_id of-/slow$", shell.run(without_jq), re.MULTILINE)
    assert re.search(r"^ +1  last .* GET /slow$", shell.run(routes), re.MULTILINE)


def test_cloudwatch(shell: Shell, log: list[str]) -> None:
    if not shutil.which("aws"):
        pytest.skip("no aws: pip install awscli")
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        address, port = server.get_host_and_port()
        aws = Shell(
            shell.folder,
            {
                "AWS_ENDPOINT_URL": f"http://{address}:{port}",
                "AWS_DEFAULT_REGION": "eu-central-1",
                "AWS_ACCESS_KEY_ID": "x",
                "AWS_SECRET_ACCESS_KEY": "x",
                "AWS_PAGER": "",
            },
        )
        events = [{"timestamp": int(time.time() * 1000), "message": line.strip()} for line in log]
        (shell.folder / "events.json").write_text(json.dumps(events))
        stream = f"--log-group-name {GROUP} --log-stream-name one"
        aws.run(f"aws logs create-log-group --log-group-name {GROUP}; aws logs create-log-stream {stream}")
        aws.run(f"aws logs put-log-events {stream} --log-events file://events.json")
        groups, tail, errors, slow = commands("CloudWatch")
        assert json.loads(aws.run(groups))["logGroups"][0]["logGroupName"] == GROUP
        assert tail == f"aws logs tail {GROUP} --follow", "of version 2, which is not on PyPI"
        assert len(as_lines(aws.run(errors))) == len(log), "moto does not judge patterns in braces"
        assert re.search(r"^ +1  last .* GET /slow$", aws.run(slow), re.MULTILINE)
    finally:
        server.stop()


async def test_a_file_that_is_emptied_meanwhile_goes_on_from_its_beginning(tmp_path: Path) -> None:
    [command] = commands("To a file")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"exec {command.replace('inquiry-svc serve', f'{COMMAND} serve --port 0')}"),
        cwd=tmp_path,
        env=child_environ(),
    )
    file = tmp_path / "app.log"
    try:
        async with asyncio.timeout(60):
            while not (found := re.search("serving on (http://[0-9.:]+)", written(file))):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            os.truncate(file, 0)  # what logrotate does with `copytruncate`, once it has copied
            async with aiohttp.ClientSession(found[1]) as client, client.get("/nowhere") as answer:
                assert answer.status == 404
            while not written(file).endswith("\n"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        [line] = as_lines(written(file))
        assert line["status"] == 404
    finally:
        process.kill()
        await process.wait()


def written(file: Path) -> str:
    return file.read_text() if file.exists() else ""
