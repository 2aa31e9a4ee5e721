"""What each UTF-16 unit of a text is, and what it counts as: the tables that `features.py` looks everything up in.

The ranges are spelt out, because Python's own idea of a letter or a capital changes from version to version, and a
model must read a text the same way under each of them. Scripts without capitals are letters all through.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

SPACE: Final = 0x20
MULTIPLIER: Final = np.uint32(0x9E3779B1)
"""Of the polynomial hashes: 2^32 divided by the golden ratio, odd."""

BLANK, INK, BANG, QUERY, LETTER, CAPITAL, DIGIT, DROPPED = range(8)
"""Kinds of unit. From `LETTER` on, part of a word; `DROPPED` ones are removed before all else."""

_INK: Final = (
    *((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2010, 0x27BF)),
    *((0x2E00, 0x2E7F), (0x3001, 0x303F), (0xD800, 0xDFFF), (0xFF01, 0xFF0F)),
)
"""Punctuation, symbols, and the halves of emoji."""
_BLANK: Final = ((0, 0x20), (0x7F, 0xA0), (0x2000, 0x200A), (0x2028, 0x2029), (0x205F, 0x205F), (0x3000, 0x3000))
_DROPPED: Final = (
    *((0xAD, 0xAD), (0x300, 0x36F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F)),
    *((0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
)
"""Soft hyphens, accents that stand alone, zero-width characters, marks of direction, variant selectors."""
_CAPITALS: Final = ((0x41, 0x5A), (0xC0, 0xD6), (0xD8, 0xDE), (0x391, 0x3A9), (0x400, 0x42F))
_PLAIN: Final = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}


@dataclass(frozen=True, slots=True)
class UnitTables:
    kinds: NDArray[np.uint8]
    folded: NDArray[np.uint16]
    """Lower case, one digit for all, a space for each blank, plain quotes and dashes."""
    powers: NDArray[np.uint32]
    """Of `MULTIPLIER`: what a unit counts for at each place of a word."""


@cache
def unit_tables() -> UnitTables:
    """Made once, in some 3 ms."""
    kinds = np.full(0x10000, LETTER, np.uint8)
    folded = np.arange(0x10000, dtype=np.uint16)
    for ranges, kind in ((_INK, INK), (_BLANK, BLANK), (_DROPPED, DROPPED), (_CAPITALS, CAPITAL)):
        for low, high in ranges:
            kinds[low : high + 1] = kind
    folded[kinds == BLANK] = SPACE
    for code in np.flatnonzero(kinds == CAPITAL).tolist():
        folded[code] = ord(chr(code).lower())
    kinds[0x30:0x3A] = DIGIT
    folded[0x30:0x3A] = 0x30
    for odd, plain in _PLAIN.items():
        folded[ord(odd)] = ord(plain)
    kinds[[ord("'"), ord("\u2018"), ord("\u2019")]] = LETTER
    kinds[ord("!")], kinds[ord("?")] = BANG, QUERY
    powers = np.cumprod(np.full(32, MULTIPLIER, np.uint32), dtype=np.uint32)
    return UnitTables(kinds, folded, powers)
