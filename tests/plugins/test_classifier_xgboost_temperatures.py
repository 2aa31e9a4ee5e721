"""How sure the model is follows how many different words a text has."""

from __future__ import annotations

import numpy as np
import pytest

from inquiry_svc_plugins.classifiers.holding_out import log_softmax
from inquiry_svc_plugins.classifiers.xgboost.temperatures import LONG, SHORT, Temperatures
from inquiry_svc_plugins.classifiers.xgboost.training import temperatures_of

_SEED = 20261126


@pytest.mark.parametrize(
    ("log_words", "expected"),
    [(0.0, 0.9), (SHORT, 0.9), ((SHORT + LONG) / 2, 0.7), (LONG, 0.5), (9.2, 0.5)],
)
def test_between_a_short_and_a_long_text_the_temperature_changes_evenly(log_words: float, expected: float) -> None:
    found = Temperatures(0.9, 0.5).of(np.array([log_words], np.float32))
    assert found == pytest.approx([expected], abs=1e-6)


def test_what_is_stored_is_read_again() -> None:
    assert Temperatures.from_array(Temperatures(0.9, 0.5).to_array()) == Temperatures(0.9, 0.5)


def test_a_training_finds_the_temperatures_by_which_answers_were_right() -> None:
    print(f"seed {_SEED}")
    dice, rows = np.random.default_rng(_SEED), 20_000
    log_words = dice.uniform(SHORT - 1, LONG + 1, rows).astype(np.float32)
    margins = dice.normal(0, 2, (rows, 4))
    chances = np.exp(log_softmax(margins / Temperatures(1.6, 0.6).of(log_words)[:, None]))
    answers = (chances.cumsum(axis=1) < dice.uniform(size=(rows, 1))).sum(axis=1).clip(max=3)
    found = temperatures_of(margins, answers, np.arange(rows) % 12, log_words)
    assert (found.short, found.long) == pytest.approx((1.6, 0.6), rel=0.05)
