"""Where a request ends, from its head: for those who must know it before aiohttp has read it, or without."""

from __future__ import annotations

from typing import Final

UNCLEAR: Final = -1
HEAD_END: Final = b"\r\n\r\n"

_USUAL_LENGTH: Final = b"\r\nContent-Length: "
_LENGTH: Final = b"\r\ncontent-length:"
_MAX_DIGITS: Final = 18


def size_of(data: bytes) -> int:
    """Bytes of the request that `data` begins with, body included; `UNCLEAR` where its head does not say so plainly.

    Right for all that aiohttp takes: it refuses, and closes after, what gives two lengths or a length of chunks.
    """
    head_end = data.find(HEAD_END)
    at = data.find(_USUAL_LENGTH, 0, head_end + 2)
    if at < 0 or head_end < 0:
        return _unusual_size(data, head_end)
    length = value_at(data, at + len(_USUAL_LENGTH))
    return head_end + len(HEAD_END) + int(length) if length.isdigit() and len(length) <= _MAX_DIGITS else UNCLEAR


def _unusual_size(data: bytes, head_end: int) -> int:
    head = data[: head_end + 2].lower()
    if head_end < 0 or b"\r\ntransfer-encoding" in head or not data.startswith((b"POST ", b"GET ")):
        return UNCLEAR
    at = head.find(_LENGTH)
    if at < 0:
        return head_end + len(HEAD_END)
    length = value_at(head, at + len(_LENGTH))
    return head_end + len(HEAD_END) + int(length) if length.isdigit() and len(length) <= _MAX_DIGITS else UNCLEAR


def value_at(head: bytes, start: int) -> bytes:
    """What a header says whose name ends before `start`."""
    return head[start : head.find(b"\r\n", start)].strip(b" \t")
