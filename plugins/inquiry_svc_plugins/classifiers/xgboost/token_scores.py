"""What each token of a text adds to each linear score.

An n-gram counts once a text. What it adds goes to the tokens in which it lies: in equal parts to each place where it
stands, and there by the number of its characters in each; a pair of words is halved. Together with the bias and with
the two buckets that every text has, the tokens make up the scores exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc_plugins.classifiers.xgboost.features import (
    BUCKETS,
    Features,
    character_runs,
    mix,
    pair_hashes,
    word_hashes,
    word_lists,
)
from inquiry_svc_plugins.classifiers.xgboost.lexicon import LEXICON
from inquiry_svc_plugins.classifiers.xgboost.linear import LABELS, LinearLayer
from inquiry_svc_plugins.classifiers.xgboost.places import Runs
from inquiry_svc_plugins.classifiers.xgboost.units import SPACE

_FIRST_WORD: Final = np.uint32(BUCKETS >> 1)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two words that stand next to each other wherever either stands."""

    first: int
    second: int
    adds: Floats
    """To each score, as a pair."""


@dataclass(frozen=True, slots=True)
class TokenScores:
    adds: Floats
    """(tokens, labels): what each token adds to each score."""
    as_words: Floats
    """Alike: the part of it that each adds as a single word."""
    listed: Floats
    """(tokens, lists of the lexicon): how often each is counted there."""
    pairs: list[Pair]


def token_scores(runs: Runs, features: Features, linear: LinearLayer) -> TokenScores:
    """`features` are those of this text alone."""
    tokens = runs.tokens[runs.are_words]
    hashes = word_hashes(runs.folded, runs.in_word, runs.starts[runs.are_words], runs.stops[runs.are_words])
    words = mix(hashes) | _FIRST_WORD
    pairs = mix(pair_hashes(hashes[:-1], hashes[1:])) | _FIRST_WORD

    adds = linear.contributions(features)
    adds[features.starts] = 0  # every text has these two: they are no token's, even where one is hashed there
    shares = [*_character_shares(runs), *_word_shares(words, pairs, tokens)]
    at_word, at_pair = np.searchsorted(features.buckets, words), np.searchsorted(features.buckets, pairs)
    as_words = np.zeros((len(runs.spans), LABELS))
    as_words[tokens] = adds[at_word]
    lists = word_lists()[mix(hashes)].astype(np.int64)
    listed = np.zeros((len(runs.spans), len(LEXICON)))
    np.add.at(listed, (tokens[lists > 0], lists[lists > 0] - 1), 1.0)
    return TokenScores(
        adds=_added_up(shares, features, adds, len(runs.spans)),
        as_words=as_words,
        listed=listed,
        pairs=[Pair(first, second, adds[at_pair[place]]) for place, first, second in _lasting_pairs(runs)],
    )


@dataclass(frozen=True, slots=True)
class _Shares:
    """Of some n-grams: the bucket of each; and which of them lies in which token, and how much of it."""

    buckets: NDArray[np.uint32]
    grams: NDArray[np.intp]
    tokens: NDArray[np.int64]
    parts: Floats


def _character_shares(runs: Runs) -> Iterator[_Shares]:
    token_of_unit = np.full(len(runs.folded), -1, np.int64)
    token_of_unit[runs.folded != SPACE] = np.repeat(runs.tokens, runs.stops - runs.starts)
    for size, at, buckets in character_runs(runs.folded):
        tokens = token_of_unit[at[:, None] + np.arange(size)]
        inked = tokens >= 0
        grams = np.flatnonzero(inked) // size
        yield _Shares(buckets, grams, tokens[inked], 1 / inked.sum(axis=1)[grams])


def _word_shares(words: NDArray[np.uint32], pairs: NDArray[np.uint32], tokens: NDArray[np.int64]) -> Iterator[_Shares]:
    yield _Shares(words, np.arange(len(words)), tokens, np.ones(len(words)))
    both = np.concatenate([tokens[:-1], tokens[1:]])
    yield _Shares(pairs, np.tile(np.arange(len(pairs)), 2), both, np.full(2 * len(pairs), 0.5))


def _added_up(shares: list[_Shares], features: Features, adds: Floats, count: int) -> Floats:
    places = [np.searchsorted(features.buckets, each.buckets) for each in shares]
    times = np.bincount(np.concatenate(places), minlength=len(features.buckets))
    at = np.concatenate([place[each.grams] for place, each in zip(places, shares, strict=True)])
    tokens = np.concatenate([each.tokens for each in shares])
    parts = np.concatenate([each.parts for each in shares]) / times[at]
    return np.stack([np.bincount(tokens, parts * adds[at, label], minlength=count) for label in range(LABELS)], axis=1)


def _lasting_pairs(runs: Runs) -> Iterator[tuple[int, int, int]]:
    """Words with only blanks between that always come together: the place of one among the words, and both tokens."""
    tokens = runs.tokens.tolist()
    couples = [
        (place, tokens[run], tokens[following])
        for place, (run, following) in enumerate(pairwise(np.flatnonzero(runs.are_words).tolist()))
        if following == run + 1
    ]
    seen = Counter(tokens)
    together = Counter((first, second) for _, first, second in couples)
    for place, first, second in couples:
        spans = zip(runs.spans[first], runs.spans[second], strict=False)
        if (
            first != second
            and seen[first] == seen[second] == together.pop((first, second), 0)
            and all(one.field == other.field for one, other in spans)
        ):
            yield place, first, second
