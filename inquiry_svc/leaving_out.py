"""What a classifier says when words are left out: the trials that hold an explanation to the truth.

For classifiers that explain themselves. A weight is a share of the margin, given to a word in the company of all the
others; what happens without the word is another question, and is answered here by asking the classifier again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """The explanations with `alone` and `flip` filled in. `classify` is called once, with some dozens of texts.

    The first ones matter most: one to whom all of them are too much may leave the others unanswered.
    """
    trials = trials_of(text, axes)
    return trials.judged(classify(trials.texts) if trials.cuts else [])


_Cut = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Trials:
    """For who can't be asked in one call: what to ask, and what to make of the answers."""

    text: Text
    axes: Mapping[str, AxisExplanation]
    cuts: Sequence[_Cut]

    @property
    def texts(self) -> list[Text]:
        """Those that matter most come first."""
        return [leave_out(self.text, spans) for spans in self.cuts]

    def judged(self, verdicts: Sequence[Verdict | None]) -> dict[str, AxisExplanation]:
        """As `tried`. A verdict for each of the first texts, in order; None where there is none."""
        known = {spans: found for spans, found in zip(self.cuts, verdicts, strict=False) if found is not None}
        return {axis: _judged(axis, explained, known) for axis, explained in self.axes.items()}


def trials_of(text: Text, axes: Mapping[str, AxisExplanation]) -> Trials:
    most = MAX_CHARACTERS // (len(text.subject) + len(text.body) + 1)
    return Trials(text, axes, list(dict.fromkeys(_cuts(axes.values())))[:most])


def borne_out(explained: AxisExplanation) -> AxisExplanation:
    """With only the words without which the margin moves as they weigh; what the others weigh goes into the rest.

    For a model that reads each word in the light of all others, so that a share of the margin may not be what the word
    does.
    """
    kept = tuple(words for words in explained.words if words.alone is not None and words.alone * words.weight > 0)
    left = math.fsum(words.weight for words in explained.words) - math.fsum(words.weight for words in kept)
    return replace(explained, words=kept, rest=explained.rest + left)


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

    words = tuple(replace(words, alone=alone(words)) for words in explained.words)
    return replace(explained, words=words, flip=_flip(axis, explained, verdicts))


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
