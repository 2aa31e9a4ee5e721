"""Workers as their parent sees them: answers that are lost, ends that have no name, and a stop while one starts."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from inquiry_svc.workers import parent
from inquiry_svc.workers.link import AskYours, FromParent, FromWorker, Mine, open_link
from inquiry_svc.workers.process import Worker, start_worker

SERVING: Final = """
import asyncio, socket, sys
from inquiry_svc.workers.link import Ready, open_link

async def serve():
    link = await open_link(socket.socket(fileno=int(sys.argv[1])))
    await link.send(Ready(), timeout_s=5)
    await link.receive()

asyncio.run(serve())
"""
DEAF: Final = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[2]).touch()
time.sleep(60)
"""


async def test_an_answer_that_is_lost_costs_no_other_question_its_own() -> None:
    process: Any = None
    ours, theirs = socket.socketpair()
    link, other = await open_link(ours), await open_link(theirs)
    worker = Worker(1, process, link)
    worker.is_ready = True

    async def read() -> None:
        async for _ in worker.messages():
            pass

    async def asked() -> int:
        received = await other.receive()
        assert received is not None
        return msgspec.msgpack.decode(received, type=AskYours).question

    reading = asyncio.create_task(read())
    async with asyncio.timeout(20):
        await worker.tell_numbers(within_s=0.01)
        await asked()
        for _ in range(10):
            asking = asyncio.create_task(worker.tell_numbers(within_s=60))
            await other.send(Mine([], True, await asked()), timeout_s=5)
            await asking
        other.close()
        await reading
    link.close()
    await asyncio.sleep(0)


async def test_a_parent_and_a_worker_of_the_release_before_understand_each_other() -> None:
    """Where a new release is installed in place, one meets the other until all are renewed."""

    class Before:
        class AskYours(msgspec.Struct, tag="AskYours"):
            pass

        class Mine(msgspec.Struct, tag="Mine"):
            numbers: list[Any]
            asked: bool

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Before.AskYours()), type=FromParent) == AskYours()
    msgspec.msgpack.decode(msgspec.msgpack.encode(AskYours(7)), type=Before.AskYours)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Before.Mine([], True)), type=FromWorker) == Mine([], True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Mine([], True, 7)), type=Before.Mine).asked


async def test_a_worker_that_a_signal_without_a_name_ends_is_told_of() -> None:
    worker = await start_worker(
        1, lambda number, link_fd: [sys.executable, "-c", "import os; os.kill(os.getpid(), 40)"]
    )
    async for _ in worker.messages():
        pass
    await worker.ends(within_s=20)
    assert worker.end == "signal 40"


async def test_a_worker_that_is_being_started_when_all_are_stopped_has_the_same_time_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command(number: int, link_fd: int) -> Sequence[str]:
        return [sys.executable, "-c", SERVING if number == 1 else DEAF, str(link_fd), str(tmp_path / "deaf")]

    started: list[Worker] = []

    async def start_slowly(number: int, *how: Any) -> Worker:
        worker = await start_worker(number, *how)
        started.append(worker)
        if number == 2:
            while not (tmp_path / "deaf").exists():  # noqa: ASYNC110 (another process makes it)
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            while started[0].exit_code is None:  # noqa: ASYNC110 (told by the parent, who does not know of this one)
                await asyncio.sleep(0.01)
        return worker

    monkeypatch.setattr(parent, "start_worker", start_slowly)
    async with asyncio.timeout(20):
        assert await parent.keep_workers(2, command, serving=lambda: None, stop_limit_s=0.5) == 0
    assert [worker.end for worker in started] == ["signal SIGTERM", "signal SIGKILL"]
