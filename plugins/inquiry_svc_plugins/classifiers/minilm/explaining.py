"""Why the model says what it says of a text: the share of each word in the embedding, and what happens without it.

The margin between two labels is linear in the embedding, and that is the mean of the tokens' vectors, brought to
length 1. So each token has its exact share of the margin, and a word those of its pieces; what falls to the tokens that
stand for the text as a whole is the rest, and the bias is the base.

But a token's vector is what the transformer has made of it among all others: without a word the others say something
else, and a margin may well rise without a word whose share is above 0. So words are left out, as many as there is time
for, and those alone are named without which the margin moves as they weigh; the shares of the others go into the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from inquiry_svc.explanations import (
    AxisExplanation,
    Contest,
    Explanation,
    Span,
    Words,
    contest,
    contests,
    margin_between,
)
from inquiry_svc.inquiries import AXES, Text, Verdict
from inquiry_svc.leaving_out import borne_out, tried
from inquiry_svc_plugins.classifiers.minilm.model import MinilmModel

MOST_TOKENS: Final = 2000
"""Of all texts that are judged in one call: some 0.6 s of one core that is free, for 20 to 30 cuts of a mail."""
_APOSTROPHES: Final = ("'", "\u2019")

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Word:
    """Wherever in the text it stands, in whatever case."""

    tokens: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)


def explain(model: MinilmModel, text: Text, given_up: Callable[[], bool] = lambda: False) -> Explanation:
    """About a second, nearly all of it for reading the text again without its words."""
    axes = tried(text, weigh(model, text), lambda texts: judge(model, texts, given_up))
    return Explanation(model.identity, {axis: borne_out(explained) for axis, explained in axes.items()})


def judge(model: MinilmModel, texts: Sequence[Text], given_up: Callable[[], bool] = lambda: False) -> list[Verdict]:
    """Of the first texts, as many as `MOST_TOKENS` allow but at least one, and none after `given_up` says so."""
    found: list[Verdict] = []
    left = MOST_TOKENS
    for text in texts:
        left -= len(model.encoder.read(text))
        if given_up() or (found and left < 0):
            break
        found.append(model.verdict(model.encoder.embed(text)))
    return found


def weigh(model: MinilmModel, text: Text, between: Mapping[str, Contest] | None = None) -> dict[str, AxisExplanation]:
    """The shares alone: nothing has been left out yet. Of the axes named, between the labels named; else of all."""
    read = model.encoder.read(text)
    vectors = model.encoder.vectors(read).astype(np.float64)
    parts = vectors / (len(vectors) * np.linalg.norm(vectors.mean(axis=0)))
    verdict = model.verdict(parts.sum(axis=0).astype(np.float32))
    words = words_of(text, read)
    wanted = contests(verdict) if between is None else between
    return {axis: _weigh_axis(model, axis, labels, text, verdict, parts, words) for axis, labels in wanted.items()}


def _weigh_axis(
    model: MinilmModel,
    axis: str,
    between: Contest,
    text: Text,
    verdict: Verdict,
    parts: Floats,
    words: Sequence[Word],
) -> AxisExplanation:
    label, runner_up = contest(verdict, axis, between)
    first, second = (model.weights[axis][AXES[axis].index(each)].astype(np.float64) for each in between)
    shares = parts @ (first - second)[:-1]
    found = [_weighed(text, word, float(shares[word.tokens].sum())) for word in words]
    in_words = [token for word in words for token in word.tokens]
    return AxisExplanation(
        label,
        runner_up,
        margin=margin_between(verdict, axis, *between),
        base=float((first - second)[-1]),
        words=tuple(sorted((each for each in found if each.weight), key=lambda each: -abs(each.weight))),
        surface=(),
        rest=float(np.delete(shares, in_words).sum()),
    )


def _weighed(text: Text, word: Word, weight: float) -> Words:
    first = word.spans[0]
    return Words(getattr(text, first.field)[first.start : first.end], weight, tuple(word.spans))


def words_of(text: Text, read: Encoding) -> list[Word]:
    """The words that its tokens are pieces of, in the order of the text; one with an apostrophe inside is one."""
    whole = f"{text.subject}\n{text.body}"
    in_body = len(text.subject) + 1
    words: dict[str, Word] = {}
    for start, end, tokens in _runs(whole, read):
        word = words.setdefault(whole[start:end].casefold(), Word())
        word.tokens += tokens
        word.spans.append(
            Span("subject", start, end) if start < in_body else Span("body", start - in_body, end - in_body)
        )
    return list(words.values())


def _runs(whole: str, read: Encoding) -> list[tuple[int, int, list[int]]]:
    """Of each word of the tokenizer's its place and its tokens."""
    runs: list[tuple[int, int, list[int]]] = []
    last = None
    for token, (word, (start, end)) in enumerate(zip(read.word_ids, read.offsets, strict=True)):
        if word is None:
            continue
        if runs and (word == last or _holds_together(whole, runs[-1], start)):
            begin, _, tokens = runs[-1]
            runs[-1] = (begin, end, [*tokens, token])
        else:
            runs.append((start, end, [token]))
        last = word
    return runs


def _holds_together(whole: str, run: tuple[int, int, list[int]], start: int) -> bool:
    """Whether what starts here is the apostrophe of the word before it, or goes on after one."""
    begin, end, _ = run
    if start != end or not whole[begin].isalnum():
        return False
    inside = start + 1 < len(whole) and whole[start] in _APOSTROPHES and whole[start + 1].isalnum()
    return inside or (end - begin > 1 and whole[end - 1] in _APOSTROPHES and whole[start].isalnum())
