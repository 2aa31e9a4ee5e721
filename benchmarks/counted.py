"""The process of which `benchmarks.instructions` counts every instruction: requests in, answers out, and no socket.

Connections are in memory: what a kernel would hand over is handed to aiohttp's protocol, and what it writes is read at
once. Each round sends one request on each connection and waits for all the answers, so that batches are always the
same; and nothing is done by the clock, of which a slow machine would do more. Meant to run under callgrind, which
stands by until it is told to count, and writes down what it counted at each call of `getpgid`: nobody else calls that.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import uvloop
from aiohttp import web

from benchmarks.__main__ import CORPUS
from benchmarks.constant import answer
from benchmarks.load import Client, request_bytes
from benchmarks.metrics_cost import COUNTING
from inquiry_svc import repeating
from inquiry_svc.cli.serve import _spare_what_stays
from inquiry_svc.labelled import read_labelled
from inquiry_svc.testing.running import running_service
from inquiry_svc.web import gate

MARK: Final = "getpgid"
"""A function of libc that ends one count and begins the next."""
SEED: Final = 1
_LONG_S: Final = 3_600.0
"""Nothing is late, however slow the counting is."""
WARM_UP: Final = 64
"""Requests in which the interpreter learns, and that are not counted."""
REQUESTS: Final = 128
"""Those that are."""
Path = Literal["constant", "classify", "submit", "refused classify", "classify refused by the application"]
MakeProtocol = Callable[[], asyncio.Protocol]


@dataclass(frozen=True, slots=True)
class Case:
    path: Path
    connections: int
    metrics: bool = True
    """Without them all that counts does nothing."""


CASES: Final = (
    Case("constant", 64),
    Case("classify", 64),
    Case("classify", 64, metrics=False),
    Case("submit", 64),
    Case("submit", 64, metrics=False),
    Case("refused classify", 64),
    Case("classify refused by the application", 64),
    Case("constant", 1),
    Case("classify", 1),
)


def main(control: Sequence[str]) -> None:
    """`control` is the command that has callgrind begin, but for the process that it is for."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(_all_cases(control))


async def _all_cases(control: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _Loop)
    settings = {
        "classifier.provider": "xgboost",
        "classifier.timeout_s": _LONG_S,
        "store.provider": "sqlite",
        "store.timeout_s": _LONG_S,
        "batching.deadline_s": _LONG_S,
        "logging.requests": "none",
    }
    with _nothing_by_the_clock():
        async with _constant(), running_service(settings) as running:
            constant, service, *_ = loop.servers  # the service's has several handles
            requests_of = _requests()
            _spare_what_stays()
            _begin(control)
            for case in CASES:
                make_protocol = constant if case.path == "constant" else service
                callers = [_Caller(make_protocol) for _ in range(case.connections)]
                requests = requests_of[case.path]
                admission, taken = running.service.admission, 0
                while "refused" in case.path and not admission.is_full:
                    await admission.enter(patient=False)
                    taken += 1
                with _with_metrics(case.metrics):
                    await _ask(callers, requests[:WARM_UP])
                    os.getpgid(0)
                    await _ask(callers, requests[WARM_UP:])
                    os.getpgid(0)
                for _ in range(taken):
                    admission.leave(patient=False)
                for caller in callers:
                    caller.transport.close()


def _begin(control: Sequence[str]) -> None:
    command = [control[0], f"--pid={os.getpid()}", *control[1:]]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as telling:
        while telling.poll() is None:
            pass  # callgrind listens as long as we do something
    if telling.returncode:
        sys.exit(f"{command} failed")


def _requests() -> Mapping[Path, list[bytes]]:
    """The same texts for each path, and none twice."""
    texts = [row.text for row in read_labelled(sorted(CORPUS.glob("*.jsonl")))]
    chosen = random.Random(SEED).sample(texts, WARM_UP + REQUESTS)
    bodies = [{"subject": text.subject, "body": text.body} for text in chosen]
    submits = [{**body, "sender_email": "ana@example.org"} for body in bodies]
    classifies = [request_bytes("/api/v1/inquiries/classify", json.dumps(body).encode()) for body in bodies]
    return {
        "constant": [request_bytes("/", json.dumps(body).encode()) for body in bodies],
        "classify": classifies,
        "refused classify": classifies,
        # A letter beyond ASCII is for the application to read.
        "classify refused by the application": [
            request.replace(b"\r\n", b"\r\nAccept: text/\xc3\xa4\r\n", 1) for request in classifies
        ],
        "submit": [request_bytes("/api/v1/inquiries/submit", json.dumps(body).encode()) for body in submits],
    }


async def _ask(callers: Sequence[_Caller], requests: Sequence[bytes]) -> None:
    for at in range(0, len(requests), len(callers)):
        await asyncio.gather(*map(_Caller.ask, callers, requests[at : at + len(callers)]))


@asynccontextmanager
async def _constant() -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield
    await runner.cleanup()


@contextmanager
def _nothing_by_the_clock() -> Iterator[None]:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    with ExitStack() as stack:
        for owner, name, value in (
            (repeating, "_repeat", never),
            (gate, "TELL_S", 1e6),
            (gate, "PATIENCE_S", -1.0),
            (gate, "TOLD_PER_S", 1e9),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


@contextmanager
def _with_metrics(wanted: bool) -> Iterator[None]:
    as_shipped = {owner: getattr(owner, method) for owner, method in COUNTING.items()}
    if not wanted:
        for owner, method in COUNTING.items():
            setattr(owner, method, lambda *_: None)
    yield
    for owner, method in COUNTING.items():
        setattr(owner, method, as_shipped[owner])


class _Loop(uvloop.Loop):
    """Notes how each server that is started makes the protocol of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.servers: list[MakeProtocol] = []

    async def create_server(  # type: ignore[override]
        self, protocol_factory: MakeProtocol, *given: Any, **named: Any
    ) -> Any:
        self.servers.append(protocol_factory)
        return await super().create_server(protocol_factory, *given, **named)


class _Caller(Client):
    """Asks once a round, on a connection of its own."""

    def __init__(self, make_protocol: MakeProtocol) -> None:
        super().__init__(asyncio.get_running_loop().create_future())
        self._server = make_protocol()
        self.connection_made(_InMemory(self))
        self._server.connection_made(self.transport)

    async def ask(self, request: bytes) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._server.data_received(request)
        await self.done

    def answered(self) -> None:
        self.done.set_result(None)

    def refused(self, answer: bytes) -> None:
        if answer.startswith(b"HTTP/1.1 503"):
            self.answered()
        else:
            super().refused(answer)

    def failed(self, why: str) -> None:
        self.done.set_exception(RuntimeError(why))


class _InMemory(asyncio.Transport):
    """What the server writes, the caller has read."""

    def __init__(self, caller: Client) -> None:
        super().__init__()
        self._read = caller.data_received
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._read(bytes(data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

    def pause_reading(self) -> None:
        """Nothing comes but what is asked for."""

    resume_reading = pause_reading


if __name__ == "__main__":
    main(sys.argv[1:])
