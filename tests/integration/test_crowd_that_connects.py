"""Many who connect at once are met in a few turns of the loop, which under load take milliseconds each."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import uvloop

from inquiry_svc.testing.running import running_service
from inquiry_svc.web.protocol import HttpProtocol

CROWD: Final = 64
TURNS: Final = 16


def test_a_crowd_that_connects_at_once_is_met_in_a_few_turns_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[Any] = []
    as_shipped = HttpProtocol.connection_made

    def noted(self: HttpProtocol, transport: asyncio.BaseTransport) -> None:
        met.append(transport)
        as_shipped(self, transport)

    monkeypatch.setattr(HttpProtocol, "connection_made", noted)

    async def turns() -> int:
        async with running_service() as running:
            address = urlsplit(running.url)
            with ExitStack() as stack:
                for _ in range(CROWD):  # by the system, while the loop does nothing
                    stack.enter_context(socket.create_connection((address.hostname, address.port)))
                turn = 0
                async with asyncio.timeout(30):
                    while len(met) < CROWD:
                        await asyncio.sleep(0)
                        turn += 1
                return turn

    assert uvloop.run(turns()) <= TURNS
