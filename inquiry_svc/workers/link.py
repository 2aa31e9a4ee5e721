"""The link between the parent and one worker: messages over a pair of sockets, each a length and MessagePack.

Both ends are processes of one service, so what comes is trusted. For a while, where a new release is put in place, one
may be of the release before: a field that is new has a default. When either ends, the other reads the end of the
stream, however it ended: that is how a worker learns that its parent is gone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from inquiry_svc.metrics import (
    OPEN,
    Across,
    Counter,
    Distribution,
    Exemplar,
    Family,
    Gauge,
    Histogram,
    Kind,
    Metric,
    Snapshot,
)
from inquiry_svc.workers.merging import across_of

_LENGTH_BYTES: Final = 4
_MAX_UNREAD_BYTES: Final = 2**20
"""Nothing more is sent to an end that has so much to read: it is stopped, or stuck."""


class Declared(msgspec.Struct, frozen=True, array_like=True):
    """A metric, but for the values that a closed label may have."""

    kind: Kind
    name: str
    help: str
    labels: tuple[tuple[str, bool], ...]
    """Each with whether it is open."""
    buckets: tuple[float, ...]
    across: Across


class FamilySent(msgspec.Struct, array_like=True):
    declared: Declared
    series: list[tuple[tuple[str, ...], float | tuple[tuple[int, ...], float]]]
    """Label values with a number, or with a distribution's cumulative counts and sum."""
    since: float
    exemplars: list[tuple[int, int, Exemplar]] = []
    """Each with the places of its series and of its bucket."""


Numbers: TypeAlias = list[FamilySent]


class Ready(msgspec.Struct, tag=True):
    """Worker: I serve."""


class Mine(msgspec.Struct, tag=True):
    """Worker: my numbers; if `asked`, to the parent's question."""

    numbers: Numbers
    asked: bool
    question: int = 0
    """0: to that which waits longest, as workers of releases before say it."""


class AskAll(msgspec.Struct, tag=True):
    """Worker: I am being scraped, these are my numbers, give me everybody's."""

    question: int
    numbers: Numbers


class AskTurn(msgspec.Struct, tag=True):
    """Worker: these are my numbers; may I send everybody's through this exporter?"""

    question: int
    numbers: Numbers
    exporter: str
    period_s: float
    last: bool


class AskWindow(msgspec.Struct, tag=True):
    """Worker: where is the rate limit's window of this caller? Begin one if there is none."""

    question: int
    caller: str
    requests: int
    window_s: int


class TurnOver(msgspec.Struct, tag=True):
    """Worker: I am done with the turn that I was given."""

    exporter: str
    sent: bool


class AskYours(msgspec.Struct, tag=True):
    """Parent: give me your numbers."""

    question: int = 0


class All(msgspec.Struct, tag=True):
    """Parent: everybody's numbers."""

    question: int
    numbers: Numbers


class YourTurn(msgspec.Struct, tag=True):
    """Parent: everybody's numbers and those sent before, to be sent now; None: it is not your turn."""

    question: int
    exporter: str
    numbers: Numbers | None
    sent: Numbers


class Window(msgspec.Struct, tag=True):
    """Parent: its place in the shared memory and its end; None: there is no place, count for yourself."""

    question: int
    found: tuple[int, float] | None


FromWorker: TypeAlias = Ready | Mine | AskAll | AskTurn | TurnOver | AskWindow
FromParent: TypeAlias = AskYours | All | YourTurn | Window


class Link:
    """One end. `receive` is called by one task; any may `send`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: FromWorker | FromParent, *, timeout_s: float) -> bool:
        """Whether it could be sent: the other end may be gone, or not have read for `timeout_s`."""
        if self._writer.is_closing() or self._writer.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            return False
        frame = msgspec.msgpack.encode(message)
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)
                await self._writer.drain()
        except (OSError, TimeoutError):
            return False
        return True

    async def receive(self) -> bytes | None:
        """The next message, to be decoded by who knows what may come; None at the end."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            return await self._reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            return None

    def close(self) -> None:
        self._writer.close()


async def open_link(end: socket.socket) -> Link:
    """The link takes the socket over."""
    return Link(*await asyncio.open_unix_connection(sock=end))


def to_numbers(snapshot: Snapshot) -> Numbers:
    return [
        FamilySent(
            _declared(family.metric),
            [
                (labels, (value.cumulative, value.sum) if isinstance(value, Distribution) else value)
                for labels, value in family.values.items()
            ],
            family.since,
            [
                (place, bucket, exemplar)
                for place, value in enumerate(family.values.values())
                if isinstance(value, Distribution)
                for bucket, exemplar in enumerate(value.exemplars)
                if exemplar is not None
            ],
        )
        for family in snapshot
    ]


def to_snapshot(numbers: Sequence[FamilySent]) -> Snapshot:
    return [Family(_metric(family.declared), _values(family), family.since) for family in numbers]


def _values(family: FamilySent) -> dict[tuple[str, ...], float | Distribution]:
    exemplars: dict[int, list[Exemplar | None]] = {}
    for place, bucket, exemplar in family.exemplars:
        exemplars.setdefault(place, [None] * (len(family.declared.buckets) + 1))[bucket] = exemplar
    return {
        labels: Distribution(*value, tuple(exemplars.get(place, ()))) if isinstance(value, tuple) else value
        for place, (labels, value) in enumerate(family.series)
    }


def _declared(metric: Metric) -> Declared:
    return Declared(
        kind=metric.kind,
        name=metric.name,
        help=metric.help,
        labels=tuple((label, values is OPEN) for label, values in metric.labels.items()),
        buckets=metric.buckets if isinstance(metric, Histogram) else (),
        across=across_of(metric),
    )


@lru_cache(maxsize=1024)
def _metric(declared: Declared) -> Metric:
    labels = {label: OPEN if is_open else () for label, is_open in declared.labels}
    if declared.kind == "histogram":
        return Histogram(declared.name, declared.help, labels, declared.buckets)
    if declared.kind == "gauge":
        return Gauge(declared.name, declared.help, labels, declared.across)
    return Counter(declared.name, declared.help, labels, "max" if declared.across == "max" else "sum")
