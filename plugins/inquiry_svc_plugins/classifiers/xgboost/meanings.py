"""What the words of a text say by their meaning: a second linear layer, over the mean of the words' vectors.

N-grams know the words that the corpus has; these know a whole vocabulary, since a word's weights follow from its vector
and words that mean alike have vectors alike. A linear layer over a mean of vectors is a mean of numbers, so that of
each word only what it adds to the 13 scores is kept, as signed bytes: at run time there are no vectors. How they come
about is in `word_vectors.py`.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.giving_way import go_on
from inquiry_svc.inquiries import AXES
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, Features

Number = TypeVar("Number", np.int8, np.int32, np.float32)

LABELS: Final = 13
COLUMNS: Final[Mapping[str, slice]] = {
    axis: slice(end - len(AXES[axis]), end) for axis, end in zip(AXES, accumulate(map(len, AXES.values())), strict=True)
}
"""Of each axis its columns among the labels."""
ROW: Final = 16
"""Columns of the table: 13 weights, the amount that the word counts for, and nothing, to fill a cache line."""
PRIOR: Final = 1.0
"""What is added to the amounts of a text's words: of a text with few known words less is believed."""
_STEP_WORDS: Final = 1 << 12
"""Of the table in one step, a quarter of a millisecond."""
_NOTHING, _EVERY_TEXT, _FIRST = range(3)
"""Rows of a word that is not in the vocabulary; of the bucket that every text has; and of the first word that is."""


@dataclass(frozen=True, slots=True)
class Meanings:
    rows: NDArray[np.int32]
    """Of each bucket of a single word: its row of the table."""
    table: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], pause: Callable[[], None] = go_on) -> Meanings:
        """From what `to_arrays` gave; `pause` is called after each step: see `Host`."""
        buckets, amounts = np.flatnonzero(np.unpackbits(arrays["words"]).view(bool)), arrays["word_amounts"]
        pause()
        rows = zeros((BUCKETS >> 1,), np.int32)  # _NOTHING
        rows[0] = _EVERY_TEXT
        rows[buckets] = np.arange(_FIRST, _FIRST + len(buckets))
        table = rows_of_a_line(_FIRST + len(buckets))
        table[_EVERY_TEXT, LABELS] = PRIOR
        for start in range(0, len(buckets), _STEP_WORDS):
            step = slice(start, start + _STEP_WORDS)
            words = table[_FIRST:][step]
            words[:, :LABELS] = arrays["word_weights"][step] * arrays["word_scale"] * amounts[step, None]
            words[:, LABELS] = amounts[step]
            pause()
        return cls(rows, table)

    def scores(self, features: Features) -> NDArray[np.float32]:
        """One row a text, as `LinearLayer.scores`."""
        sums = np.add.reduceat(self.table.take(self.rows.take(features.words), axis=0), features.word_starts, axis=0)
        scores: NDArray[np.float32] = (sums[:, :LABELS] / sums[:, LABELS : LABELS + 1]).astype(np.float32, copy=False)
        return scores

    def contributions(self, features: Features) -> NDArray[np.float64]:
        """What each bucket of `Features.words` of one text adds to each score, one bucket a row."""
        rows = self.table[self.rows[features.words]].astype(np.float64)
        found: NDArray[np.float64] = rows[:, :LABELS] / rows[:, LABELS].sum()
        return found


def to_arrays(
    weights: NDArray[np.float64], buckets: NDArray[np.uint32], amounts: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    """What is stored: of each word the weights, of shape (words, labels), its bucket, of which the next is greater, and
    its amount."""
    known = np.zeros(BUCKETS >> 1, np.bool_)
    known[buckets] = True
    scale = np.abs(weights).max(axis=0) / 127
    return {
        "words": np.packbits(known),
        "word_amounts": amounts.astype(np.float16),
        "word_weights": np.round(weights / scale).astype(np.int8),
        "word_scale": scale.astype(np.float32),
    }


def rows_of_a_line(count: int) -> NDArray[np.float32]:
    """Zeros, of which each row is one cache line of its own. Where it lies across two, the kernel waits for both."""
    return zeros((count, ROW), np.float32)


def zeros(shape: tuple[int, ...], kind: type[Number]) -> NDArray[Number]:
    """In pages of their own, which the system has back once they are freed.

    On the heap, tables that come and go leave holes, 60 to 90 MB after some hundred models.
    """
    pages = mmap.mmap(-1, math.prod(shape) * np.dtype(kind).itemsize, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if sys.platform == "linux":
        with suppress(OSError):  # of a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)  # as numpy asks for too, of whatever is large
    return np.frombuffer(pages, kind).reshape(shape)
