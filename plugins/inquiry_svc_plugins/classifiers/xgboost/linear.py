"""The linear layer: from hashed n-grams to one score for each of the 13 labels.

Each family of n-grams makes a vector of its own, in which rare n-grams weigh more (by their inverse document
frequency): of length 1 for the words, of `CHARACTER_SHARE` for the characters. The scores are both vectors times the
weights, plus a bias and what the words say by their meaning (`meanings.py`) and in their order (`convolution.py`). The
weights are kept as signed bytes with one scale a label, and only for n-grams that several rows of the corpus have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.giving_way import go_on
from inquiry_svc_plugins.classifiers.xgboost.convolution import Convolution
from inquiry_svc_plugins.classifiers.xgboost.evidence import EVERYDAY, KNOWN, SEEN_IN, known_buckets
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, Features
from inquiry_svc_plugins.classifiers.xgboost.meanings import LABELS, Meanings, rows_of_a_line, zeros

CHARACTER_SHARE: Final = 0.6
"""Found by holding out sources: at 1, accuracy is about 1 % lower on each axis."""
_STEP_ROWS: Final = 1 << 11
"""Of the table in one step: 0.1 ms, and what it makes on the way stays in the processor's cache."""
_UNSEEN: Final = 0
_COMMON: Final = 255
"""Documents. Of an n-gram in fewer, as nearly all are, their number is kept in a byte."""


@dataclass(frozen=True, slots=True)
class LinearLayer:
    rows: NDArray[np.int32]
    """Of each bucket its row of the table."""
    table: NDArray[np.float32]
    """In each row 13 weights, the squared length that an n-gram adds, and whether it is known and everyday as
    `evidence.py` says. The first is that of all which have no weights: they count as the rarest."""
    meanings: Meanings
    convolution: Convolution
    bias: NDArray[np.float32]
    character_share: np.float32

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], pause: Callable[[], None] = go_on) -> LinearLayer:
        """From what `to_arrays` gave; `pause` is called after each step: see `Host`."""
        frequency, documents, weights = frequency_of(arrays), int(arrays["documents"]), arrays["weights"]
        idf_of_frequency = inverse_document_frequency(np.arange(int(frequency.max()) + 1), documents)
        pause()
        buckets = np.flatnonzero(np.unpackbits(arrays["seen"]).view(bool))
        pause()
        known = known_buckets(buckets, frequency, documents)
        pause()
        rows = zeros((BUCKETS,), np.int32)
        table = rows_of_a_line(1 + len(buckets))
        table[_UNSEEN, LABELS] = idf_of_frequency[0] * idf_of_frequency[0]
        for start in range(0, len(buckets), _STEP_ROWS):
            step = slice(start, start + _STEP_ROWS)
            rows[buckets[step]] = np.arange(start, min(start + _STEP_ROWS, len(buckets))) + _UNSEEN + 1
            some, idf = table[_UNSEEN + 1 :][step], idf_of_frequency.take(frequency[step])
            some[:, :LABELS] = weights[step] * arrays["scale"] * idf[:, None]
            some[:, LABELS] = idf * idf
            some[:, LABELS + 1], some[:, LABELS + 2] = known[step] >= KNOWN, known[step] >= EVERYDAY
            pause()
        meanings = Meanings.from_arrays(arrays, pause)
        convolution = Convolution.from_arrays(arrays, pause)
        return cls(rows, table, meanings, convolution, arrays["bias"], np.float32(arrays["character_share"]))

    def known(self, features: Features) -> NDArray[np.uint8]:
        """Of each of the buckets what `known_buckets` says."""
        rows = self.rows.take(features.buckets)
        known, everyday = (self.table[rows, LABELS + column] for column in (1, 2))
        found: NDArray[np.uint8] = (KNOWN * known + (EVERYDAY - KNOWN) * everyday).astype(np.uint8)
        return found

    def scores(self, features: Features) -> NDArray[np.float32]:
        """One row a text. Sums run over one text's n-grams in the order of their buckets, whatever the batch."""
        rows = self.table.take(self.rows.take(features.buckets), axis=0)
        sums = np.add.reduceat(rows, features.starts, axis=0)
        scores = sums[:, :LABELS] / np.sqrt(sums[:, LABELS : LABELS + 1])
        by_ngrams = scores[0::2] * self.character_share + scores[1::2]
        by_layers = by_ngrams + self.meanings.scores(features) + self.convolution.scores(features)
        return (by_layers + self.bias).astype(np.float32, copy=False)

    def contributions(self, features: Features) -> NDArray[np.float64]:
        """What each bucket of one text adds to each score, one bucket a row: with the bias and the contributions of
        `meanings` and `convolution` they make the scores."""
        rows = self.table[self.rows[features.buckets]].astype(np.float64)
        lengths = np.sqrt(np.add.reduceat(rows[:, LABELS], features.starts))
        scale = np.array([self.character_share, 1.0]) / lengths
        sizes = np.diff(features.starts, append=len(rows))
        return rows[:, :LABELS] * np.repeat(scale, sizes)[:, None]


def frequency_of(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint16]:
    """In how many documents each n-gram is that has weights, from what `to_arrays` gave."""
    found: NDArray[np.uint16] = arrays["document_frequency"].astype(np.uint16)
    found[found == _COMMON] = arrays["common_frequency"]
    return found


def inverse_document_frequency(frequency: NDArray[Any], documents: int) -> NDArray[np.float32]:
    """ln((1 + documents) / (1 + frequency)) + 1, the smoothed form: an n-gram never seen counts as the rarest."""
    return (np.log((1 + documents) / (1 + frequency.astype(np.float64))) + 1).astype(np.float32)


def to_arrays(
    weights: NDArray[np.float64], bias: NDArray[np.float64], frequency: NDArray[np.int64], documents: int
) -> dict[str, NDArray[Any]]:
    """What is stored of weights of shape (n-grams, labels): one row for each bucket that `SEEN_IN` rows have, in order.

    `frequency` is that of all buckets.
    """
    scale = np.abs(weights).max(axis=0) / 127
    seen = frequency >= SEEN_IN
    counts = np.minimum(frequency[seen], 0xFFFF)
    return {
        "seen": np.packbits(seen),
        "document_frequency": np.minimum(counts, _COMMON).astype(np.uint8),
        "common_frequency": counts[counts >= _COMMON].astype(np.uint16),
        "documents": np.array(documents, np.uint32),
        "weights": np.round(weights / scale).astype(np.int8),
        "scale": scale.astype(np.float32),
        "bias": bias.astype(np.float32),
        "character_share": np.array(CHARACTER_SHARE, np.float32),
    }
