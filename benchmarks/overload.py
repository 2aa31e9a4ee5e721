"""What is left of the service when twice and ten times as much comes as it can take?

    python -m benchmarks.overload

An open loop: requests come at random moments, so many a second, whatever becomes of those before. What the service can
take is what 64 connections in a closed loop get of it; at 80 % of that it is said to be unloaded. Of what is accepted
the delay counts from the moment at which it was due. What comes due while no connection is free is not sent, as a
client's pool would have it: `offered_of_peak` says what was.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import click
import uvloop

from benchmarks.growth.points import Texts
from benchmarks.load import Client, closed_loop, connect
from benchmarks.results_file import write_results
from benchmarks.servers import LOAD_CORE, inquiry_server, use_core

_CONNECTIONS: Final = 2_000
"""Twice as many as the service has places, so that it is the service that refuses."""
_LOADS: Final = (0.8, 2.0, 10.0)
_QUIET: Final = {"INQUIRY_LOGGING__REQUESTS": "none"}


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", "window_s", default=5.0, show_default=True, help="Of each load, once.")
@click.option("--seed", default=1, show_default=True)
def main(rounds: int, window_s: float, seed: int) -> None:
    """Measure, print, and write `results/overload.json`."""
    use_core(LOAD_CORE)
    texts = Texts(seed)
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        url = stack.enter_context(inquiry_server(_QUIET))
        for path, requests in (("classify", texts.classifies), ("submit, SQLite", texts.submits)):
            for _ in range(rounds):
                rows += ({"path": path, **row} for row in uvloop.run(_round(url, requests, window_s, seed)))
    for row in rows:
        click.echo("".join(f"{name} {value}   " for name, value in row.items()))
    write_results("overload", rows=rows, parameters={"rounds": rounds, "seconds": window_s, "seed": seed})


async def _round(url: str, requests: Sequence[bytes], window_s: float, seed: int) -> list[dict[str, Any]]:
    peak = await closed_loop(url, requests, connections=64, duration_s=window_s, warm_up_s=0.5)
    dice, rows = random.Random(seed), []
    unloaded_s = 0.0
    for load in _LOADS:
        seen = await _open_loop(url, requests, load * peak.requests_per_s, window_s, dice)
        p99_s = _p99(seen.delays_s)
        unloaded_s = unloaded_s or p99_s
        rows.append(
            {
                "load": load,
                "peak_per_s": round(peak.requests_per_s),
                "offered_of_peak": round(seen.sent / window_s / peak.requests_per_s, 2),
                "accepted_of_peak": round(seen.within / window_s / peak.requests_per_s, 3),
                "refused": seen.refused,
                "refused_p99_ms": round(_p99(seen.refused_s) * 1000, 1),
                "p99_ms": round(p99_s * 1000, 1),
                "p99_of_unloaded": round(p99_s / unloaded_s, 2),
            }
        )
    return rows


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


@dataclass(slots=True)
class _Seen:
    until: float
    sent: int = 0
    within: int = 0
    """Accepted and answered before the window was over."""
    refused: int = 0
    refused_s: list[float] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    """Of all that were accepted."""


async def _open_loop(
    url: str, requests: Sequence[bytes], rate_per_s: float, window_s: float, dice: random.Random
) -> _Seen:
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    free: list[_Sender] = []
    seen = _Seen(0.0)
    senders = [_Sender(loop.create_future(), free, seen) for _ in range(_CONNECTIONS)]
    for sender in senders:
        await connect(sender, parts.hostname or "", parts.port or 80)
    next_due = time.perf_counter()
    seen.until = next_due + window_s
    while (now := time.perf_counter()) < seen.until:
        while next_due <= now:
            if free:
                free.pop().send(next_due, dice.choice(requests))
            next_due += dice.expovariate(rate_per_s)
        await asyncio.sleep(max(0.0, min(next_due, seen.until) - now))
    async with asyncio.timeout(30):
        while len(free) < _CONNECTIONS:  # noqa: ASYNC110 (each sender says it for itself)
            await asyncio.sleep(0.01)
    for sender in senders:
        sender.close()
    await asyncio.gather(*(sender.done for sender in senders))
    return seen


class _Sender(Client):
    """Takes a refusal for an answer. `done` is set when it is closed, with an error unless we closed it."""

    def __init__(self, done: asyncio.Future[None], free: list[_Sender], seen: _Seen) -> None:
        super().__init__(done)
        self._free = free
        self._seen = seen
        self._due_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._free.append(self)

    def send(self, due_at: float, request: bytes) -> None:
        self._due_at = due_at
        self._seen.sent += 1
        self.transport.write(request)

    def answered(self) -> None:
        now = time.perf_counter()
        self._seen.delays_s.append(now - self._due_at)
        self._seen.within += now <= self._seen.until
        self._free.append(self)

    def failed(self, why: str) -> None:
        if "HTTP/1.1 503" in why:
            self._received = b""
            self._seen.refused += 1
            self._seen.refused_s.append(time.perf_counter() - self._due_at)
            self._free.append(self)
        elif not self.done.done():
            self.done.set_exception(RuntimeError(why))

    def close(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self.transport.close()


if __name__ == "__main__":
    main()
