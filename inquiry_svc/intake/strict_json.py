"""JSON read strictly, with every fault named by its place.

What other parsers let through is refused: duplicate keys, NaN and infinities, numbers that no JSON number type holds,
NUL characters, lone surrogates, deep nesting. The decoder marks what is unfit where it stands; only a document that may
hold such a mark is searched for it, so a plain one costs no more than parsing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

MAX_DEPTH: Final = 32
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
"""What a signed integer of 64 bits holds, and so every store."""


class NotJson(Exception):
    """The bytes are not JSON at all."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong and where, as a JSON pointer (RFC 6901)."""

    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class _Unfit:
    """Stands in a document for something that must be refused."""

    message: str


def parse(raw: bytes) -> Any:
    """The document; it may hold marks, which `faults` finds. Raises `NotJson`."""
    try:
        text = raw.decode("utf-8")
        try:
            document, end = _DECODER.raw_decode(text)
            if end == len(text):  # nearly all; to look for white space around it takes as long as to read a short one
                return document
        except json.JSONDecodeError:
            pass
        return _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise NotJson(f"byte {error.start} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at character {error.pos}") from error
    except RecursionError:
        return _Unfit(_TOO_DEEP)


def faults(document: Any, pointer: str = "", depth: int = 0) -> Iterator[Fault]:
    """Everything unfit in the document, in the order in which it stands there."""
    if isinstance(document, _Unfit):
        yield Fault(pointer, document.message)
    elif isinstance(document, str):
        yield from (Fault(pointer, message) for message in _faults_of_text(document))
    elif isinstance(document, dict | list) and depth >= MAX_DEPTH:
        yield Fault(pointer, _TOO_DEEP)
    elif isinstance(document, dict):
        for key, value in document.items():
            inner = pointer_to(pointer, key)
            yield from (Fault(inner, f"the key {message}") for message in _faults_of_text(key))
            yield from faults(value, inner, depth + 1)
    elif isinstance(document, list):
        for place, value in enumerate(document):
            yield from faults(value, f"{pointer}/{place}", depth + 1)


def pointer_to(pointer: str, key: str) -> str:
    """The pointer to a member, safe to print whatever the key holds."""
    printable = key[:100].encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")
    return f"{pointer}/{printable.replace('~', '~0').replace('/', '~1')}"


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TOO_DEEP: Final = f"is nested deeper than {MAX_DEPTH} levels"


def _faults_of_text(text: str) -> Iterator[str]:
    if "\0" in text:
        yield "holds a NUL character"
    if _SURROGATE.search(text):
        yield "holds a lone surrogate"


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                members[key] = _Unfit("stands there twice")
            seen.add(key)
    return members


def _whole_number(digits: str) -> Any:
    if len(digits) <= len(str(_LEAST)) and _LEAST <= (number := int(digits)) <= _MOST:
        return number
    return _Unfit("is a whole number of more than 64 bits")


def _real_number(digits: str) -> Any:
    number = float(digits)
    return number if math.isfinite(number) else _Unfit("is a number too large")


def _not_a_number(name: str) -> Any:
    return _Unfit(f"is {name}, which is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_whole_number,
    parse_float=_real_number,
    parse_constant=_not_a_number,
)
