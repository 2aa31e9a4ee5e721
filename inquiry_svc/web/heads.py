"""The heads of requests in which nothing is unusual, read strictly; what is not certain is left to aiohttp's parser.

A wrong guess about where a request ends would let one hide in another, so nothing is guessed: what may stand in a head
is listed, and a head in which anything else stands is none of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from msgspec import Struct

A = TypeVar("A")

_END: Final = b"\r\n\r\n"
_MAX_BYTES: Final = 4096
_PLAIN: Final = re.compile(
    r"(?:GET|HEAD|POST) [!-~]++ HTTP/1\.1(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]++: [!-~][ -~]*+(?<! ))*+"
)
_MAX_DIGITS: Final = 9
_LENGTH: Final = re.compile(rb"\r\n(?i:content-length): ([0-9]{1,%d})(?=\r\n)" % _MAX_DIGITS)
_UNUSUAL: Final = frozenset(("content-length", "transfer-encoding", "content-encoding", "expect", "upgrade", "trailer"))
"""Where the one length that a head may have was taken out, another is left."""


class Asking(Struct, frozen=True):
    """All that a head says but for the length of the body."""

    method: str
    target: str
    fields: Mapping[str, str]
    """By name in lower case; without the length."""


class Head(Struct, Generic[A], frozen=True):
    """Of one request: what it asks for, and where its body begins and ends."""

    asked: A
    body_at: int
    end: int


class Heads(Generic[A]):
    """Of one connection. A client sends the same head again and again, but for the length: that is read once."""

    __slots__ = ("_after", "_asked", "_before", "_understood")

    def __init__(self, understood: Callable[[Asking], A]) -> None:
        """`understood` says what it is that a head asks for."""
        self._understood = understood
        self._before: bytes | None = None
        """The last head up to its length, and from there on: what they stand around is as plain as it was."""
        self._after = b""
        self._asked: A

    def read(self, data: bytes) -> Head[A] | None:
        """The head that `data` begins with, or None where it is not whole yet or anything in it is unusual."""
        before = self._before
        if before is not None and data.startswith(before):
            length_at = len(before)
            length_end = data.find(b"\r", length_at)
            length = data[length_at:length_end]
            if data.startswith(self._after, length_end) and length.isdigit() and len(length) <= _MAX_DIGITS:
                body_at = length_end + len(self._after)
                return Head(self._asked, body_at, body_at + int(length))
        return self._read_anew(data)

    def _read_anew(self, data: bytes) -> Head[A] | None:
        end = data.find(_END, 0, _MAX_BYTES)
        if end < 0:
            return None
        body_at, found = end + len(_END), _LENGTH.search(data, 0, end + 2)
        if found is None:
            asking = _read(data[:end])
            return None if asking is None else Head(self._understood(asking), body_at, body_at)
        asking = _read(data[: found.start()] + data[found.end() : end])
        if asking is None:
            return None
        self._before, self._after = data[: found.start(1)], data[found.end() : body_at]
        self._asked = self._understood(asking)
        return Head(self._asked, body_at, body_at + int(found[1]))


def _read(head: bytes) -> Asking | None:
    """Without a length."""
    text = head.decode("latin-1")
    if _PLAIN.fullmatch(text) is None:
        return None
    request_line, *lines = text.split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields[name.lower()] = value
    if (
        len(fields) != len(lines)
        or not _UNUSUAL.isdisjoint(fields)
        or fields.get("connection", "keep-alive").lower() != "keep-alive"
    ):
        return None
    method, target, _ = request_line.split(" ")
    return Asking(method, target, fields)
