"""From texts to numbers, a whole batch at once: hashed n-grams for the linear layer and surface counts for the trees.

Training and serving both call `extract`, so that they cannot disagree. A text's features depend on that text alone,
whatever else is in the batch. Only numpy is used, and no loop runs once a character. Any change here that can alter
a feature needs a new `PREPROCESSING_VERSION` and a newly trained model.

What is read: subject and body, lower-cased, with web addresses, mail addresses and digits masked, accents and
zero-width characters dropped, letters that only look Latin read as what they look like, and each emoticon as a word.
What is made of it, each hashed into 2^19 buckets of its own and counted once a text:

- characters in threes to fives inside each word and over its edges ("refund" gives "_re", "ref", ... "fund_"),
- words and pairs of neighbouring words,
- words once more without the pairs, by which `word_vectors.py` knows what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc.inquiries import Text
from inquiry_svc_plugins.classifiers.xgboost.lexicon import LEXICON
from inquiry_svc_plugins.classifiers.xgboost.lookalikes import as_seen
from inquiry_svc_plugins.classifiers.xgboost.units import (
    BANG,
    BLANK,
    CAPITAL,
    DIGIT,
    DROPPED,
    LETTER,
    MULTIPLIER,
    QUERY,
    SPACE,
    unit_tables,
)

PREPROCESSING_VERSION: Final = "4"

BUCKET_BITS: Final = 19
"""The packaged corpus fills half of the words' buckets. With 17, where three shared each, the n-grams alone were right
half a point to a point less often on every axis; with 20 hardly more often."""
BUCKETS: Final = 2 << BUCKET_BITS
"""Both families: characters in the lower half, words in the upper."""

SURFACE: Final = (
    "log_length",
    "log_words",
    "has_subject",
    "exclamation_marks",
    "question_marks",
    "capitals_share",
    "digits_share",
    *LEXICON,
)
"""The names of the surface counts, in the order of their columns."""

MAX_TEXTS: Final = 1 << (32 - BUCKET_BITS - 1)
"""In one call: text number and bucket share 32 bits."""

_TEXT_SHIFT: Final = np.uint32(BUCKET_BITS + 1)
"""A key is a text's number and, below it, a bucket."""
_END: Final = "\x00"


@dataclass(frozen=True, slots=True)
class Features:
    """Of a batch of texts."""

    buckets: NDArray[np.uint32]
    """The distinct buckets of the first text, ascending, then those of the second, and so on."""
    starts: NDArray[np.int64]
    """Where each text's character buckets start, and where its word buckets start: two for each text.

    No family is ever empty: the first bucket of each is in every text.
    """
    words: NDArray[np.uint32]
    """The distinct buckets of single words of the first text, ascending, then those of the second; counted from 0.
    Here too the first bucket is in every text."""
    word_starts: NDArray[np.int64]
    """Where each text's begin."""
    tokens: NDArray[np.uint32]
    """The buckets of the words and marks of the first text, in the order in which they stand, then of the second."""
    token_starts: NDArray[np.int64]
    """Where each text's begin. A text may have none."""
    surface: NDArray[np.float32]
    """One row a text, one column for each of `SURFACE`."""


def extract(texts: Sequence[Text]) -> Features:
    """The features of 1 to `MAX_TEXTS` texts. Never raises over a text, whatever it holds."""
    if not 0 < len(texts) <= MAX_TEXTS:
        raise ValueError(f"{len(texts)} texts in one call; give 1 to {MAX_TEXTS}")
    joined = _join(texts)
    # UTF-16 keeps the tables below at 65,536 entries; an emoji becomes two units that stay together as one word.
    units = np.frombuffer(joined.encode("utf-16-le", "surrogatepass"), "<u2")
    tables = unit_tables()
    kinds = tables.kinds[units]
    if kinds.max() == DROPPED:
        kept = kinds != DROPPED
        units, kinds = units[kept], kinds[kept]
    edges = np.flatnonzero(units == 0)
    lengths = np.diff(edges)
    text_of_unit = np.repeat(np.arange(len(texts), dtype=np.uint32), lengths)
    folded = tables.folded[units].astype(np.uint32)

    in_word = kinds >= LETTER
    changes = np.flatnonzero(in_word[1:] != in_word[:-1]) + 1
    starts, stops = changes[::2], changes[1::2]
    words = word_hashes(folded, in_word, starts, stops)
    text_of_word = text_of_unit[starts]

    word_buckets = mix(words)
    marks = np.flatnonzero((kinds > BLANK) & (kinds < LETTER))
    token_places = np.concatenate([starts, marks])
    in_order = np.argsort(token_places, kind="stable")
    tokens = np.concatenate([word_buckets, mix(folded[marks] * tables.powers[0])])[in_order]
    families = np.arange(2 * len(texts), dtype=np.uint32) << np.uint32(BUCKET_BITS)
    keys = _distinct(
        families,
        *_character_keys(folded, text_of_unit),
        *_word_keys(words, word_buckets, text_of_word),
    )
    empty = np.arange(len(texts), dtype=np.uint32) << np.uint32(BUCKET_BITS)
    word_keys = _distinct(empty, word_buckets | (text_of_word << np.uint32(BUCKET_BITS)))
    return Features(
        keys & np.uint32(BUCKETS - 1),
        np.searchsorted(keys, families),
        word_keys & np.uint32((BUCKETS >> 1) - 1),
        np.searchsorted(word_keys, empty),
        tokens,
        np.searchsorted(text_of_unit[token_places[in_order]], np.arange(len(texts))),
        _surface(texts, kinds, edges, lengths, word_buckets, text_of_word),
    )


def _distinct(*parts: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Ascending."""
    keys = np.concatenate(parts)
    keys.sort()
    return keys[np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))]


def _join(texts: Sequence[Text]) -> str:
    whole = [as_seen(f"{text.subject}\n{text.body}") for text in texts]
    joined = _END + _END.join(whole) + _END
    if joined.count(_END) != len(whole) + 1:
        whole = [text.replace(_END, " ") for text in whole]
        joined = _END + _END.join(whole) + _END
    if holds_address(joined):
        joined = _END + _END.join(map(_mask_addresses, whole)) + _END
    return joined


def _mask_addresses(text: str) -> str:
    # Splitting is linear in the text; a regular expression that looks for the start of an address is not.
    return " ".join(map(masked, text.split())) if holds_address(text) else text


def holds_address(text: str) -> bool:
    """Whether it may; if so, its words are looked at one by one and what is between them becomes one space."""
    return "@" in text or "://" in text or "www." in text


def masked(word: str) -> str:
    """One character in place of an address, else the word."""
    return "\ue000" if "@" in word else "\ue001" if "://" in word or word.startswith("www.") else word


def mix(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Spread the hash over its upper bits, and take those for the bucket within a family."""
    mixed = hashes ^ (hashes >> np.uint32(15))
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    mixed >>= np.uint32(32 - BUCKET_BITS)
    return mixed


def _character_keys(folded: NDArray[np.uint32], text_of_unit: NDArray[np.uint32]) -> list[NDArray[np.uint32]]:
    """Key (text, bucket) of each run of characters."""
    return [buckets | (text_of_unit[at + 1] << _TEXT_SHIFT) for _, at, buckets in character_runs(folded)]


def character_runs(
    folded: NDArray[np.uint32],
) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.uint32]]]:
    """Size, places and buckets of the runs of 3, 4 and 5 units without a space inside; their ends may be spaces."""
    inked = folded != SPACE
    inside = inked[1:-1]
    hashes = folded[:-1] * MULTIPLIER + folded[1:]
    for size in (3, 4, 5):
        if len(folded) < size:
            break
        hashes = hashes[: len(folded) - size + 1] * MULTIPLIER + folded[size - 1 :]
        if size > 3:
            inside = inside[:-1] & inked[size - 2 : -1]
        at = np.flatnonzero(inside)
        yield size, at, mix(hashes[at])


def word_hashes(
    folded: NDArray[np.uint32],
    in_word: NDArray[np.bool_],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
) -> NDArray[np.uint32]:
    if not len(starts):
        return np.empty(0, np.uint32)
    lengths = stops - starts
    first = np.cumsum(lengths) - lengths
    at = np.flatnonzero(in_word)
    place = np.minimum(at - np.repeat(starts, lengths), len(unit_tables().powers) - 1)
    return np.add.reduceat(folded[at] * unit_tables().powers[place], first, dtype=np.uint32)


def _word_keys(
    words: NDArray[np.uint32], word_buckets: NDArray[np.uint32], text_of_word: NDArray[np.uint32]
) -> list[NDArray[np.uint32]]:
    upper = (text_of_word << _TEXT_SHIFT) | np.uint32(BUCKETS >> 1)
    pairs = np.flatnonzero(text_of_word[1:] == text_of_word[:-1])
    return [word_buckets | upper, mix(pair_hashes(words[pairs], words[pairs + 1])) | upper[pairs]]


def pair_hashes(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return first * MULTIPLIER + second


def _surface(
    texts: Sequence[Text],
    kinds: NDArray[np.uint8],
    edges: NDArray[np.int64],
    lengths: NDArray[np.int64],
    word_buckets: NDArray[np.uint32],
    text_of_word: NDArray[np.uint32],
) -> NDArray[np.float32]:
    count = len(texts)
    by_kind = np.stack(
        [np.add.reduceat(kinds == kind, edges[:-1], dtype=np.float32) for kind in (BANG, QUERY, CAPITAL, DIGIT)]
    )
    lists = word_lists()[word_buckets]
    listed = np.flatnonzero(lists)
    columns = len(LEXICON)
    by_list = np.bincount(text_of_word[listed] * columns + lists[listed] - 1, minlength=count * columns)
    surface = np.empty((count, len(SURFACE)), np.float32)
    surface[:, 0] = np.log1p(lengths)
    surface[:, 1] = np.log1p(np.bincount(text_of_word, minlength=count))
    surface[:, 2] = [bool(text.subject) for text in texts]
    surface[:, 3:5] = np.minimum(by_kind[:2].T, 5)
    surface[:, 5:7] = (by_kind[2:] / lengths).T
    surface[:, 7:] = np.minimum(by_list.reshape(count, columns), 10)
    return surface


@cache
def word_lists() -> NDArray[np.uint8]:
    """For each bucket of a single word: which list of the lexicon holds the word, from 1; 0 for none."""
    lists = np.zeros(1 << BUCKET_BITS, np.uint8)
    for number, words in enumerate(LEXICON.values(), start=1):
        lists[buckets_of(words)] = number
    return lists


def buckets_of(words: Sequence[str]) -> NDArray[np.uint32]:
    """Of each its bucket among those of single words. A word is letters and apostrophes alone."""
    tables = unit_tables()
    units = np.frombuffer((" " + " ".join(words) + " ").encode("utf-16-le"), "<u2")
    in_word = tables.kinds[units] >= LETTER
    changes = np.flatnonzero(in_word[1:] != in_word[:-1]) + 1
    folded = tables.folded[units].astype(np.uint32)
    return mix(word_hashes(folded, in_word, changes[::2], changes[1::2]))
