"""What is left of the service when twice and ten times as much comes as it can take?

    python -m benchmarks.overload

An open loop: requests come at random moments, so many a second, whatever becomes of those before. What the service can
take, the peak, is the more of what closed loops get of it over as many connections as it has places and over two
batches' worth, before each window and after; at 80 % of that it is said to be unloaded. A delay counts from the moment
at which the request was due; how much later than that it was written is the generator's own fault, and is told as
`lag`. What comes due while no connection is free is not sent, as a client's pool would have it: `offered_of_peak` says
what was. `cpu_of_peak` is the CPU of each that was accepted, and of all else that was done meanwhile, by that at the
peak: on a machine that others load too it tells more than the times. The first second counts for nothing: a crowd that
has just come finds all places free.

Heedless clients send again as soon as they were refused, over the same connection. Those who heed leave it alone for
as long as Retry-After says: so the same number of connections brings fewer requests.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Final
from urllib.parse import urlsplit

import click
import uvloop

from benchmarks.growth.points import Server, Texts, started
from benchmarks.load import Client, closed_loop, connect
from benchmarks.open_loop import BURST_S
from benchmarks.results_file import write_results
from benchmarks.servers import LOAD_CORE, inquiry_server, use_core
from inquiry_svc.settings import BatchingSettings

_PLACES: Final = BatchingSettings().places
_CONNECTIONS: Final = 4 * _PLACES
"""More than there are places, so that it is the service that refuses."""
_UNLOADED: Final = 0.8
_LOADS: Final = ((_UNLOADED, False), (2.0, False), (10.0, False), (2.0, True), (10.0, True))
"""Of the peak, and whether the clients heed Retry-After."""
_QUIET: Final = {"INQUIRY_LOGGING__REQUESTS": "none"}
_LEAD_IN_S: Final = 1.0
_FORGOTTEN_S: Final = 2.5
"""After so long the service gives all its places again."""
_PROBES: Final = 20
"""So many in a row, one at a time, must be accepted for the service to have recovered."""


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", "window_s", default=5.0, show_default=True, help="Of each load, once.")
@click.option("--loads", default=len(_LOADS), show_default=True, help="So many of them, from the smallest on.")
@click.option("--seed", default=1, show_default=True)
def main(rounds: int, window_s: float, loads: int, seed: int) -> None:
    """Measure, print, and write `results/overload.json`."""
    use_core(LOAD_CORE)
    texts = Texts(seed)
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        server = started(stack, inquiry_server(_QUIET))
        for path, requests in (("classify", texts.classifies), ("submit, SQLite", texts.submits)):
            for _ in range(rounds):
                for row in uvloop.run(_round(server, requests, _LOADS[:loads], window_s, seed)):
                    rows.append({"path": path, **row})
                    click.echo("".join(f"{name} {value}   " for name, value in rows[-1].items()))
    write_results(
        "overload", rows=rows, parameters={"rounds": rounds, "seconds": window_s, "loads": loads, "seed": seed}
    )


async def _round(
    server: Server, requests: Sequence[bytes], loads: Sequence[tuple[float, bool]], window_s: float, seed: int
) -> list[dict[str, Any]]:
    dice, rows = random.Random(seed), []
    before = await _peak(server, requests)
    unloaded_s = 0.0
    for load, heeding in loads:
        seen = await _open_loop(server, requests, load * before.requests_per_s, window_s, dice, heeding=heeding)
        await asyncio.sleep(_FORGOTTEN_S)
        after = await _peak(server, requests)
        peak = _Peak(mean((before.requests_per_s, after.requests_per_s)), mean((before.cpu_s, after.cpu_s)))
        before = after
        p99_s = _p99(seen.delays_s)
        unloaded_s = unloaded_s or p99_s
        rows.append(
            {
                "load": load,
                "clients": "heeding" if heeding else "heedless",
                "peak_per_s": round(peak.requests_per_s),
                "offered_of_peak": round(len(seen.lags_s) / window_s / peak.requests_per_s, 2),
                "accepted_of_peak": round(seen.within / window_s / peak.requests_per_s, 3),
                "p99_ms": _ms(p99_s),
                "p99_of_unloaded": round(p99_s / unloaded_s, 2),
                "refused": len(seen.refused_s),
                "refused_p50_ms": _ms(_quantile(seen.refused_s, 0.5)),
                "refused_p99_ms": _ms(_p99(seen.refused_s)),
                "lag_p99_ms": _ms(_p99(seen.lags_s)),
                "cpu_of_peak": round(seen.server_busy * window_s / max(1, seen.within) / peak.cpu_s, 2),
                "server_busy": round(seen.server_busy, 2),
                "load_busy": round(seen.load_busy, 2),
                "rss_mb": round(seen.rss_bytes / 2**20),
                "recovered_s": round(seen.recovered_s, 3),
            }
        )
    return rows


@dataclass(frozen=True, slots=True)
class _Peak:
    requests_per_s: float
    cpu_s: float
    """Of a request."""


async def _peak(server: Server, requests: Sequence[bytes]) -> _Peak:
    found = []
    for connections in (2 * BatchingSettings().max_batch, _PLACES):
        spent_s = server.cpu_s()
        loop = await closed_loop(server.url, requests, connections=connections, duration_s=1.0, warm_up_s=0.0)
        found.append(_Peak(loop.requests_per_s, (server.cpu_s() - spent_s) / loop.answered))
    return max(found, key=lambda peak: peak.requests_per_s)


def _p99(values: Sequence[float]) -> float:
    return _quantile(values, 0.99)


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)] if values else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


@dataclass(slots=True)
class _Seen:
    """Of what was due from `since` on."""

    since: float = 0.0
    until: float = 0.0
    within: int = 0
    """Accepted and answered in the window."""
    refused_s: list[float] = field(default_factory=list)
    """Delays of all that were refused."""
    delays_s: list[float] = field(default_factory=list)
    """Of all that were accepted."""
    lags_s: list[float] = field(default_factory=list)
    """Of all that were sent: from when they were due."""
    unanswered: int = 0
    """Also of what was due before."""
    server_busy: float = 0.0
    """The share of the window in which it ran."""
    load_busy: float = 0.0
    rss_bytes: int = 0
    """The server's at the end of the window."""
    recovered_s: float = 0.0
    """From the end of the window to the last refusal, or where there was none to the last answer."""


async def _open_loop(
    server: Server, requests: Sequence[bytes], rate_per_s: float, window_s: float, dice: random.Random, *, heeding: bool
) -> _Seen:
    parts, loop = urlsplit(server.url), asyncio.get_running_loop()
    free: list[_Sender] = []
    seen = _Seen()
    senders = [_Sender(loop.create_future(), free, seen, heeding=heeding) for _ in range(_CONNECTIONS)]
    prober = _Sender(loop.create_future(), [], _Seen(), heeding=False)
    for sender in (prober, *senders):
        await connect(sender, parts.hostname or "", parts.port or 80)
    gc.collect()
    gc.disable()  # of a quarter of a million delays nothing is garbage
    next_due = time.perf_counter()
    seen.since, seen.until = next_due + _LEAD_IN_S, next_due + _LEAD_IN_S + window_s
    spent_s: float | None = None
    while (now := time.perf_counter()) < seen.until:
        if spent_s is None and now >= seen.since:
            spent_s, own_s = server.cpu_s(), time.process_time()
        while next_due <= now:
            if not free:
                next_due = now  # what comes meanwhile is not sent, and the next is due as if it had not come
            else:
                free.pop().send(next_due, dice.choice(requests))
            next_due += dice.expovariate(rate_per_s)
        await asyncio.sleep(max(BURST_S, min(next_due, seen.until) - now))
    assert spent_s is not None
    seen.server_busy = (server.cpu_s() - spent_s) / window_s
    seen.load_busy = (time.process_time() - own_s) / window_s
    seen.rss_bytes = server.process.memory_info().rss
    gc.enable()
    async with asyncio.timeout(30):
        await _recovered(prober, requests[0], seen)
    for sender in (prober, *senders):
        sender.close()
    await asyncio.gather(*(sender.done for sender in (prober, *senders)))
    return seen


async def _recovered(prober: _Sender, request: bytes, seen: _Seen) -> None:
    """Wait for all answers, then until one at a time is accepted, again and again."""
    while seen.unanswered:  # noqa: ASYNC110 (each sender says it for itself)
        await asyncio.sleep(0.001)
    seen.recovered_s = time.perf_counter() - seen.until
    accepted = 0
    while accepted < _PROBES:
        if await prober.ask(request):
            accepted += 1
        else:
            accepted, seen.recovered_s = 0, time.perf_counter() - seen.until


class _Sender(Client):
    """Takes a refusal for an answer. `done` is set when it is closed, with an error unless we closed it."""

    def __init__(self, done: asyncio.Future[None], free: list[_Sender], seen: _Seen, *, heeding: bool) -> None:
        super().__init__(done)
        self._free = free
        self._seen = seen
        self._heeding = heeding
        self._due_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._free.append(self)

    def send(self, due_at: float, request: bytes) -> None:
        self._due_at = due_at
        self._seen.unanswered += 1
        if due_at >= self._seen.since:
            self._seen.lags_s.append(time.perf_counter() - due_at)
        self.transport.write(request)

    async def ask(self, request: bytes) -> bool:
        """Whether it is accepted."""
        accepted = len(self._seen.delays_s)
        self._free.clear()
        self.send(time.perf_counter(), request)
        while not self._free:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return len(self._seen.delays_s) > accepted

    def answered(self) -> None:
        now = time.perf_counter()
        self._seen.unanswered -= 1
        if self._due_at >= self._seen.since:
            self._seen.delays_s.append(now - self._due_at)
        self._seen.within += self._seen.since <= now <= self._seen.until
        self._free.append(self)

    def refused(self, answer: bytes) -> None:
        if not answer.startswith(b"HTTP/1.1 503"):
            super().refused(answer)
            return
        self._seen.unanswered -= 1
        if self._due_at >= self._seen.since:
            self._seen.refused_s.append(time.perf_counter() - self._due_at)
        if self._heeding:
            retry_after_s = int(answer.split(b"Retry-After: ", 1)[1].split(b"\r\n", 1)[0])
            asyncio.get_running_loop().call_later(retry_after_s, self._free.append, self)
        else:
            self._free.append(self)

    def failed(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))

    def close(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self.transport.close()


if __name__ == "__main__":
    main()
