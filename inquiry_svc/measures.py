"""What is looked at of an inquiry so that a change of the mail is seen: a few measures, each in a handful of bins.

The labels and the confidence are the model's; length, language and the share of unknown words are the text's, and are
cheap: one pass over its first characters. The bins are the same for every model and process, so that counts can be
added up and compared.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Set
from typing import Final

from inquiry_svc.inquiries import AXES, Text, Verdict

READ: Final = 4_000
"""So many characters of a body are looked at for words."""

_CONFIDENCES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
_LENGTHS: Final = (50, 100, 200, 400, 800, 1_600)
_SHARES: Final = (0.05, 0.1, 0.2, 0.4)
_FEWEST_WORDS: Final = 4
"""Of fewer different words no language is told."""
_ENGLISH_SHARE: Final = 0.12
"""At least so many of the different words of English mail are among `_ENGLISH`: so it is in 97 % of the corpus."""


def _up_to(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*(f"<={bound:g}" for bound in bounds), f">{bounds[-1]:g}")


MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    **AXES,
    "confidence": _up_to(_CONFIDENCES),
    "length": _up_to(_LENGTHS),
    "unknown_words": _up_to(_SHARES),
    "language": ("english", "other_latin", "other_script", "too_short"),
}
"""Each measure with its bins. `confidence` is that of the category, `length` in characters, `unknown_words` the share
of a text's different words that hardly any text of the training had."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_ENGLISH: Final = frozenset(
    _WORD.findall(
        """
        about also and any are asked at be because been but by can could cannot did does for from had has have how if
        into is it its just let more my need not of our out please should since still that the their them there these
        they this to up us was we were what when where which who why will with would you your yours i m s t ve
        """
    )
)
"""Words that English can hardly do without and that few other languages write."""


def words_of(text: Text) -> frozenset[str]:
    """The different words at the beginning of a text, in lower case."""
    return frozenset(_WORD.findall(f"{text.subject}\n{text.body[:READ]}".lower()))


def observed(text: Text, verdict: Verdict, known_words: Set[str] | None) -> dict[str, str]:
    """The bin of each of `MEASURES`; without `unknown_words` where it is not known what the model has met."""
    return {
        **{axis: getattr(verdict, axis).label for axis in AXES},
        "confidence": confidence_bin(verdict.category.confidence),
        **observed_of_text(text, known_words),
    }


def observed_of_text(text: Text, known_words: Set[str] | None) -> dict[str, str]:
    """The bins that no model has a say in."""
    words = words_of(text)
    found = {
        "length": MEASURES["length"][bisect_left(_LENGTHS, len(text.subject) + len(text.body))],
        "language": _language(words),
    }
    if known_words is not None:
        share = len(words - known_words) / len(words) if words else 0.0
        found["unknown_words"] = MEASURES["unknown_words"][bisect_left(_SHARES, share)]
    return found


def confidence_bin(confidence: float) -> str:
    return MEASURES["confidence"][bisect_left(_CONFIDENCES, confidence)]


def _language(words: Set[str]) -> str:
    if len(words) < _FEWEST_WORDS and all(map(str.isascii, words)):
        return "too_short"
    if len(words & _ENGLISH) >= _ENGLISH_SHARE * len(words):
        return "english"
    letters = "".join(words)
    return "other_latin" if sum(letter < "\u0250" for letter in letters) * 2 >= len(letters) else "other_script"
