"""Counts become shares, shares a distance, and a profile comes back from its file as it was."""

from __future__ import annotations

import math
import random
from statistics import mean

import pytest

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.measures import MEASURES
from inquiry_svc.profiles import CHANGED, ENOUGH, Profile, Tally, stability_index


def shares(measure: str, **counts: float) -> dict[str, float]:
    tally = Tally()
    for each, count in counts.items():
        tally.add({measure: each}, count)
    return dict(tally.shares()[measure])


def test_shares_add_up_to_1_and_none_is_0() -> None:
    found = shares("sentiment", positive=9, negative=3)
    assert found == {"positive": 9.5 / 13.5, "neutral": 0.5 / 13.5, "negative": 3.5 / 13.5}


def test_a_measure_that_is_not_named_is_not_counted() -> None:
    tally = Tally()
    tally.add({"sentiment": "positive"})
    assert (tally.count("sentiment"), tally.count("language")) == (1, 0)


def test_the_index_is_the_sum_of_each_bins_part_and_the_same_both_ways() -> None:
    now, before = {"a": 0.5, "b": 0.5}, {"a": 0.8, "b": 0.2}
    expected = (0.5 - 0.8) * math.log(0.5 / 0.8) + (0.5 - 0.2) * math.log(0.5 / 0.2)
    assert stability_index(now, before) == pytest.approx(expected) == pytest.approx(stability_index(before, now))
    assert stability_index(now, now) == 0


def test_the_index_is_what_the_recording_rules_make_of_the_same_counts() -> None:
    """alerting/tests/drift.yaml holds Prometheus to the same number: 25 hours of one day, 169 of the week before."""
    day = shares("sentiment", positive=10 + 24 * 40, neutral=20 + 24 * 20)
    week_before = shares("sentiment", positive=169 * 10, neutral=169 * 20)
    assert round(stability_index(day, week_before), 4) == 0.4425


@pytest.mark.parametrize("measure", MEASURES)
def test_of_two_times_enough_alike_chance_makes_less_than_a_change(measure: str) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance, bins = random.Random(seed), MEASURES[measure]

    def drawn() -> dict[str, float]:
        tally = Tally()
        for each in chance.choices(bins, weights=range(1, len(bins) + 1), k=ENOUGH):
            tally.add({measure: each})
        return dict(tally.shares()[measure])

    found = [stability_index(drawn(), drawn()) for _ in range(50)]
    assert sum(each >= CHANGED for each in found) < 3  # of the measure with most bins, 1 pair in 1,500 is
    assert mean(found) < 3 * (len(bins) - 1) * 2 / ENOUGH


def some_profile() -> Profile:
    tally = Tally()
    for measure, bins in MEASURES.items():
        tally.add({measure: bins[0]}, 3)
    return Profile(tally.shares(), frozenset({"\u00fcbung", "invoice"}))


def test_a_profile_comes_back_from_its_file() -> None:
    profile = some_profile()
    read = Profile.from_json(profile.as_json().encode())
    assert read.known_words == profile.known_words
    for measure, found in profile.shares.items():
        assert read.shares[measure] == pytest.approx(found, abs=1e-6)
    assert read.as_json() == profile.as_json()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"format": 1', '"format": 2'),
        ('"other_latin"', '"german"'),
        ('"known_words": "invoice', '"known_words": 3, "x": "invoice'),
        ("{", ""),
        ('"positive": 0.777778', '"positive": 0'),
        ('"positive": 0.777778', '"positive": NaN'),
    ],
)
def test_a_file_that_is_no_profile_of_this_release_is_refused(before: str, after: str) -> None:
    content = some_profile().as_json()
    assert before in content
    with pytest.raises(ConfigurationError, match="not a profile"):
        Profile.from_json(content.replace(before, after).encode())
