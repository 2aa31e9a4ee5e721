"""compose.yaml run without an engine: `python -m tests.compose_stack FOLDER` in a network of its own. For tests alone.

Every service that can be had here is started by its own command, variables, secrets and mounts, below the folder, on
its own port; the names of the services lead to this machine. What came of it is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.acceptance.serving import COMMAND, child_environ
from tests.deployment import DEPLOY, compose, written_secrets
from tests.image import FINAL_ENVIRONMENT
from tests.servers.postgres import PostgresServer, as_nobody, binaries
from tests.servers.prometheus import program
from tests.servers.redis import redis_executable

SERVICES: Final[Mapping[str, Any]] = compose()["services"]
LIMIT_S: Final = 120.0
INQUIRY: Final = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}


def main(folder: Path) -> None:
    written_secrets(folder / "run/secrets")
    _lay_out(folder)
    hosts = folder / "hosts"
    hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *SERVICES)))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with ExitStack() as stack:
        stack.enter_context(_postgres(folder))
        for name, executable in (
            ("redis", redis_executable()),
            ("alertmanager", program("alertmanager")),
            ("prometheus", program("prometheus")),
        ):
            arguments = [word for word in SERVICES[name]["command"] if word != "redis-server"]
            stack.enter_context(_running(folder, name, [executable, *arguments]))
        stack.enter_context(_running(folder, "inquiry-svc", [COMMAND, "serve"]))
        stack.enter_context(_running(folder, "console", [COMMAND, *SERVICES["console"]["command"]]))
        print(json.dumps(asyncio.run(_seen(folder))))


def _lay_out(folder: Path) -> None:
    """Each file that is mounted at its place there, a folder for each volume."""
    for service in SERVICES.values():
        for secret in service.get("secrets", []):
            if "target" in secret:
                place = folder / secret["target"][1:]
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / "run/secrets" / secret["source"], place)
        for source, target, *_ in (each.split(":") for each in service.get("volumes", [])):
            place = folder / target[1:]
            if (DEPLOY / source).is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(DEPLOY / source, place)
            elif not source.startswith("."):
                place.mkdir(parents=True, exist_ok=True)


def _below(folder: Path, text: str) -> str:
    """A path of the container as it is here."""
    before, slash, path = text.partition("/")
    return f"{before}{folder}/{path}" if slash and (not before or before.endswith("=")) else text


def _environ(folder: Path, name: str) -> dict[str, str]:
    own = FINAL_ENVIRONMENT if name in ("inquiry-svc", "console") else {}
    given = {**own, **SERVICES[name].get("environment", {})}
    return child_environ({key: _below(folder, value) for key, value in given.items() if key != "PATH"})


@contextmanager
def _running(folder: Path, name: str, command: list[str]) -> Iterator[None]:
    words = [_below(folder, word) if word != command[0] else word for word in command]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(words, env=_environ(folder, name), cwd=folder / "data", stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        code = process.wait(30)
        print(f"{name} ended with {code}", file=sys.stderr)


@contextmanager
def _postgres(folder: Path) -> Iterator[None]:
    """As the entry point of PostgreSQL's image does it."""
    given = SERVICES["postgres"]["environment"]
    place = folder / "postgres"
    place.mkdir()
    server = PostgresServer(binaries(place), place, 5432, {"listen_addresses": "*", "unix_socket_directories": ""})
    password = folder / "password"
    shutil.copy(_below(folder, given["POSTGRES_PASSWORD_FILE"]), password)
    for each in (place, password):
        os.chown(each, 65534, 65534)
    options = [f"--username={given['POSTGRES_USER']}", f"--pwfile={password}", "--auth=scram-sha-256"]
    command = [str(server.bin / "initdb"), "-D", str(place / "data"), *options, given["POSTGRES_INITDB_ARGS"]]
    subprocess.run(command, check=True, capture_output=True, cwd="/", **as_nobody())
    server.start()
    login = {**os.environ, "PGPASSWORD": password.read_text()}
    psql = [str(server.bin / "psql"), "--host=postgres", f"--username={given['POSTGRES_USER']}", "--dbname=postgres"]
    subprocess.run([*psql, "-c", f"CREATE DATABASE {given['POSTGRES_DB']}"], env=login, check=True, capture_output=True)
    try:
        yield
    finally:
        server.kill()


async def _seen(folder: Path) -> Mapping[str, Any]:
    async with aiohttp.ClientSession() as session:

        async def ask(url: str) -> Any:
            async with session.get(url) as answer:
                return await answer.json() if "json" in answer.content_type else await answer.text()

        async def once(url: str, holds: Callable[[Any], Any]) -> Any:
            """The first answer for which it holds, or the last."""
            found = None
            with suppress(TimeoutError):
                async with asyncio.timeout(LIMIT_S):
                    while not (found and holds(found)):
                        await asyncio.sleep(0.2)
                        with suppress(aiohttp.ClientError):
                            found = await ask(url)
            return found

        health = await once("http://inquiry-svc:8000/api/v1/health", lambda found: found["status"] == "healthy")
        check = await asyncio.create_subprocess_exec(COMMAND, "health", env=_environ(folder, "inquiry-svc"), stdout=2)
        submitted = []
        key = (folder / "run/secrets/admin-key").read_text()
        for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}, {}):
            url = "http://inquiry-svc:8000/api/v1/inquiries/submit"
            async with session.post(url, json=INQUIRY, headers=headers) as answer:
                submitted.append(answer.status)
        targets = await once(
            "http://prometheus:9090/api/v1/targets",
            lambda found: {each["health"] for each in found["data"]["activeTargets"]} == {"up"},
        )
        console = await once("http://console:8501/_stcore/health", lambda found: found)
        alerts = await once("http://alertmanager:9093/api/v2/alerts", lambda found: found)
    reader, writer = await asyncio.open_connection("redis", 6379)
    writer.write(b"PING\r\n")
    answered = await reader.readline()
    writer.close()
    return {
        "health": health,
        "health_check": await check.wait(),
        "submitted": submitted,
        "console": console,
        "targets": {each["labels"]["job"]: each["health"] for each in targets["data"]["activeTargets"]},
        "alerts": [each["labels"]["alertname"] for each in alerts or []],
        "redis_without_password": answered.decode(),
        "log": (folder / "inquiry-svc.log").read_text()[-2000:],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
