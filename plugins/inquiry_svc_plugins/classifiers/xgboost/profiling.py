"""The profile of a trained model: how its rows spread over the measures, each seen by a model that had not met it.

Labels and confidence are those of the cross-validation, and a word of a row is known where rows of other folds have it:
in both, mail by somebody new is what the profile stands for. As in training, the rows of one `group` weigh as much as
one row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from typing import Final

import numpy as np

from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import LabelledText
from inquiry_svc.measures import confidence_bin, observed_of_text, words_of
from inquiry_svc.profiles import Profile, Tally
from inquiry_svc_plugins.classifiers.holding_out import row_weights
from inquiry_svc_plugins.classifiers.xgboost.training import Trained

KNOWN_FROM: Final = 3
"""A word is known when so many rows have it: of a name or a slip that occurs once, nothing is learnt."""
MAIL_SHARE: Final = 0.25
"""Where so many of the rows of each axis have a subject, those alone make the profile: beside chat, an inbox of mail
would look changed from its first day."""


def profile_of(trained: Trained, rows: Sequence[LabelledText]) -> Profile:
    """The profile of a model trained on these rows."""
    tally = Tally()
    mail = np.array([bool(row.text.subject) for row in rows])
    enough = all(mail[made.rows].mean() >= MAIL_SHARE for made in trained.axes.values())
    weights = (row_weights(rows) * (mail if enough else 1)).tolist()
    for axis, made in trained.axes.items():
        for row, scores in zip(made.rows.tolist(), made.probabilities, strict=True):
            tally.add({axis: AXES[axis][int(scores.argmax())]}, weights[row])
            if axis == "category":
                tally.add({"confidence": confidence_bin(float(scores.max()))}, weights[row])
    words = [words_of(row.text) for row in rows]
    frequency = Counter(word for each in words for word in each)
    folds = trained.folds.tolist()
    within = Counter((fold, word) for fold, each in zip(folds, words, strict=True) for word in each)
    for place, row in enumerate(rows):
        known = _known_without(folds[place], words[place], frequency, within)
        tally.add(observed_of_text(row.text, known), weights[place])
    return Profile(tally.shares(), frozenset(word for word, count in frequency.items() if count >= KNOWN_FROM))


def _known_without(
    fold: int, words: Set[str], frequency: Counter[str], within: Counter[tuple[int, str]]
) -> frozenset[str]:
    """Of these words, those that are known without the rows of the fold."""
    return frozenset(word for word in words if frequency[word] - within[fold, word] >= KNOWN_FROM)
