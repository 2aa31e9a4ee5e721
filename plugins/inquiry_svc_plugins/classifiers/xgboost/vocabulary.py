"""What the transformer knows of words, one by one: makes `vectors.npz`, from which the default model learns.

    make vectors VALENCES=FILE    # a few minutes

Each word of its vocabulary, and of the corpus, is embedded by itself. The 256 directions in which words differ most,
as often as they are used, are kept, in 63 steps each. Of the corpus only its words are looked at, and how many texts
have each: vectors that had been taught by whole texts would know those of the authors who are held out, and a training
would trust them more than it may.

Beside a vector stands the word's valence, the mean of what ten people thought of it by itself, for some 7,000 words:
the lexicon of VADER (Hutto and Gilbert, 2014; MIT licence), a file of lines of a word or an emoticon, a tab and its
valence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import click
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from inquiry_svc.inquiries import Text
from inquiry_svc.labelled import read_labelled
from inquiry_svc_plugins.classifiers.holding_out import Floats
from inquiry_svc_plugins.classifiers.minilm.encoder import Encoder, open_encoder
from inquiry_svc_plugins.classifiers.xgboost.faces import FACES
from inquiry_svc_plugins.classifiers.xgboost.features import buckets_of
from inquiry_svc_plugins.classifiers.xgboost.lookalikes import as_seen
from inquiry_svc_plugins.classifiers.xgboost.word_vectors import VALENCE_STEPS, VECTORS

WIDTH: Final = 256
"""Of the vectors that are kept. All 384 are hardly better, and half as large again."""
STEPS: Final = 31
"""Of each number, to either side of 0: as good as 127, in half the bytes."""
RARE: Final = 1e-3
"""A word that is this share of all words counts half as much as one that is never used."""
SEEN_IN: Final = 2
"""Texts: a word of the corpus that is in fewer is left out, unless the transformer has it."""
_WORD: Final = re.compile(rf"[a-z][a-z']*|[{FACES}]")


def words_of(text: Text) -> set[str]:
    """In lower case and the letters of English, and faces."""
    whole = as_seen(f"{text.subject}\n{text.body}").lower().replace("\u2019", "'").replace("\u2018", "'")
    return set(_WORD.findall(whole))


def valences_of(path: Path) -> dict[str, float]:
    """Of each word in a file of lines `word<TAB>valence`, whatever follows; what is no word is left out. Of emoticons
    that are one face, the mean."""
    found: dict[str, list[float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition("\t")
        if rest and _WORD.fullmatch(word := as_seen(word).rstrip("\u200b")):
            found.setdefault(word, []).append(float(rest.split("\t")[0]))
    return {word: fmean(valences) for word, valences in found.items()}


def vocabulary(encoder: Encoder, used: Counter[str], judged: Iterable[str] = ()) -> list[str]:
    """The words of the transformer, those judged, and those used in enough texts: of several in one bucket, the one
    used most."""
    known = {word for word in encoder.tokenizer.get_vocab() if len(word) > 1 and _WORD.fullmatch(word)}
    words = sorted(known | set(judged) | {word for word, texts in used.items() if texts >= SEEN_IN})
    best: dict[int, str] = {}
    for word, bucket in zip(words, buckets_of(words).tolist(), strict=True):
        if bucket and used[word] >= used[best.setdefault(bucket, word)]:
            best[bucket] = word
    return [best[bucket] for bucket in sorted(best)]


def amounts_of(words: Sequence[str], used: Counter[str]) -> NDArray[np.float16]:
    """How much each counts for: the less, the more it is used."""
    shares = np.array([used[word] + 0.5 for word in words]) / max(1, used.total())
    return (RARE / (RARE + shares)).astype(np.float16)


def packed(vectors: Floats, uses: Floats) -> dict[str, NDArray[Any]]:
    """In the directions in which they differ most, where each counts as often as it is used."""
    _, directions = np.linalg.eigh((vectors * uses[:, None]).T @ vectors)
    kept = vectors @ directions[:, ::-1][:, :WIDTH]
    scale = np.abs(kept).max(axis=0) / STEPS
    return {"vectors": np.round(kept / scale).astype(np.int8), "scale": scale.astype(np.float32)}


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--valences", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default=VECTORS)
def main(corpus: tuple[Path, ...], valences: Path, out: Path) -> None:
    """Make the vectors, for the words of the transformer, of the valences and of these rows."""
    encoder = open_encoder("", 1)
    used = Counter(word for row in read_labelled(corpus) for word in words_of(row.text))
    judged = valences_of(valences)
    words = vocabulary(encoder, used, judged)
    click.echo(f"{len(words):,} words", err=True)
    vectors = np.array([encoder.embed(Text("", word)) for word in words], np.float64)
    amounts = amounts_of(words, used)
    with threadpool_limits(1):
        arrays = packed(vectors, amounts * np.array([used[word] + 1.0 for word in words]))
    steps = np.array([round(VALENCE_STEPS * judged.get(word, 0.0)) for word in words], np.int8)
    np.savez_compressed(out, allow_pickle=False, buckets=buckets_of(words), amounts=amounts, valences=steps, **arrays)
    click.echo(f"{out}: {out.stat().st_size:,} bytes", err=True)


if __name__ == "__main__":
    main()
