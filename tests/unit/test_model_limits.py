"""What keeps a model from answering: the figures of judging files as they are, those of a canary beyond doubt alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from inquiry_svc.catalogue import LIMITS
from inquiry_svc.inquiries import AXES
from inquiry_svc.models.limits import Counted, Figures, missed_by_canary, missed_by_candidate
from inquiry_svc.settings import ModelsSettings

DEFAULTS = ModelsSettings()
GOOD = Figures(
    {axis: Counted(930, 1000) for axis in AXES},
    {axis: Counted(920, 1000) for axis in AXES},
    agreed=Counted(950, 1000),
    slow=Counted(2, 1000),
    failed=Counted(1, 1000),
)


def figures(**changes: object) -> Figures:
    return replace(GOOD, **changes)  # type: ignore[arg-type]


def right(count: int, of: int, axis: str = "urgency") -> dict[str, Counted]:
    return {**GOOD.right, axis: Counted(count, of)}


def test_a_good_model_misses_nothing() -> None:
    assert not missed_by_candidate(GOOD, DEFAULTS)
    assert not missed_by_canary(GOOD, DEFAULTS)
    assert not missed_by_canary(Figures(), DEFAULTS), "of nothing, nothing is known"


@pytest.mark.parametrize(
    ("bad", "limit", "told"),
    [
        (
            figures(right=right(740, 1000)),
            "accuracy",
            "urgency is right in 74.0%, models.min_accuracy_urgency is 75.0%",
        ),
        (
            figures(right=right(890, 1000)),
            "accuracy",
            "urgency is right in 89.0%, the champion's in 92.0%, models.max_accuracy_loss is 2.0%",
        ),
        (figures(right=right(190, 199)), "accuracy", "urgency is known of 199 rows, models.min_texts is 200"),
        (
            figures(agreed=Counted(740, 1000)),
            "agreement",
            "it agrees with the champion on 74.0% of the categories, models.min_agreement is 75.0%",
        ),
        (
            figures(slow=Counted(11, 1000)),
            "latency",
            "1.1% of its calls take longer than models.max_p99_s, 0.25 s; 1 % may",
        ),
        (figures(failed=Counted(11, 1000)), "errors", "it fails over 1.1% of the texts, models.max_error_rate is 1.0%"),
    ],
)
def test_a_candidate_is_held_to_each_limit(bad: Figures, limit: str, told: str) -> None:
    found = {each.told: each.limit for each in missed_by_candidate(bad, DEFAULTS)}
    assert found[told] == limit
    assert set(found.values()) == {limit}
    assert limit in LIMITS


@pytest.mark.parametrize(
    ("doubtful", "certain", "limit"),
    [
        # 50 of which 40 are right may be a model that is right in nine of ten, 500 of which 400 are may not.
        (figures(right=right(40, 50)), figures(right=right(400, 500)), "accuracy"),
        (figures(agreed=Counted(148, 200)), figures(agreed=Counted(600, 1000)), "agreement"),
        (figures(slow=Counted(4, 200)), figures(slow=Counted(40, 1000)), "latency"),
        (figures(failed=Counted(4, 200)), figures(failed=Counted(40, 1000)), "errors"),
    ],
)
def test_a_canary_has_the_benefit_of_the_doubt(doubtful: Figures, certain: Figures, limit: str) -> None:
    assert not missed_by_canary(doubtful, DEFAULTS)
    assert [each.limit for each in missed_by_canary(certain, DEFAULTS)] == [limit]


def test_few_decide_nothing_however_bad_they_are() -> None:
    nothing = Figures(
        right(0, 49),
        GOOD.champion_right,
        agreed=Counted(0, 199),
        slow=Counted(199, 199),
        failed=Counted(199, 199),
    )
    assert not missed_by_canary(nothing, DEFAULTS)
    assert not missed_by_canary(figures(right=right(0, 500), champion_right=right(49, 49)), DEFAULTS)
    enough = replace(
        nothing,
        right=right(0, 50),
        agreed=Counted(0, 200),
        slow=Counted(200, 200),
        failed=Counted(200, 200),
    )
    assert [each.limit for each in missed_by_canary(enough, DEFAULTS)] == list(LIMITS)


def test_feedback_is_held_against_the_champions_alone() -> None:
    """People look at what the models were unsure of: 60 % is no bad sign where the champion has 60 %."""
    unsure = {axis: Counted(600, 1000) for axis in AXES}
    assert not missed_by_canary(figures(right=unsure, champion_right=unsure), DEFAULTS)


@pytest.mark.parametrize(("count", "of"), [(0, 10), (5, 10), (10, 10), (930, 1000), (1, 100_000)])
def test_the_interval_holds_the_share_and_narrows(count: int, of: int) -> None:
    low, high = Counted(count, of).bounds()
    assert -1e-9 <= low <= count / of + 1e-9
    assert count / of - 1e-9 <= high <= 1 + 1e-9
    narrow_low, narrow_high = Counted(count * 100, of * 100).bounds()
    assert narrow_high - narrow_low < (high - low) / 4


def test_at_the_ends_of_the_interval_the_share_lies_two_and_a_half_deviations_away() -> None:
    """What defines Wilson's interval: the deviation is that of the end itself."""
    for end in Counted(81, 263).bounds():
        assert abs(81 / 263 - end) == pytest.approx(2.576 * math.sqrt(end * (1 - end) / 263))


def test_the_history_says_each_share_and_of_how_many() -> None:
    numbers = figures(agreed=Counted()).as_numbers()
    assert numbers["accuracy_category"] == 0.93
    assert numbers["champion_accuracy_category_of"] == 1000
    assert numbers["slow_calls"] == 0.002
    assert "agreement" not in numbers
