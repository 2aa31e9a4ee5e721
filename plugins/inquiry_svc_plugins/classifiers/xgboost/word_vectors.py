"""Vectors of words, from which a training learns what a vocabulary says: see `meanings.py`.

`vectors.npz` holds some 32,000 words with a vector of 256 numbers each, made by `vocabulary.py`: what a small
transformer says of each word alone. And the valence of some, how pleasant people find the word by itself. Only
trainings read it.

A text's vector is the mean of its words' vectors; common words count for less (smooth inverse frequency: Arora, Liang
and Ma, "A simple but tough-to-beat baseline for sentence embeddings", 2017). A ridge regression over it, on the same
targets as that of the n-grams, gives a second score for each label; a share of it is added to the first. Were both
fitted as one, the n-grams would explain the corpus alone and leave the vectors nothing to learn.

Valences are not learnt but given: they count in the same mean, so that something is known of the words too that the
corpus lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from inquiry_svc.inquiries import AXES
from inquiry_svc_plugins.classifiers.holding_out import Floats
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, Features
from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS, LABELS, PRIOR, to_arrays

VECTORS: Final = Path(__file__).with_name("vectors.npz")
VALENCE_STEPS: Final = 10
"""Of one point, as they are kept."""
SHARES: Final[Mapping[str, float]] = {"category": 0.2, "sentiment": 0.2, "urgency": 0.1}
"""Of the scores by meaning. On text unlike the corpus more is better, on hands held out less; and of urgency words say
less by what they mean than by how they are put."""
RIDGE: Final = 0.3
VALENCE: Final = 2.0
"""What a point of valence is worth among the scores of sentiment. The more, the better on posts by people (up to 3),
and the worse on hands held out. The n-grams learn as though there were none: those that learn what valences leave to be
said take from what people's plain words say."""


@dataclass(frozen=True, slots=True)
class WordVectors:
    buckets: NDArray[np.uint32]
    """Of each word its bucket among those of single words; no two have the same, and none the first."""
    vectors: NDArray[np.float32]
    """One row a word."""
    amounts: NDArray[np.float32]
    """How much each counts for, up to 1."""
    valences: NDArray[np.float32]
    """From -4, as bad as can be, to 4; 0 of a word that nobody was asked about."""
    digest: str
    """Of the file: with others, models are others."""


def read_vectors() -> WordVectors:
    """The packaged ones."""
    content = VECTORS.read_bytes()
    with np.load(VECTORS, allow_pickle=False) as arrays:
        return WordVectors(
            arrays["buckets"],
            arrays["vectors"] * arrays["scale"],
            arrays["amounts"].astype(np.float32),
            arrays["valences"] / np.float32(VALENCE_STEPS),
            blake2b(content, digest_size=16).hexdigest(),
        )


def shares_of_words(features: Features, words: WordVectors) -> csr_matrix:
    """What each word counts for in each text, one text a row and a column for each word: a row adds up to nearly 1."""
    places = np.full(BUCKETS >> 1, -1, np.int32)
    places[words.buckets] = np.arange(len(words.buckets))
    found = places[features.words]
    known = found >= 0
    texts = np.repeat(np.arange(len(features.word_starts)), np.diff(features.word_starts, append=len(features.words)))[
        known
    ]
    amounts = words.amounts[found[known]].astype(np.float64)
    whole = np.bincount(texts, amounts, minlength=len(features.word_starts)) + PRIOR
    shape = len(features.word_starts), len(words.buckets)
    return csr_matrix((amounts / whole[texts], (texts, found[known])), shape)


def valence_weights(words: WordVectors) -> Floats:
    """What each word says of each label by its valence: (words, labels)."""
    weights = np.zeros((len(words.valences), LABELS))
    sentiment = weights[:, COLUMNS["sentiment"]]
    for label, sign in (("positive", 1), ("negative", -1)):
        sentiment[:, AXES["sentiment"].index(label)] = sign * VALENCE * words.valences
    return weights


def train_meanings(
    features: Features, words: WordVectors, targets: Floats, root_weights: Floats, folds: NDArray[np.int64]
) -> tuple[dict[str, NDArray[Any]], Floats, Floats]:
    """The layer as arrays, its bias, and for each row the scores of a layer that has not seen its fold.

    `targets` and `root_weights` have one row a text and a column for each label; the weights of an axis are the same.
    """
    shares, by_valence = shares_of_words(features, words), valence_weights(words)
    means, given = shares @ words.vectors.astype(np.float64), shares @ by_valence
    inputs = np.hstack([means, np.ones((len(means), 1))])
    layer: Floats = np.empty((inputs.shape[1], targets.shape[1]))
    scores: Floats = np.empty(targets.shape)
    for axis, columns in COLUMNS.items():
        weighed = inputs * root_weights[:, columns][:, :1] ** 2
        parts = [
            (weighed[within].T @ inputs[within], weighed[within].T @ targets[within, columns])
            for within in (folds == fold for fold in range(int(folds.max()) + 1))
        ]
        squares, products = (sum(part) for part in zip(*parts, strict=True))
        layer[:, columns] = SHARES[axis] * _solved(squares, products)
        for fold, (square, product) in enumerate(parts):
            without = SHARES[axis] * _solved(squares - square, products - product)
            scores[folds == fold, columns] = inputs[folds == fold] @ without + given[folds == fold, columns]
    weights: Floats = words.vectors.astype(np.float64) @ layer[:-1] + by_valence
    return to_arrays(weights, words.buckets, words.amounts), layer[-1], scores


def _solved(squares: Floats, products: Floats) -> Floats:
    """The weights; the bias, which comes last, is not held down."""
    ridge = np.full(len(squares), RIDGE)
    ridge[-1] = 1e-6
    return np.linalg.solve(squares + np.diag(ridge), products).astype(np.float64)
