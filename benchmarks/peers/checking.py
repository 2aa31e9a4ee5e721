"""Whether a server's answers are the reference's: a quick wrong one is no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import aiohttp
import click

from benchmarks.peers.catalogue import Answers
from benchmarks.peers.processes import Running
from inquiry_svc.inquiries import AXES, Text, Verdict

TOLERANCE: Final = 1e-4
"""Of a confidence."""
_PATIENCE: Final = aiohttp.ClientTimeout(60)


class WrongAnswer(click.ClickException):
    """Ends the run."""


async def check(asked: Running, texts: Sequence[Text], expected: Sequence[Verdict], *, connections: int) -> None:
    """Ask for all, so many at a time. Raises `WrongAnswer`."""
    server = asked.server
    waiting = list(zip(texts, expected, strict=True))
    headers = {"Content-Type": "application/json"}

    async def ask_on(session: aiohttp.ClientSession) -> None:
        while waiting:
            text, verdict = waiting.pop()
            async with session.post(asked.url + server.path, data=server.body(text), headers=headers) as response:
                if response.status not in (200, 201):
                    raise WrongAnswer(f"{server.name} answered {response.status}: {(await response.text())[:500]}")
                if server.answers:
                    _compare(server.name, server.answers(await response.json()), verdict)

    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(60), connector=aiohttp.TCPConnector(limit=0)
            ) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(connections):
                tasks.create_task(ask_on(session))
    except ExceptionGroup as several:
        raise several.exceptions[0] from None


def _compare(name: str, found: Answers, verdict: Verdict) -> None:
    for axis in AXES:
        label, confidence = found[axis]
        wanted = getattr(verdict, axis)
        if label != wanted.label or not abs(confidence - wanted.confidence) <= TOLERANCE:
            raise WrongAnswer(f"{name} says {label} {confidence}, the reference {wanted.label} {wanted.confidence}")
