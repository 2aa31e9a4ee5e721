"""What each token of a text adds to each linear score.

An n-gram counts once a text. What it adds goes to the tokens in which it lies: in equal parts to each place where it
stands, and there by the number of its characters in each; a pair of words is halved. What a word says by its meaning
goes to it alone, and what a window says to the words and marks in it. Together with the bias and with the two
buckets that every text has, the tokens make up the scores exactly, but for the rounding of `convolution.py`.
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
from inquiry_svc_plugins.classifiers.xgboost.linear import LinearLayer
from inquiry_svc_plugins.classifiers.xgboost.meanings import LABELS
from inquiry_svc_plugins.classifiers.xgboost.places import Runs
from inquiry_svc_plugins.classifiers.xgboost.units import SPACE

_FIRST_WORD: Final = np.uint32(BUCKETS >> 1)
_FIRST_MEANING: Final = np.uint32(BUCKETS)

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

    by_ngrams = linear.contributions(features)
    by_ngrams[features.starts] = 0  # every text has these two: they are no token's, even where one is hashed there
    adds = np.concatenate([by_ngrams, linear.meanings.contributions(features)])
    buckets = np.concatenate([features.buckets, features.words + _FIRST_MEANING])
    meanings = mix(hashes) + _FIRST_MEANING
    shares = [*_character_shares(runs), *_word_shares(words, pairs, meanings, tokens)]
    at_word, at_pair, at_meaning = (np.searchsorted(buckets, each) for each in (words, pairs, meanings))
    by_token = _added_up(shares, buckets, adds, len(runs.spans))
    marks = np.where(runs.are_words, 1, runs.stops - runs.starts)  # each by itself in a run of them
    np.add.at(by_token, np.repeat(runs.tokens, marks), linear.convolution.contributions(features))
    as_words = np.zeros((len(runs.spans), LABELS))
    as_words[tokens] = adds[at_word] + adds[at_meaning]
    lists = word_lists()[mix(hashes)].astype(np.int64)
    listed = np.zeros((len(runs.spans), len(LEXICON)))
    np.add.at(listed, (tokens[lists > 0], lists[lists > 0] - 1), 1.0)
    return TokenScores(
        adds=by_token,
        as_words=as_words,
        listed=listed,
        pairs=[Pair(first, second, adds[at_pair[place]]) for place, first, second in _lasting_pairs(runs)],
    )


@dataclass(frozen=True, slots=True)
class _Shares:
    """Of some n-grams or meanings: the bucket of each; and which of them lies in which token, and how much of it."""

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


def _word_shares(
    words: NDArray[np.uint32], pairs: NDArray[np.uint32], meanings: NDArray[np.uint32], tokens: NDArray[np.int64]
) -> Iterator[_Shares]:
    for each in (words, meanings):
        yield _Shares(each, np.arange(len(each)), tokens, np.ones(len(each)))
    both = np.concatenate([tokens[:-1], tokens[1:]])
    yield _Shares(pairs, np.tile(np.arange(len(pairs)), 2), both, np.full(2 * len(pairs), 0.5))


def _added_up(shares: list[_Shares], buckets: NDArray[np.uint32], adds: Floats, count: int) -> Floats:
    places = [np.searchsorted(buckets, each.buckets) for each in shares]
    times = np.bincount(np.concatenate(places), minlength=len(buckets))
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
