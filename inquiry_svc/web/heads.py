"""The heads of requests in which nothing is unusual, read strictly; what is not certain is left to aiohttp's parser.

A wrong guess about where a request ends would let one hide in another, so nothing is guessed: what may stand in a head
is listed, and a head in which anything else stands is none of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_END: Final = b"\r\n\r\n"
_MAX_BYTES: Final = 4096
_LINES: Final = re.compile(
    r"(GET|HEAD|POST) ([!-~]+) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?(?:[!-~](?:[ -~]*[!-~])?)?\r\n)*)\r\n"
)
_FIELD: Final = re.compile(r"([^:]+): ?(.*)\r\n")
_UNUSUAL: Final = frozenset(("transfer-encoding", "content-encoding", "expect", "upgrade", "trailer"))
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Head:
    """Of one request: what it asks for, and where its body begins and ends."""

    method: str
    target: str
    fields: Mapping[str, str]
    """By name in lower case."""
    body_at: int
    end: int


def read_head(data: bytes) -> Head | None:
    """The head that `data` begins with, or None where it is not whole yet or anything in it is unusual."""
    body_at = data.find(_END, 0, _MAX_BYTES) + len(_END)
    if body_at < len(_END):
        return None
    found = _LINES.fullmatch(data[:body_at].decode("latin-1"))
    if found is None:
        return None
    method, target, lines = found.groups()
    given = _FIELD.findall(lines)
    fields = {name.lower(): value for name, value in given}
    if len(fields) != len(given) or not _UNUSUAL.isdisjoint(fields):
        return None
    if fields.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    length = fields.get("content-length", "0")
    if not _LENGTH.fullmatch(length):
        return None
    return Head(method, target, fields, body_at, body_at + int(length))
