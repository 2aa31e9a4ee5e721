"""Teaches words what the transformer knows of them: makes `xgboost/vectors.npz`, from which the default model learns.

    make vectors    # a quarter of an hour: the transformer reads a vocabulary and the whole corpus

Each word of its vocabulary, and of the corpus, is embedded by itself. Then the vectors are moved, as little as need be
(ridge regression), so that the mean over the words of a text comes near the embedding of the whole text: a word alone
says little of what it does in a sentence. No label is looked at. The 128 directions in which words differ most, as
often as they are used, are kept, as signed bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from inquiry_svc.inquiries import Text
from inquiry_svc.labelled import read_labelled
from inquiry_svc_plugins.classifiers.holding_out import Floats
from inquiry_svc_plugins.classifiers.minilm.encoder import Encoder, open_encoder
from inquiry_svc_plugins.classifiers.xgboost.features import buckets_of
from inquiry_svc_plugins.classifiers.xgboost.lookalikes import plain_letters
from inquiry_svc_plugins.classifiers.xgboost.training import extract_all
from inquiry_svc_plugins.classifiers.xgboost.word_vectors import VECTORS, WordVectors, shares_of_words

WIDTH: Final = 128
"""Of the vectors that are kept. With 384, hands held out are right 0.4 points more often; with 64, 0.2 less."""
RARE: Final = 1e-3
"""A word that is this share of all words counts half as much as one that is never used."""
PENALTY: Final = 0.1
"""On the square of what a vector is moved by, beside a loss that is a sum over the texts."""
SEEN_IN: Final = 2
"""Texts: a word of the corpus that is in fewer is left out, unless the transformer has it."""
_WORD: Final = re.compile(r"[a-z][a-z']*")
_STEPS: Final = 30


def words_of(text: Text) -> set[str]:
    """In lower case and the letters of English."""
    whole = plain_letters(f"{text.subject}\n{text.body}").lower().replace("\u2019", "'").replace("\u2018", "'")
    return set(_WORD.findall(whole))


def vocabulary(encoder: Encoder, used: Counter[str]) -> list[str]:
    """The words of the transformer and those used in enough texts: of several in one bucket, the one used most."""
    known = {word for word in encoder.tokenizer.get_vocab() if len(word) > 1 and _WORD.fullmatch(word)}
    words = sorted(known | {word for word, texts in used.items() if texts >= SEEN_IN})
    best: dict[int, str] = {}
    for word, bucket in zip(words, buckets_of(words).tolist(), strict=True):
        if bucket and used[word] >= used[best.setdefault(bucket, word)]:
            best[bucket] = word
    return [best[bucket] for bucket in sorted(best)]


def amounts_of(words: Sequence[str], used: Counter[str]) -> NDArray[np.float32]:
    """How much each counts for: the less, the more it is used."""
    shares = np.array([used[word] + 0.5 for word in words]) / max(1, used.total())
    return (RARE / (RARE + shares)).astype(np.float32)


def taught(alone: Floats, shares: csr_matrix, whole: Floats) -> Floats:
    """The vectors of words, from those of each `alone`; by `shares` their means come near the `whole` texts."""
    means = shares @ alone
    scale = (means * whole).sum() / (means * means).sum()
    middle = (whole - scale * means).mean(axis=0)
    left = whole - scale * means - middle
    found: Floats = scale * alone + middle + shares.T @ _solve(shares, left)
    return found


def _solve(matrix: csr_matrix, wanted: Floats) -> Floats:
    """c of (X X' + penalty) c = wanted, by conjugate gradients, each column a system of its own."""
    transposed = matrix.T.tocsr()
    solution, residual = np.zeros_like(wanted), wanted.copy()
    direction, size = residual.copy(), (residual**2).sum(axis=0)
    for _ in range(_STEPS):
        applied = matrix @ (transposed @ direction) + PENALTY * direction
        stride = size / np.maximum((direction * applied).sum(axis=0), 1e-300)
        solution += stride * direction
        residual -= stride * applied
        smaller = (residual**2).sum(axis=0)
        direction = residual + smaller / np.maximum(size, 1e-300) * direction
        size = smaller
    return solution


def packed(vectors: Floats, uses: Floats) -> dict[str, NDArray[Any]]:
    """In the directions in which they differ most, where each counts as often as it is used."""
    _, directions = np.linalg.eigh((vectors * uses[:, None]).T @ vectors)
    kept = vectors @ directions[:, ::-1][:, :WIDTH]
    scale = np.abs(kept).max(axis=0) / 127
    return {"vectors": np.round(kept / scale).astype(np.int8), "scale": scale.astype(np.float32)}


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=VECTORS)
def main(corpus: tuple[Path, ...], out: Path) -> None:
    """Make the vectors, of rows of the corpus, whose labels are not looked at."""
    rows, encoder = read_labelled(corpus), open_encoder("", 1)
    used = Counter(word for row in rows for word in words_of(row.text))
    words = vocabulary(encoder, used)
    click.echo(f"{len(words):,} words and {len(rows):,} texts to be read", err=True)
    alone = np.array([encoder.embed(Text("", word)) for word in words], np.float64)
    whole = np.array([encoder.embed(row.text) for row in rows], np.float64)
    amounts, buckets = amounts_of(words, used), buckets_of(words)
    with threadpool_limits(1):
        shares = shares_of_words(extract_all(rows), WordVectors(buckets, alone.astype(np.float32), amounts, ""))
        shares = csr_matrix(shares.multiply(1 / np.maximum(shares.sum(axis=1), 1e-9)))
        vectors = taught(alone, shares, whole)
        uses = amounts * np.array([used[word] + 1.0 for word in words])
        arrays = packed(vectors, uses)
    np.savez_compressed(out, allow_pickle=False, buckets=buckets, amounts=amounts, **arrays)
    click.echo(f"{out}: {out.stat().st_size:,} bytes", err=True)


if __name__ == "__main__":
    main()
