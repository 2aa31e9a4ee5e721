"""How inquiries spread over the bins of each measure, and how far two such spreads are apart.

A `Profile` is what a model knows of its training: the spread that it should meet, and the words that it has met. A
`Tally` counts inquiries to be held against it. The distance is the population stability index,

    sum over the bins of (share - share before) * ln(share / share before)

by custom small below 0.1 and a change of the population above 0.25. Chance alone makes it about
(bins - 1) * (1/n + 1/m) of n and m inquiries, so that of few nothing can be said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.measures import MEASURES

Shares: TypeAlias = Mapping[str, Mapping[str, float]]
"""For each measure the share of each of its bins; none is 0."""

FORMAT: Final = 1
ENOUGH: Final = 200
"""Inquiries, before an index says more than chance: of 200 and 200 that is 0.07 for the measure with the most bins."""
CHANGED: Final = 0.25
"""By custom, and by the alert InquiryDrift."""
_MORE: Final = 0.5
"""Counted in each bin besides, so that an empty one is rare rather than impossible."""


class Tally:
    """Counts inquiries by measure and bin."""

    def __init__(self) -> None:
        self._counts = {measure: dict.fromkeys(bins, 0.0) for measure, bins in MEASURES.items()}

    def add(self, bins: Mapping[str, str], weight: float = 1.0) -> None:
        """`bins` maps measures to the bin that an inquiry falls into; a measure that is not there is not counted."""
        for measure, found in bins.items():
            self._counts[measure][found] += weight

    def count(self, measure: str) -> float:
        return sum(self._counts[measure].values())

    def shares(self) -> Shares:
        return {measure: _shares(counts) for measure, counts in self._counts.items()}


def _shares(counts: Mapping[str, float]) -> Mapping[str, float]:
    whole = sum(counts.values()) + _MORE * len(counts)
    return {found: (count + _MORE) / whole for found, count in counts.items()}


def stability_index(shares: Mapping[str, float], before: Mapping[str, float]) -> float:
    """0 where both are the same; both of one measure."""
    return sum((share - before[found]) * math.log(share / before[found]) for found, share in shares.items())


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model was trained on, as it would have been seen by one that had not: made of rows held out."""

    shares: Shares
    known_words: Set[str]
    """In lower case, as `measures.words_of` gives them."""

    def as_json(self) -> str:
        """One file's content, the same for the same profile."""
        rounded = {
            measure: {found: round(share, 6) for found, share in shares.items()}
            for measure, shares in self.shares.items()
        }
        content = {"format": FORMAT, "shares": rounded, "known_words": " ".join(sorted(self.known_words))}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, content: bytes) -> Profile:
        """Raises `ConfigurationError` for what `as_json` of this release did not write."""
        try:
            read = msgspec.json.decode(content, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"not a profile: {error}") from error
        if read.format != FORMAT or {measure: tuple(each) for measure, each in read.shares.items()} != MEASURES:
            raise ConfigurationError("not a profile of this release: its format, measures or bins differ")
        return cls(read.shares, frozenset(read.known_words.split()))


class _File(msgspec.Struct):
    format: int
    shares: dict[str, dict[str, Annotated[float, Meta(gt=0, le=1)]]]
    known_words: str
