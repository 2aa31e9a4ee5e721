"""How sure an answer is: margins are divided by a temperature, which follows the length of the text.

On held-out hands a line of chat is right less often than a letter with the same margins. One temperature for both would
have the chat too sure of itself and the letter not sure enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SHORT: Final = 3.4
"""The `log_length` at and below which a text is short: some 30 characters."""
LONG: Final = 6.7
"""That at and above which it is long: some 800. Between them the temperature changes evenly."""


@dataclass(frozen=True, slots=True)
class Temperatures:
    """Of one axis."""

    short: float
    long: float

    def of(self, log_lengths: NDArray[np.float32]) -> NDArray[np.float32]:
        """One for each text, by the surface count `log_length`."""
        share = np.clip((log_lengths - np.float32(SHORT)) / np.float32(LONG - SHORT), 0, 1).astype(np.float32)
        found: NDArray[np.float32] = np.float32(self.short) + (np.float32(self.long) - np.float32(self.short)) * share
        return found

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> Temperatures:
        """From what `to_array` gave."""
        short, long = array.tolist()
        return cls(short, long)

    def to_array(self) -> NDArray[Any]:
        return np.array([self.short, self.long])
