"""The servers under measurement, each a process of its own, on a core of its own where there are two."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Final

import psutil

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1


def use_core(core: int) -> None:
    """Keep this process on one core, where the machine has more than one."""
    use_cores({core})


def use_cores(cores: Collection[int]) -> None:
    """Keep this process on these, where the machine has more than one."""
    if (os.cpu_count() or 1) > 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def keep_on(process: psutil.Process, cores: Collection[int]) -> None:
    """Keep another process on these: each thread that there is; later ones inherit it."""
    if (os.cpu_count() or 1) > 1 and hasattr(os, "sched_setaffinity"):
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, cores)


@contextmanager
def constant_server(port: int = 0, *, core: int = SERVER_CORE) -> Iterator[str]:
    """Several may share a port."""
    with serving([sys.executable, "-m", "benchmarks.constant", str(port)], {}, {core}) as url:
        yield url


@contextmanager
def inquiry_server(
    environment: Mapping[str, str] | None = None,
    *,
    data_dir: str | None = None,
    cores: Collection[int] = (SERVER_CORE,),
) -> Iterator[str]:
    """The service as shipped, but for the cache (every text is classified) and what `environment` sets."""
    with TemporaryDirectory(prefix="inquiry-bench-") as folder:
        command = [sys.executable, "-m", "inquiry_svc.cli", "serve", "--port", "0", "--data-dir", data_dir or folder]
        with serving(command, {"INQUIRY_CACHE__PROVIDER": "none", **(environment or {})}, cores) as url:
            yield url


@contextmanager
def serving(command: list[str], environment: dict[str, str], cores: Collection[int] = (SERVER_CORE,)) -> Iterator[str]:
    """The address that the command says on standard error once it serves."""
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=lambda: use_cores(cores),
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "http://" in line:
                yield "http://" + line.split("http://", 1)[1].split(",", 1)[0].split('"', 1)[0].strip()
                break
        else:
            raise RuntimeError(f"{command} did not start")
    finally:
        process.terminate()
        process.communicate(timeout=20)
