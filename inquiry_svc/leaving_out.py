"""What a classifier says when words are left out: the trials that hold an explanation to the truth.

For classifiers that explain themselves. A weight is a share of the margin, given to a word in the company of all the
others; what happens without the word is another question, and is answered here by asking the classifier again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from inquiry_svc.explanations import AxisExplanation, Flip, Span, Words, contest, margin_between
from inquiry_svc.inquiries import Text, Verdict

NAMED: Final = 12
"""Of each axis so many of the heaviest words are left out one at a time."""
TOGETHER: Final = (2, 3, 4, 5, 8)
"""So many of the words that speak for a label are left out together, the heaviest first."""
MAX_CHARACTERS: Final = 100_000
"""To be read in all trials of one text: some 10 ms of the trained classifier, and none the less for long texts."""

Classify = Callable[[Sequence[Text]], Sequence[Verdict]]


def leave_out(text: Text, spans: Iterable[Span]) -> Text:
    """The text without these characters; what was on both sides then stands together."""
    kept = {"subject": list(text.subject), "body": list(text.body)}
    for span in spans:
        kept[span.field][span.start : span.end] = [""] * (span.end - span.start)
    return Text("".join(kept["subject"]), "".join(kept["body"]))


def tried(text: Text, axes: Mapping[str, AxisExplanation], classify: Classify) -> dict[str, AxisExplanation]:
    """The explanations with `alone` and `flip` filled in. `classify` is called once, with some dozens of texts."""
    most = MAX_CHARACTERS // (len(text.subject) + len(text.body) + 1)
    cuts = list(dict.fromkeys(_cuts(axes.values())))[:most]
    texts = [leave_out(text, spans) for spans in cuts]
    verdicts = dict(zip(cuts, classify(texts), strict=True)) if cuts else {}
    return {axis: _judged(axis, explained, verdicts) for axis, explained in axes.items()}


_Cut = tuple[Span, ...]


def _cuts(axes: Iterable[AxisExplanation]) -> Iterable[_Cut]:
    """Those that matter most come first, should the text be too long for all."""
    explained = list(axes)
    for place in range(NAMED):
        yield from (each.words[place].spans for each in explained if place < len(each.words))
    for each in explained:
        yield from (_spans(words) for words in _together(each))


def _together(explained: AxisExplanation) -> list[list[Words]]:
    speaking_for = [words for words in explained.words if words.weight > 0]
    return [speaking_for[:count] for count in TOGETHER if count <= len(speaking_for)]


def _spans(words: Iterable[Words]) -> _Cut:
    return tuple(span for each in words for span in each.spans)


def _judged(axis: str, explained: AxisExplanation, verdicts: Mapping[_Cut, Verdict]) -> AxisExplanation:
    def alone(words: Words) -> float | None:
        if words.spans not in verdicts:
            return None
        return explained.margin - margin_between(
            verdicts[words.spans], axis, explained.label.label, explained.runner_up.label
        )

    named = tuple(replace(words, alone=alone(words)) for words in explained.words[:NAMED])
    return replace(explained, words=named + explained.words[NAMED:], flip=_flip(axis, explained, verdicts))


def _flip(axis: str, explained: AxisExplanation, verdicts: Mapping[_Cut, Verdict]) -> Flip | None:
    """Of the cuts that change the label, the one with the fewest words and then the fewest characters."""
    found: list[tuple[int, int, Flip]] = []
    for left_out in [*([words] for words in explained.words[:NAMED]), *_together(explained)]:
        spans = _spans(left_out)
        if spans in verdicts:
            winner, _ = contest(verdicts[spans], axis)
            if winner.label != explained.label.label:
                size = sum(span.end - span.start for span in spans)
                in_order = sorted(spans, key=lambda span: (span.field == "body", span.start))
                flip = Flip(tuple(words.text for words in left_out), tuple(in_order), winner)
                found.append((len(left_out), size, flip))
    return min(found, key=lambda each: each[:2])[2] if found else None
