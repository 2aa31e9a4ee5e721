"""The heads of requests in which nothing is unusual, read strictly; what is not certain is left to aiohttp's parser.

A wrong guess about where a request ends would let one hide in another, so nothing is guessed: what may stand in a head
is listed, and a head in which anything else stands is none of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

_END: Final = b"\r\n\r\n"
_MAX_BYTES: Final = 4096
_PLAIN: Final = re.compile(
    r"(?:GET|HEAD|POST) [!-~]++ HTTP/1\.1(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]++: [!-~][ -~]*+(?<! ))*+"
)
_UNUSUAL: Final = frozenset(("transfer-encoding", "content-encoding", "expect", "upgrade", "trailer"))
_MAX_DIGITS: Final = 9


class Head(Struct, frozen=True):
    """Of one request: what it asks for, and where its body begins and ends."""

    method: str
    target: str
    fields: Mapping[str, str]
    """By name in lower case."""
    body_at: int
    end: int


def read_head(data: bytes) -> Head | None:
    """The head that `data` begins with, or None where it is not whole yet or anything in it is unusual."""
    head_end = data.find(_END, 0, _MAX_BYTES)
    if head_end < 0:
        return None
    head = data[:head_end].decode("latin-1")
    if _PLAIN.fullmatch(head) is None:
        return None
    request_line, *lines = head.split("\r\n")
    fields = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields[name.lower()] = value
    length = fields.get("content-length", "0")
    if (
        len(fields) != len(lines)
        or not _UNUSUAL.isdisjoint(fields)
        or fields.get("connection", "keep-alive").lower() != "keep-alive"
        or not length.isdecimal()
        or len(length) > _MAX_DIGITS
    ):
        return None
    method, target, _ = request_line.split(" ")
    body_at = head_end + len(_END)
    return Head(method, target, fields, body_at, body_at + int(length))
