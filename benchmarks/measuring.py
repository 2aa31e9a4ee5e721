"""One measurement, the same for everybody: one server on one core, the load on the other, and all other servers halted.

Two figures say how fast a server is: the answers in a second, which hold where the server's core was busy and the
load's was not; and the CPU of an answer, which on a machine that others load too holds better.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import uvloop

from benchmarks.load import Figures, closed_loop
from benchmarks.peers.catalogue import Server
from benchmarks.peers.processes import Running

WARM_UP_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Measured:
    figures: Figures
    cpu_us: float
    """Of all the server's processes, an answer."""
    server_busy: float
    """The share of the time that they ran. Below 1 the figures hold only if something is waited for, such as a disk."""
    load_busy: float
    """The same of the load. Near 1 it is the load that is measured."""


def measure(asked: Running, requests: Sequence[bytes], *, connections: int, duration_s: float) -> Measured:
    asked.go_on()
    try:
        started, spent_s, own_s = time.perf_counter(), asked.cpu_s(), time.process_time()
        found = uvloop.run(
            closed_loop(asked.url, requests, connections=connections, duration_s=duration_s, warm_up_s=WARM_UP_S)
        )
        took_s, spent_s, own_s = time.perf_counter() - started, asked.cpu_s() - spent_s, time.process_time() - own_s
    finally:
        asked.halt()
    return Measured(found, spent_s * 1e6 / found.answered, spent_s / took_s, own_s / took_s)


@dataclass(frozen=True, slots=True)
class Case:
    """One server at one number of connections, measured a few times in turn with the others."""

    server: Server
    connections: int
    measured: list[Measured] = field(default_factory=list)

    @property
    def cpu_us(self) -> float:
        return median(each.cpu_us for each in self.measured)

    def times(self, other: Case) -> float:
        """How many times as many answers it gives: the median over the rounds, in which the two are neighbours."""
        return median(
            ours.figures.requests_per_s / its.figures.requests_per_s
            for ours, its in zip(self.measured, other.measured, strict=True)
        )

    def row(self, constant: Case) -> dict[str, Any]:
        """What is kept of it."""
        per_s = [each.figures.requests_per_s for each in self.measured]
        return {
            "connections": self.connections,
            "requests_per_s": round(median(per_s)),
            "lowest_to_highest": [round(min(per_s)), round(max(per_s))],
            "of_constant": round(self.times(constant), 4),
            "of_constant_by_cpu": round(constant.cpu_us / self.cpu_us, 4),
            "p50_ms": round(median(each.figures.p50_ms for each in self.measured), 3),
            "p99_ms": round(median(each.figures.p99_ms for each in self.measured), 3),
            "cpu_us": round(self.cpu_us),
            "server_busy": round(median(each.server_busy for each in self.measured), 2),
            "load_busy": round(median(each.load_busy for each in self.measured), 2),
        }
