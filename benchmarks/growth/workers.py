"""What is a second worker worth, together with the core that it takes?

A worker and a load generator that asks it alone share a core; two workers are the same on two cores, with half of the
connections each. So the load costs either alike, also where there is no core to spare for it; from four cores on each
generator has one of its own. Connections are opened until each worker has as many as the others: the system shares them
out by chance. What shares nothing, a constant answer, says what the machine itself makes of a second core.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import psutil
import uvloop

from benchmarks.growth.points import QUIET, Asked, Point, Server, Texts, on_postgres, started
from benchmarks.load import Figures, closed_loop
from benchmarks.servers import constant_server, inquiry_server, keep_on, use_core
from tests.servers.postgres import postgres_server

_CORES: Final = (0, 1)
_TO_THE_LOAD: Final = 2 if (os.cpu_count() or 1) >= 4 else 0
"""From a worker's core to that of its generator."""
_CONNECTIONS: Final = 256
"""In all: of two workers each has a batch in hand and another that waits, so batches are as full as those of one."""
_WARM_UP_S: Final = 0.5
Lines: TypeAlias = Mapping[str, tuple[Asked, Sequence[bytes]]]


@dataclass(frozen=True, slots=True)
class OnCores(Asked):
    """Workers that share one port, the first on the first core and so on."""

    servers: Sequence[Server]
    """With whoever looks after the workers."""
    workers: Sequence[psutil.Process]

    def cpu_s(self) -> float:
        return sum(server.cpu_s() for server in self.servers)

    def asked(self, requests: Sequence[bytes], connections: int, duration_s: float) -> Figures:
        """By a generator for each worker, all at once."""
        url = self.servers[0].url
        with ExitStack() as stack:
            opened = [
                [stack.enter_context(end) for end in ends]
                for ends in opened_evenly(url, self.workers, connections // len(self.workers))
            ]
            pool = stack.enter_context(ProcessPoolExecutor(len(opened), get_context("fork")))  # with what is open
            start = time.perf_counter() + _WARM_UP_S
            asking = [
                pool.submit(_ask, core, url, requests, [end.fileno() for end in ends], start, duration_s)
                for core, ends in zip(_CORES, opened, strict=False)
            ]
            return together([each.result() for each in asking])


def together(found: Sequence[Figures]) -> Figures:
    """Of several generators: their rates added up, of their times the worst."""
    return Figures(
        requests_per_s=sum(each.requests_per_s for each in found),
        p50_ms=max(each.p50_ms for each in found),
        p99_ms=max(each.p99_ms for each in found),
        answered=sum(each.answered for each in found),
    )


def opened_evenly(url: str, workers: Sequence[psutil.Process], each: int) -> list[list[socket.socket]]:
    """So many connections to each worker, in their order; who got more is spared the rest."""
    parts = urlsplit(url)
    kept: list[list[socket.socket]] = [[] for _ in workers]
    while any(len(ends) < each for ends in kept):
        ends = [socket.create_connection((parts.hostname, parts.port)) for _ in range(each)]
        unmet = {end.getsockname()[1]: end for end in ends}
        while unmet:
            for worker, its in zip(workers, kept, strict=True):
                for met in worker.net_connections("tcp"):
                    end = unmet.pop(met.raddr.port, None) if met.raddr else None
                    if end is not None and len(its) < each:
                        its.append(end)
                    elif end is not None:
                        end.close()
    return kept


def _ask(
    core: int, url: str, requests: Sequence[bytes], opened: Sequence[int], start: float, duration_s: float
) -> Figures:
    """In a process of its own, which has these file descriptors open too. All start at one moment."""
    use_core(core + _TO_THE_LOAD)
    load = closed_loop(
        url,
        requests,
        connections=len(opened),
        duration_s=duration_s,
        warm_up_s=start - time.perf_counter(),
        opened=[socket.socket(fileno=each) for each in opened],
    )
    return uvloop.run(load)


def workers(stack: ExitStack, texts: Texts) -> Iterator[Point]:
    by_number = {len(cores): _on(cores, stack, texts) for cores in (_CORES[:1], _CORES)}
    for line in by_number[1]:
        for number, lines in by_number.items():
            yield Point("workers", line, number, *lines[line], _CONNECTIONS)


def _on(cores: Sequence[int], stack: ExitStack, texts: Texts) -> Lines:
    """PostgreSQL shares the workers' cores too, where there are none to spare."""
    postgres = postgres_server(durable=True, migrated=True, shared_buffers="256MB")
    database = stack.enter_context(postgres)
    assert database.process
    if not _TO_THE_LOAD:
        root = psutil.Process(database.process.pid)
        for each in [root, *root.children()]:
            keep_on(each, cores)
    service = _service(stack, QUIET, cores)
    return {
        "constant answer": (_constant(stack, cores), texts.constants),
        "classify": (service, texts.classifies),
        "submit, SQLite": (service, texts.submits),
        "submit, PostgreSQL": (_service(stack, on_postgres(database.url()), cores), texts.submits),
    }


def _constant(stack: ExitStack, cores: Sequence[int]) -> OnCores:
    servers = [started(stack, constant_server(core=cores[0]))]
    port = urlsplit(servers[0].url).port or 0
    servers += [started(stack, constant_server(port, core=core)) for core in cores[1:]]
    return OnCores(servers, [server.process for server in servers])


def _service(stack: ExitStack, environment: Mapping[str, str], cores: Sequence[int]) -> OnCores:
    found = {**environment, "INQUIRY_SERVER__WORKERS": str(len(cores))}
    server = started(stack, inquiry_server(found, cores=cores))
    processes = server.process.children() or [server.process]
    for core, process in zip(cores, processes, strict=True):
        keep_on(process, {core})
    return OnCores([server], processes)
