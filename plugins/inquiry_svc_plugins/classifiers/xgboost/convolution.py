"""What the words and marks of a text say in their order: a third layer, a convolution over windows of five tokens.

Each filter adds up what each token of a window is worth to it in its place, and what is below 0 counts as 0. Of a text
counts how well the best of its windows fits, and how well they do in the mean (Kim, "Convolutional neural networks for
sentence classification", 2014). What a token is worth follows from its vector, and tokens that mean alike have vectors
alike: so a filter reads "not working" and "doesn't even start" as one, which n-grams can't. How vectors and filters
come about is in `convolution_training.py`.

A convolution over vectors that are looked up is a sum of what can be looked up: when a model is read, each vector is
multiplied by each filter once and for all. All sums are of whole numbers, and so the same on any processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.giving_way import go_on
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, Features
from inquiry_svc_plugins.classifiers.xgboost.meanings import LABELS, zeros

WINDOW: Final = 5
"""On hands held out .3 points more of the categories are right than with 3; of mail, before the trees, .7 more of the
urgencies."""
FILTERS: Final = 128
NOTHING, UNKNOWN, FIRST = range(3)
"""Rows of what is beyond either end of a text; of a token that has none of its own; and of the first that has."""
MEAN_PARTS: Final = 32
"""The mean over the windows is kept in so many parts of a whole."""
AROUND: Final = WINDOW // 2
_MOST_BIAS: Final = 254
_MOST_OUT: Final = 511
"""With these no sum leaves 32 bits, and nothing that is multiplied 16."""
_STEP_ROWS: Final = 1 << 7
"""Of the table in one step, half a millisecond."""


@dataclass(frozen=True, slots=True)
class Convolution:
    rows: NDArray[np.int32]
    """Of each bucket of a single word or mark: its row of the table."""
    table: NDArray[np.int8]
    """(rows, WINDOW * FILTERS): what the token is worth to each filter in each place of a window."""
    bias: NDArray[np.int16]
    """Of each filter."""
    out: NDArray[np.int16]
    """(2, LABELS, FILTERS): what a label gets of each filter's best window, and of its mean."""
    scale: NDArray[np.float32]
    """(2, LABELS): what one step of those is worth."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], pause: Callable[[], None] = go_on) -> Convolution:
        """From what `to_arrays` gave; `pause` is called after each step: see `Host`."""
        buckets, vectors = arrays["token_buckets"], arrays["token_vectors"]
        rows = zeros((BUCKETS >> 1,), np.int32)
        rows += UNKNOWN
        pause()
        rows[buckets] = np.arange(FIRST, FIRST + len(buckets))
        pause()
        table = zeros((len(vectors), WINDOW * FILTERS), np.int8)
        filters = arrays["filters"].astype(np.float64)  # in which all products are whole, in whatever order
        for start in range(0, len(vectors), _STEP_ROWS):
            step = slice(start, start + _STEP_ROWS)
            table[step] = np.rint(vectors[step] @ filters / arrays["filter_steps"])
            pause()
        return cls(rows, table, arrays["filter_bias"], arrays["filter_out"], arrays["filter_scale"])

    def scores(self, features: Features) -> NDArray[np.float32]:
        """One row a text, as `LinearLayer.scores`; of a text without tokens all are 0."""
        ends = np.append(features.token_starts[1:], len(features.tokens))
        pooled = np.empty((2, len(ends), FILTERS), np.int32)
        for text, (start, end) in enumerate(zip(features.token_starts, ends, strict=True)):
            pooled[:, text] = _pooled(self._fits(self._worth(features.tokens[start:end])))
        sums = pooled @ self.out.astype(np.int32).transpose(0, 2, 1)
        by_best, by_mean = sums.astype(np.float32) * self.scale[:, None]
        scores: NDArray[np.float32] = by_best + by_mean
        return scores

    def contributions(self, features: Features) -> NDArray[np.float64]:
        """(tokens, LABELS): what each token of one text adds to each score, together all of it.

        What a window adds is shared by what its tokens are worth in it, and what is the filter's own in equal parts.
        """
        count, every = len(features.tokens), np.arange(FILTERS)
        adds = np.zeros((count + 2 * AROUND, LABELS))
        if count:
            worth = self._worth(features.tokens)
            fits = self._fits(worth)
            best = fits.argmax(axis=0)
            by_best, by_mean = self.out.transpose(0, 2, 1) * self.scale[:, None].astype(np.float64)
            by_mean *= (_pooled(fits)[1] / np.maximum(fits.sum(axis=0), 1))[:, None]
            inside = np.pad(np.ones((count, 1), np.float32), ((AROUND, AROUND), (0, 0)))
            own = self.bias / sum(inside[place : place + count] for place in range(WINDOW))
            for place in range(WINDOW):
                at = slice(place, place + count)
                parts = (fits > 0) * (worth[at, place] + own * inside[at])
                adds[at] += parts @ by_mean
                np.add.at(adds, best + place, parts[best, every][:, None] * by_best)
        return adds[AROUND : AROUND + count]

    def _worth(self, tokens: NDArray[np.uint32]) -> NDArray[np.int8]:
        """(tokens, WINDOW, FILTERS) of one text, with nothing before it and behind."""
        rows = np.full(len(tokens) + 2 * AROUND, NOTHING)
        rows[AROUND : AROUND + len(tokens)] = self.rows[tokens]
        worth: NDArray[np.int8] = self.table[rows].reshape(len(rows), WINDOW, FILTERS)
        return worth

    def _fits(self, worth: NDArray[np.int8]) -> NDArray[np.int16]:
        """(tokens, FILTERS): how well the window around each token of one text fits."""
        fits = np.repeat(self.bias[None], len(worth) - 2 * AROUND, axis=0)
        for place in range(WINDOW):
            fits += worth[place : place + len(fits), place]
        return np.maximum(fits, 0)


def _pooled(fits: NDArray[np.int16]) -> NDArray[np.int32]:
    """(2, FILTERS): of each filter the best of a text's windows, and, in parts, the mean of them all."""
    part = np.float32(MEAN_PARTS) / np.float32(max(len(fits), 1))
    mean = np.rint(fits.sum(axis=0, dtype=np.int32).astype(np.float32) * part)
    return np.stack([fits.max(axis=0, initial=0), mean]).astype(np.int32)


def to_arrays(
    buckets: NDArray[np.uint32],
    vectors: NDArray[np.float32],
    filters: NDArray[np.float32],
    bias: NDArray[np.float32],
    out: NDArray[np.float32],
) -> dict[str, NDArray[Any]]:
    """What is stored. `vectors` has a row for `NOTHING`, which counts as 0, for `UNKNOWN` and for each bucket.

    `filters` is of shape (WINDOW * numbers of a vector, FILTERS), `out` of (2 * FILTERS, LABELS): of the best windows,
    then of the means.
    """
    vectors = vectors.astype(np.float64)
    vectors[NOTHING] = 0
    numbers = vectors.shape[1]
    steps = np.abs(vectors).max(axis=0) / 127
    vectors = np.rint(vectors / steps)
    by_place = (filters.astype(np.float64).reshape(WINDOW, numbers, FILTERS) * steps[:, None]).transpose(1, 0, 2)
    filter_steps = np.abs(by_place).max(axis=(0, 1)) / 2047
    whole = np.rint(by_place / filter_steps).reshape(numbers, WINDOW * FILTERS)
    most = np.abs(vectors @ whole).reshape(-1, FILTERS).max(axis=0)
    fit_steps = most / 127 * filter_steps
    weights = out.astype(np.float64).reshape(2, FILTERS, LABELS) * fit_steps[:, None]
    weights[1] /= MEAN_PARTS
    scale = np.abs(weights).max(axis=1) / _MOST_OUT
    return {
        "token_buckets": buckets,
        "token_vectors": vectors.astype(np.int8),
        "filters": whole.astype(np.int16),
        "filter_steps": np.tile(most / 127, WINDOW),
        "filter_bias": np.rint(bias / fit_steps).clip(-_MOST_BIAS, _MOST_BIAS).astype(np.int16),
        "filter_out": np.ascontiguousarray(np.rint(weights / scale[:, None]).transpose(0, 2, 1)).astype(np.int16),
        "filter_scale": scale.astype(np.float32),
    }
