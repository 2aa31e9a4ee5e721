"""How much a text holds that the model can judge it by: 0 is nothing, 1 enough. With little, no answer is a sure one.

Calibration makes confidence honest on mail like that of the corpus. Of all else (another language, chance letters, a
greeting alone, a pasted list of words) the model knows nothing and does not know that it doesn't: it would be sure of
whatever its bias says. So a text is measured beside its features, and the least of these counts:

- spelling: the share of its runs of characters that the corpus knows well. English mail has nearly all of them, other
  languages and gibberish far fewer. `familiar_from` is what 99 of 100 rows by an author not seen reach (by the author
  in the middle); it is found in training as such a row is judged: against the rows of the other authors.
- amount: how many different words and pairs of words it has that the corpus knows. A word said 10,000 times is one.
- sentences: of many words, some must be such as stand in any mail; a list of key words has next to none.
- letters: not mostly digits.
- something of the writer's own: see `own_words.py`.

The margins of an answer are multiplied by the evidence, and by less where it is less than half, so that the label stays
and the confidence falls towards chance. Mail that is evidence enough is answered to the bit as it was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.inquiries import AXES, Text
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, SURFACE, Features
from inquiry_svc_plugins.classifiers.xgboost.own_words import has_own_words

Floats = NDArray[np.float64]

SEEN_IN: Final = 4
"""Documents: of an n-gram of fewer nothing is known, and it has no weights. Two in three of the packaged corpus are
such; with those of three documents the model is an eighth larger, and no more often right."""
WELL_KNOWN_ONE_IN: Final = 1000
"""Documents: a run of characters that is in so many of them is known well."""
KNOWN_ONE_IN: Final = 6000
"""Alike, for words and pairs of words, of which each is rarer."""
EVERYDAY_ONE_IN: Final = 20
"""Alike: such a word is in any mail whatever it is about."""

SPELLING_WIDTH: Final = 0.2
"""So far below `familiar_from` there is no evidence; half as far is half of it. With the packaged model enough is .78;
Spanish comes to .55, French to .49, German to .46, chance letters to .11."""
AMOUNT: Final = (2, 6)
"""Known words and pairs: none at 2, enough at 6, as "where is my invoice" has. Of rows by authors not seen 1 in 200 has
fewer than 7."""
LISTED_FROM: Final = 15
"""Words and pairs, that is 8 words in a row: in fewer it may be chance that none is an everyday one."""
EVERYDAY_SHARE: Final = (1 / 24, 1 / 12)
DIGITS_SHARE: Final = (0.4, 0.6)

LEAST_WEIGHT: Final = 0.03
"""Of the margins, so that a label without evidence is still the label and no tie."""

KNOWN, EVERYDAY = 1, 2
_DIGITS: Final = SURFACE.index("digits_share")


@dataclass(frozen=True, slots=True)
class Counts:
    """Of each text, an array each."""

    runs: Floats
    """Of characters: all, and those that the corpus knows well."""
    known_runs: Floats
    words: Floats
    """And pairs of words: all, those that the corpus knows, and those that are in any mail."""
    known_words: Floats
    everyday_words: Floats
    digits_share: Floats

    @property
    def spelling(self) -> Floats:
        """The share of its runs that are known; 1 where it has none."""
        shares: Floats = (self.known_runs + (self.runs == 0)) / np.maximum(self.runs, 1)
        return shares


def count(found: NDArray[np.uint8], features: Features) -> Counts:
    """`found` is what `known_buckets` says of each of the features' buckets."""
    sizes = np.diff(features.starts, append=len(found)) - 1  # the first says nothing
    known_ones, everyday = (
        np.add.reduceat(found >= least, features.starts, dtype=np.int64) for least in (KNOWN, EVERYDAY)
    )
    return Counts(
        sizes[::2].astype(np.float64),
        known_ones[::2].astype(np.float64),
        sizes[1::2].astype(np.float64),
        known_ones[1::2].astype(np.float64),
        everyday[1::2].astype(np.float64),
        features.surface[:, _DIGITS].astype(np.float64),
    )


def measure(counts: Counts, familiar_from: float) -> Floats:
    """The evidence of each text by what is counted of it, whatever else is in the batch."""
    everyday_share = counts.everyday_words / np.maximum(counts.words, 1)
    bounds = (
        _ramp(counts.spelling, *spelling_bounds(familiar_from)),
        _ramp(counts.known_words, *AMOUNT),
        np.where(counts.words < LISTED_FROM, 1.0, _ramp(everyday_share, *EVERYDAY_SHARE)),
        1 - _ramp(counts.digits_share, *DIGITS_SHARE),
    )
    least: Floats = np.vstack(bounds).min(axis=0).clip(0.0, 1.0)
    return least


def spelling_bounds(familiar_from: float) -> tuple[float, float]:
    """Of the share of runs that are known: where there is no evidence, and where there is enough."""
    return familiar_from - SPELLING_WIDTH, familiar_from


def take_from_others_words(texts: Sequence[Text], evidence: Floats) -> None:
    """Leave none where nothing is the writer's own."""
    for place, text in enumerate(texts):
        if not has_own_words(text):
            evidence[place] = 0.0


def known_buckets(buckets: NDArray[Any], frequency: NDArray[Any], documents: int) -> NDArray[np.uint8]:
    """Of each of these buckets, of which so many documents have it: 0, `KNOWN`, or `EVERYDAY`, which is known too."""

    def one_in(each: int) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = frequency >= max(SEEN_IN, ceil(documents / each))
        return found

    half = BUCKETS // 2
    words = buckets >= half
    found = np.where(words, one_in(KNOWN_ONE_IN), one_in(WELL_KNOWN_ONE_IN)).astype(np.uint8)
    found += words & one_in(EVERYDAY_ONE_IN)
    found[(buckets == 0) | (buckets == half)] = 0  # every text has these
    return found


def weight_of(evidence: Any) -> Any:
    """What the margins of an answer are multiplied by: the evidence, and less where it is less than half.

    A pasted list of words can have any margin.
    """
    return np.maximum(np.minimum(evidence, 2 * evidence * evidence), LEAST_WEIGHT)


_LABELS: Final = [len(labels) for labels in AXES.values()]
_FIRST_COLUMNS: Final = np.cumsum([0, *_LABELS[:-1]])
_AXIS_OF_COLUMNS: Final = np.repeat(np.arange(len(_LABELS)), _LABELS)


def soften(probabilities: Floats, evidence: Floats) -> Floats:
    """Of each axis the probabilities to the power of the weight, which multiplies the margins by it."""
    doubtful = (evidence < 1).nonzero()[0]
    if not len(doubtful):
        return probabilities
    softened = probabilities.copy()
    powers = probabilities[doubtful] ** weight_of(evidence[doubtful])[:, None]
    softened[doubtful] = powers / np.add.reduceat(powers, _FIRST_COLUMNS, axis=1)[:, _AXIS_OF_COLUMNS]
    return softened


def _ramp(values: NDArray[Any], nothing: float, enough: float) -> Floats:
    """0 at `nothing`, 1 at `enough`, and on beyond both."""
    return (values - nothing) / (enough - nothing)
