"""The network that `convolution.py` is made from: forth to its scores, and back to what would make them better.

A token's vector is what `word_vectors.py` knows of it, projected, and what is learnt of it alone. Tokens, numbers of
their vectors and filters are dropped by chance on the way, so that none is relied on alone; and no answer is wanted for
certain. By hand, since going back through one convolution is a page, and what would do it for us weighs 200 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from inquiry_svc_plugins.classifiers.xgboost.convolution import AROUND, FILTERS, NOTHING, UNKNOWN, WINDOW
from inquiry_svc_plugins.classifiers.xgboost.meanings import COLUMNS, LABELS

WIDTH: Final = 64
"""Numbers of a token's vector."""
BATCH: Final = 64
"""Texts at once."""
TOKENS_DROPPED: Final = 0.15
NUMBERS_DROPPED: Final = 0.1
FILTERS_DROPPED: Final = 0.3
SMOOTHING: Final = 0.05
"""Of the wanted probabilities, shared by all labels of the axis."""
SORTED: Final = 50
"""Batches whose texts are put in order of length, so that little of a batch is padding."""

Weights = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Texts:
    tokens: NDArray[np.int32]
    """Rows of the vectors, of all texts one after the other."""
    starts: Places
    sizes: Places

    def padded(self, rows: Places) -> Places:
        """One text a row, with `NOTHING` before it and behind it, `AROUND` times or more."""
        found = np.full((len(rows), max(int(self.sizes[rows].max()), 1) + 2 * AROUND), NOTHING, np.int64)
        for place, row in enumerate(rows):
            start, size = self.starts[row], self.sizes[row]
            found[place, AROUND : AROUND + size] = self.tokens[start : start + size]
        return found

    def batches(self, rows: Places, chance: np.random.Generator) -> list[Places]:
        mixed = chance.permutation(rows)
        chunks = [mixed[at : at + BATCH * SORTED] for at in range(0, len(mixed), BATCH * SORTED)]
        ordered = [chunk[np.argsort(self.sizes[chunk], kind="stable")] for chunk in chunks]
        found = [chunk[at : at + BATCH] for chunk in ordered for at in range(0, len(chunk), BATCH)]
        return [found[place] for place in chance.permutation(len(found))]


@dataclass(frozen=True, slots=True)
class Task:
    texts: Texts
    given: Weights
    """(rows of vectors, numbers): what is known of each token before."""
    answers: NDArray[np.int64]
    """(texts, axes)"""
    weights: Weights


@dataclass(frozen=True, slots=True)
class Net:
    given: Weights
    projection: Weights
    own: Weights
    """(rows of vectors, WIDTH)"""
    filters: Weights
    """(WINDOW * WIDTH, FILTERS)"""
    bias: Weights
    out: Weights
    """(2 * FILTERS, LABELS): of `pooled`."""
    out_bias: Weights

    def vectors(self, rows: Places | slice = slice(None)) -> Weights:
        return self.given[rows] @ self.projection + self.own[rows]


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a batch gave on its way forth."""

    inputs: Weights
    """(texts, windows, WINDOW * WIDTH)"""
    fits: Weights
    """(texts, windows, FILTERS): how well each window fits, 0 where it doesn't and beyond the text."""
    best: Places
    """(texts, FILTERS): the window that fits best."""
    sizes: Weights
    """(texts, 1): the windows of each."""
    pooled: Weights
    """(texts, 2 * FILTERS): the best windows, then twice the means, which are smaller."""


def _forth(net: Net, tokens: Places, vectors: Weights) -> _Pass:
    """`vectors` are those of the tokens, of shape (texts, tokens, WIDTH)."""
    texts, windows = tokens.shape[0], tokens.shape[1] - WINDOW + 1
    inputs = np.concatenate([vectors[:, place : place + windows] for place in range(WINDOW)], axis=2)
    fits = (inputs.reshape(texts * windows, -1) @ net.filters).reshape(texts, windows, FILTERS)
    fits += net.bias
    np.maximum(fits, 0, out=fits)
    inside = tokens[:, AROUND : AROUND + windows] != NOTHING
    fits *= inside[:, :, None]
    best = fits.argmax(axis=1)
    most = np.take_along_axis(fits, best[:, None], axis=1)[:, 0]
    sizes = np.maximum(inside.sum(axis=1, dtype=np.float32), 1)[:, None]
    return _Pass(inputs, fits, best, sizes, np.hstack([most, fits.sum(axis=1) * (2 / sizes)]))


def _back(net: Net, found: _Pass, slopes: Weights) -> tuple[Weights, Weights, Weights]:
    """From the slopes of `pooled` those of the filters, of their bias and of the vectors."""
    texts, windows = found.fits.shape[:2]
    fitting = found.fits > 0
    by_mean: Weights = slopes[:, FILTERS:] * (np.float32(2) / found.sizes)
    back = np.where(fitting, by_mean[:, None], np.float32(0))
    at = np.arange(texts)[:, None], found.best, np.arange(FILTERS)
    back[at] += slopes[:, :FILTERS] * fitting[at]
    flat = back.reshape(texts * windows, FILTERS)
    by_place = (flat @ net.filters.T).reshape(texts, windows, WINDOW, WIDTH)
    vectors = np.zeros((texts, windows + WINDOW - 1, WIDTH), np.float32)
    for place in range(WINDOW):
        vectors[:, place : place + windows] += by_place[:, :, place]
    filters = found.inputs.reshape(texts * windows, -1).T @ flat
    return filters, flat.sum(axis=0), vectors


def scores_of(net: Net, texts: Texts, rows: Places) -> Weights:
    found = np.empty((len(rows), LABELS), np.float32)
    vectors = net.vectors()
    order = np.argsort(texts.sizes[rows], kind="stable")
    for at in range(0, len(rows), 4 * BATCH):
        part = order[at : at + 4 * BATCH]
        tokens = texts.padded(rows[part])
        found[part] = _forth(net, tokens, vectors[tokens]).pooled @ net.out
    return found


def slopes_of(
    net: Net, task: Task, batch: Places, chance: np.random.Generator
) -> dict[str, tuple[Weights, Places | slice]]:
    """Of each array that is learnt, and of which of its rows."""
    tokens = task.texts.padded(batch)
    tokens[(chance.random(tokens.shape) < TOKENS_DROPPED) & (tokens != NOTHING)] = UNKNOWN
    read, places = np.unique(tokens, return_inverse=True)
    places = places.reshape(tokens.shape)
    vectors = net.vectors(read)[places]
    kept_numbers = _kept(vectors.shape, NUMBERS_DROPPED, chance)
    found = _forth(net, tokens, vectors * kept_numbers)
    kept = _kept(found.pooled.shape, FILTERS_DROPPED, chance)
    pooled: Weights = found.pooled * kept
    scores: Weights = pooled @ net.out + net.out_bias
    missed = _missed(scores, task.answers[batch], task.weights[batch])
    filters, bias, back = _back(net, found, (missed @ net.out.T) * kept)
    back *= kept_numbers
    together = csr_matrix((np.ones(places.size, np.float32), places.ravel(), np.arange(places.size + 1)))
    own = np.asarray(together.T @ back.reshape(-1, WIDTH))
    own, read = own[read != NOTHING], read[read != NOTHING]
    everything = slice(None)
    return {
        "projection": (net.given[read].T @ own, everything),
        "own": (own, read),
        "filters": (filters, everything),
        "bias": (bias, everything),
        "out": (pooled.T @ missed, everything),
        "out_bias": (missed.sum(axis=0), everything),
    }


def _kept(shape: tuple[int, ...], dropped: float, chance: np.random.Generator) -> Weights:
    return (chance.random(shape, np.float32) >= dropped).astype(np.float32) / np.float32(1 - dropped)


def _missed(scores: Weights, answers: NDArray[np.int64], weights: Weights) -> Weights:
    """The slopes of the scores: by how much the probabilities are off."""
    missed = np.empty_like(scores)
    for place, columns in enumerate(COLUMNS.values()):
        powers = np.exp(scores[:, columns] - scores[:, columns].max(axis=1, keepdims=True))
        wanted = np.full(powers.shape, SMOOTHING / powers.shape[1], np.float32)
        wanted[np.arange(len(wanted)), np.maximum(answers[:, place], 0)] += 1 - SMOOTHING
        known = weights * (answers[:, place] >= 0) / np.float32(BATCH)
        missed[:, columns] = (powers / powers.sum(axis=1, keepdims=True) - wanted) * known[:, None]
    return missed
