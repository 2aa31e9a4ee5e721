"""How sure an answer is: margins are divided by a temperature, which follows how many different words a text has.

On held-out hands a line of chat is right less often than a letter with the same margins. One temperature for both would
have the chat too sure of itself and the letter not sure enough. A line that is said a hundred times is still a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inquiry_svc_plugins.classifiers.xgboost.features import Features

SHORT: Final = 2.0
"""The `log_words` at and below which a text is short: six words."""
LONG: Final = 4.7
"""That at and above which it is long: 110. Between them the temperature changes evenly."""


@dataclass(frozen=True, slots=True)
class Temperatures:
    """Of one axis."""

    short: float
    long: float

    def of(self, log_words: NDArray[np.float32]) -> NDArray[np.float32]:
        """One for each text, by what `log_words_of` says."""
        share = np.clip((log_words - np.float32(SHORT)) / np.float32(LONG - SHORT), 0, 1).astype(np.float32)
        found: NDArray[np.float32] = np.float32(self.short) + (np.float32(self.long) - np.float32(self.short)) * share
        return found

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> Temperatures:
        """From what `to_array` gave."""
        short, long = array.tolist()
        return cls(short, long)

    def to_array(self) -> NDArray[Any]:
        return np.array([self.short, self.long])


def log_words_of(features: Features) -> NDArray[np.float32]:
    """Of each text ln(1 + how many different words it has)."""
    return np.log(np.diff(features.word_starts, append=len(features.words))).astype(np.float32)
