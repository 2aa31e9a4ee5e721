"""How the filters of `convolution.py` come about: gradient descent on all three axes at once.

Adam (Kingma and Ba, 2015), of which the moments of a token's vector move only when it is read; the rate grows for the
first seventh of the way and then falls to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.inquiries import AXES
from inquiry_svc_plugins.classifiers.holding_out import Floats
from inquiry_svc_plugins.classifiers.xgboost.convolution import FILTERS, FIRST, UNKNOWN, WINDOW, to_arrays
from inquiry_svc_plugins.classifiers.xgboost.convolution_net import (
    BATCH,
    WIDTH,
    Net,
    Places,
    Task,
    Texts,
    Weights,
    scores_of,
    slopes_of,
)
from inquiry_svc_plugins.classifiers.xgboost.features import BUCKETS, Features
from inquiry_svc_plugins.classifiers.xgboost.meanings import LABELS
from inquiry_svc_plugins.classifiers.xgboost.word_vectors import WordVectors

SHARES: Final[Mapping[str, float]] = {"category": 0.2, "sentiment": 0.3, "urgency": 0.2}
"""Of the scores: these are log-odds, those of the n-grams lie between -1 and 1."""
PARTS: Final = 4
"""The folds are held out in so many parts, or each by itself where they are fewer: a net takes two minutes."""
SEEN_IN: Final = 4
"""A token of fewer texts counts as unknown. Of the corpus these are 12,000, and 15,000 with 3: which adds nothing."""
EPOCHS: Final = 24
RATE: Final = 3e-3
VECTOR_RATE: Final = 1.5e-3
DECAY: Final = 1e-4
CONVOLUTION: Final[Mapping[str, Any]] = {"filters": FILTERS, "width": WIDTH, "epochs": EPOCHS, "shares": SHARES}
"""As a model's manifest tells it."""
_RISING: Final = 0.15
_LONGEST: Final = 400
"""Of a longer text the tokens beyond are not learnt from."""


def train_convolution(
    features: Features,
    words: WordVectors,
    answers: Mapping[str, NDArray[np.int64]],
    weights: Floats,
    folds: NDArray[np.int64],
    on_step: Callable[[], None],
) -> tuple[dict[str, NDArray[Any]], Floats]:
    """The layer as arrays, and for each row the scores of a layer that has not seen its fold.

    Calls `on_step` once more than there are parts of folds: see `parts_of`.
    """
    task, buckets = task_of(features, words, answers, weights)
    net = trained(task, np.arange(len(weights)))
    on_step()
    scores: Floats = np.empty((len(weights), LABELS))
    part_of = folds % parts_of(folds)
    for part in range(parts_of(folds)):
        held_out = np.flatnonzero(part_of == part)
        scores[held_out] = scores_of(trained(task, np.flatnonzero(part_of != part)), task.texts, held_out)
        on_step()
    shares = np.repeat([SHARES[axis] for axis in AXES], list(map(len, AXES.values())))
    out = (shares * net.out * np.repeat([1, 2], FILTERS)[:, None]).astype(np.float32)
    return to_arrays(buckets, net.vectors(), net.filters, net.bias, out), shares * scores


def parts_of(folds: NDArray[np.int64]) -> int:
    return min(PARTS, int(folds.max()) + 1)


def task_of(
    features: Features, words: WordVectors, answers: Mapping[str, NDArray[np.int64]], weights: Floats
) -> tuple[Task, NDArray[np.uint32]]:
    """And the bucket of each token that has a vector of its own: those that `SEEN_IN` texts have."""
    sizes = np.diff(features.token_starts, append=len(features.tokens))
    text_of = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
    once = np.unique(text_of * (BUCKETS >> 1) + features.tokens) % (BUCKETS >> 1)
    buckets = np.flatnonzero(np.bincount(once, minlength=BUCKETS >> 1) >= SEEN_IN).astype(np.uint32)
    rows = np.full(BUCKETS >> 1, UNKNOWN, np.int32)
    rows[buckets] = np.arange(FIRST, FIRST + len(buckets))
    given = np.zeros((FIRST + len(buckets), words.vectors.shape[1]), np.float32)
    given[rows[words.buckets]] = words.vectors / words.vectors.std()
    given[UNKNOWN] = 0
    texts = Texts(rows[features.tokens], features.token_starts, np.minimum(sizes, _LONGEST))
    asked = np.stack([answers[axis] for axis in AXES], axis=1)
    return Task(texts, given, asked, weights.astype(np.float32)), buckets


@dataclass(slots=True)
class _Adam:
    values: Weights
    rate: float
    decay: float = 0.0
    steps: int = 0
    mean: Weights = field(init=False)
    square: Weights = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.square = np.zeros_like(self.values), np.zeros_like(self.values)

    def step(self, slopes: Weights, pace: float, rows: Places | slice = slice(None)) -> None:
        self.steps += 1
        mean = self.mean[rows] * np.float32(0.9) + np.float32(0.1) * slopes
        square = self.square[rows] * np.float32(0.999) + np.float32(0.001) * slopes * slopes
        self.mean[rows], self.square[rows] = mean, square
        rate = self.rate * pace * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        self.values[rows] -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))
        if self.decay:
            self.values *= np.float32(1 - self.rate * pace * self.decay)


def trained(task: Task, rows: Places) -> Net:
    chance = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...], width: float) -> Weights:
        return chance.normal(0, width, shape).astype(np.float32)

    tokens, known = task.given.shape
    net = Net(
        given=task.given,
        projection=drawn((known, WIDTH), known**-0.5),
        own=np.zeros((tokens, WIDTH), np.float32),
        filters=drawn((WINDOW * WIDTH, FILTERS), (3 * WINDOW * WIDTH) ** -0.5),
        bias=np.zeros(FILTERS, np.float32),
        out=drawn((2 * FILTERS, LABELS), (6 * FILTERS) ** -0.5),
        out_bias=np.zeros(LABELS, np.float32),
    )
    rates = {"own": VECTOR_RATE}
    learnt = ("projection", "own", "filters", "bias", "out", "out_bias")
    adams = {
        name: _Adam(getattr(net, name), rates.get(name, RATE), DECAY if name in ("filters", "out") else 0.0)
        for name in learnt
    }
    for pace, batch in _paced(task.texts, rows, chance):
        for name, (slopes, some) in slopes_of(net, task, batch, chance).items():
            adams[name].step(slopes, pace, some)
    return net


def _paced(texts: Texts, rows: Places, chance: np.random.Generator) -> Iterator[tuple[float, Places]]:
    """Each batch, and the part of its rate."""
    steps = EPOCHS * -(-len(rows) // BATCH)
    batches = chain.from_iterable(texts.batches(rows, chance) for _ in range(EPOCHS))
    for step, batch in enumerate(batches):
        way = step / steps
        falling = 0.5 + 0.5 * np.cos(np.pi * (way - _RISING) / (1 - _RISING))
        yield way / _RISING if way < _RISING else falling, batch
