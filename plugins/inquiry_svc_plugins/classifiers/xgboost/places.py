"""Where in a text its tokens stand: what `features.py` does away with, kept.

For explanations alone. A token is a word (letters and digits) or what stands between words (punctuation, emoji). One
that comes again, in whatever case and with whatever digits, is the same token at two places: the features do not tell
them apart either. Places are counted in the text as it was given, before its addresses were masked and its zero-width
characters dropped; dropped characters belong to what they follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.explanations import Span
from inquiry_svc.inquiries import Text
from inquiry_svc_plugins.classifiers.xgboost.features import holds_address, masked
from inquiry_svc_plugins.classifiers.xgboost.lookalikes import as_seen
from inquiry_svc_plugins.classifiers.xgboost.units import BLANK, DROPPED, LETTER, unit_tables

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Runs:
    """A text as `extract` reads it, cut into runs: each one occurrence of a token."""

    folded: NDArray[np.uint32]
    """The units that are left, with a blank at both ends."""
    in_word: NDArray[np.bool_]
    """Of each unit, whether it is part of a word."""
    starts: Places
    """Of each run: its first unit."""
    stops: Places
    """And the unit after its last."""
    tokens: Places
    """And the number of its token."""
    are_words: NDArray[np.bool_]
    spans: list[tuple[Span, ...]]
    """Of each token: its places in the text as it was given, in order."""


def runs_of(text: Text) -> Runs:
    characters, first, after = _placed(text)
    units = np.frombuffer(f"\x00{characters}\x00".encode("utf-16-le", "surrogatepass"), "<u2")
    codes = np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), "<u4")
    unit_counts = 1 + (codes > 0xFFFF)
    first = np.concatenate([[0], np.repeat(first, unit_counts), [0]])
    after = np.concatenate([[0], np.repeat(after, unit_counts), [0]])

    kinds = unit_tables().kinds[units]
    kept = np.flatnonzero(kinds != DROPPED)
    units, kinds, first = units[kept], kinds[kept], first[kept]
    after = after[np.append(kept[1:], len(after)) - 1]

    classes = np.where(kinds == BLANK, 0, np.where(kinds >= LETTER, 2, 1))
    changes = np.flatnonzero(np.diff(classes)) + 1
    starts, stops = np.append(0, changes), np.append(changes, len(classes))
    inked = classes[starts] > 0
    starts, stops = starts[inked], stops[inked]
    folded = unit_tables().folded[units].astype(np.uint32)
    tokens, spans = _tokens(text, folded, starts, stops, first[starts], after[stops - 1])
    return Runs(folded, classes == 2, starts, stops, tokens, classes[starts] == 2, spans)


def _placed(text: Text) -> tuple[str, Places, Places]:
    """The text as one string with its addresses masked; of each character where it starts and ends in subject, line
    end and body."""
    whole = as_seen(f"{text.subject}\n{text.body}").replace("\x00", " ")
    if not holds_address(whole):
        return whole, np.arange(len(whole)), np.arange(1, len(whole) + 1)
    parts: list[str] = []
    first: list[int] = []
    after: list[int] = []
    end = 0
    for word in whole.split():
        start = whole.index(word, end)
        parts.append(masked(word))
        if parts[-1] == word:
            first += range(start, start + len(word))
            after += range(start + 1, start + len(word) + 1)
        else:
            first.append(start)
            after.append(start + len(word))
        end = start + len(word)
        parts.append(" ")
        first.append(end)
        after.append(end)
    return "".join(parts[:-1]), np.array(first[:-1], np.int64), np.array(after[:-1], np.int64)


def _tokens(
    text: Text, folded: NDArray[np.uint32], starts: Places, stops: Places, first: Places, after: Places
) -> tuple[Places, list[tuple[Span, ...]]]:
    numbers: dict[bytes, int] = {}
    found: list[int] = []
    spans: list[list[Span]] = []
    in_body = len(text.subject) + 1
    for start, stop, begin, end in zip(*(each.tolist() for each in (starts, stops, first, after)), strict=True):
        number = numbers.setdefault(folded[start:stop].tobytes(), len(numbers))
        if number == len(spans):
            spans.append([])
        found.append(number)
        spans[number].append(
            Span("subject", begin, end) if begin < in_body else Span("body", begin - in_body, end - in_body)
        )
    return np.array(found, np.int64), list(map(tuple, spans))
