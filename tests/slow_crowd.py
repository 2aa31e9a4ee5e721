"""Clients who keep a service waiting, in a process of their own: silent ones, halves of heads and of bodies, and those
who read nothing. Each comes back when it is closed, if told so. Once the standard input ends, how long each was borne
is printed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias

KINDS: Final = ("silent", "half a head", "half a body", "reads nothing")
GIVES_UP_S: Final = 60.0
CHECKS_S: Final = 31.5
"""Who reads nothing does not notice, but finds nothing more when it looks after so long."""
HEAD: Final = (
    b"POST /api/v1/inquiries/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999\r\n"
)
LONG_ANSWERS: Final = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100

Act: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    await reader.read()


async def half_a_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b'\r\n{"body": "')
    await reader.readuntil(b" 408 Request Timeout")


async def reads_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(LONG_ANSWERS)
    await asyncio.sleep(CHECKS_S)
    await reader.read()
    raise AssertionError("the answers went on to their end")


ACTS: Final[dict[str, Act]] = dict(zip(KINDS, (silent, half_a_head, half_a_body, reads_nothing), strict=True))


async def keep_waiting(
    address: tuple[str, int], kind: str, spread_s: float, comes_back: bool, borne_s: list[float], met: asyncio.Semaphore
) -> None:
    await asyncio.sleep(random.uniform(0, spread_s))
    first = True
    while True:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        started = time.monotonic()
        reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
        if first:
            first = False
            met.release()
        with suppress(ConnectionError):
            async with asyncio.timeout(GIVES_UP_S):
                await ACTS[kind](reader, writer)
        borne_s.append(time.monotonic() - started)
        writer.close()
        if not comes_back:
            return


async def main(address: tuple[str, int], spread_s: float, comes_back: bool, counts: list[int]) -> None:
    """They begin within `spread_s`."""
    borne_s: dict[str, list[float]] = {kind: [] for kind in KINDS}
    met = asyncio.Semaphore(0)
    tasks = [
        asyncio.create_task(keep_waiting(address, kind, spread_s, comes_back, borne_s[kind], met))
        for kind, count in zip(KINDS, counts, strict=True)
        for _ in range(count)
    ]
    for _ in tasks:
        await met.acquire()
    print("standing", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    failed = [repr(task.exception()) for task in tasks if task.done() and task.exception() is not None]
    print(json.dumps({"borne_s": borne_s, "failed": failed}), flush=True)
    os._exit(0)  # to take leave of thousands takes long


if __name__ == "__main__":
    host, port, spread, back, *numbers = sys.argv[1:]
    asyncio.run(main((host, int(port)), float(spread), back == "True", [int(each) for each in numbers]))
