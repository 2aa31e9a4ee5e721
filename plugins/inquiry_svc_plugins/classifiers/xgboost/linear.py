"""The linear layer: from hashed n-grams to one score for each of the 13 labels.

Each family of n-grams makes a vector of its own, in which rare n-grams weigh more (by their inverse document
frequency): of length 1 for the words, of `CHARACTER_SHARE` for the characters. The scores are both vectors times the
weights, plus a bias and what the words say by their meaning (`meanings.py`). The weights are kept as signed bytes with
one scale a label, and only for buckets that the corpus has filled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.giving_way import go_on
from inquiry_svc_plugins.classifiers.xgboost.evidence import EVERYDAY, KNOWN
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, Features
from inquiry_svc_plugins.classifiers.xgboost.meanings import LABELS, Meanings, rows_of_a_line

CHARACTER_SHARE: Final = 0.6
"""Found by holding out sources: at 1, accuracy is about 1 % lower on each axis."""
_STEP_BUCKETS: Final = 1 << 12
"""Of the table in one step: 0.2 ms, and what it makes on the way stays in the processor's cache."""


@dataclass(frozen=True, slots=True)
class LinearLayer:
    table: NDArray[np.float32]
    """Of each bucket 13 weights, the squared length that it adds, and whether it is known and everyday as `evidence.py`
    says."""
    meanings: Meanings
    bias: NDArray[np.float32]
    character_share: np.float32

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], known: NDArray[np.uint8], pause: Callable[[], None] = go_on
    ) -> LinearLayer:
        """From what `to_arrays` gave, and `known_buckets`; `pause` is called after each step: see `Host`."""
        frequency, documents, weights = arrays["document_frequency"], int(arrays["documents"]), arrays["weights"]
        idf_of_frequency = inverse_document_frequency(np.arange(int(frequency.max()) + 1), documents)
        pause()
        table = rows_of_a_line(BUCKETS)
        done = 0
        for start in range(0, BUCKETS, _STEP_BUCKETS):
            step = slice(start, start + _STEP_BUCKETS)
            rows, idf, seen = table[step], idf_of_frequency.take(frequency[step]), np.flatnonzero(frequency[step])
            rows[seen, :LABELS] = weights[done : done + len(seen)] * arrays["scale"] * idf[seen, None]
            rows[:, LABELS] = idf * idf
            rows[:, LABELS + 1], rows[:, LABELS + 2] = known[step] >= KNOWN, known[step] >= EVERYDAY
            done += len(seen)
            pause()
        meanings = Meanings.from_arrays(arrays, pause)
        return cls(table, meanings, arrays["bias"], np.float32(arrays["character_share"]))

    def scores(self, features: Features) -> NDArray[np.float32]:
        """One row a text. Sums run over one text's n-grams in the order of their buckets, whatever the batch."""
        rows = self.table.take(features.buckets, axis=0)
        sums = np.add.reduceat(rows, features.starts, axis=0)
        scores = sums[:, :LABELS] / np.sqrt(sums[:, LABELS : LABELS + 1])
        by_ngrams = scores[0::2] * self.character_share + scores[1::2]
        return (by_ngrams + self.meanings.scores(features) + self.bias).astype(np.float32, copy=False)

    def contributions(self, features: Features) -> NDArray[np.float64]:
        """What each bucket of one text adds to each score, one bucket a row: with the bias and the contributions of
        `meanings` they make the scores."""
        rows = self.table[features.buckets].astype(np.float64)
        lengths = np.sqrt(np.add.reduceat(rows[:, LABELS], features.starts))
        scale = np.array([self.character_share, 1.0]) / lengths
        sizes = np.diff(features.starts, append=len(rows))
        return rows[:, :LABELS] * np.repeat(scale, sizes)[:, None]


def inverse_document_frequency(frequency: NDArray[Any], documents: int) -> NDArray[np.float32]:
    """ln((1 + documents) / (1 + frequency)) + 1, the smoothed form: an n-gram never seen counts as the rarest."""
    return (np.log((1 + documents) / (1 + frequency.astype(np.float64))) + 1).astype(np.float32)


def to_arrays(
    weights: NDArray[np.float64], bias: NDArray[np.float64], frequency: NDArray[np.int64], documents: int
) -> dict[str, NDArray[Any]]:
    """What is stored of weights of shape (buckets, labels), where unseen buckets weigh nothing."""
    scale = np.abs(weights).max(axis=0) / 127
    seen = np.flatnonzero(frequency)
    return {
        "document_frequency": np.minimum(frequency, 0xFFFF).astype(np.uint16),
        "documents": np.array(documents, np.uint32),
        "weights": np.round(weights[seen] / scale).astype(np.int8),
        "scale": scale.astype(np.float32),
        "bias": bias.astype(np.float32),
        "character_share": np.array(CHARACTER_SHARE, np.float32),
    }
