"""Who is picked among the consultants of a department."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inquiry_svc.inquiries import Text
from inquiry_svc_plugins.routers.rules.consultants import Picker, picker_for
from inquiry_svc_plugins.routers.rules.schema import Consultant, Desk, Strategy

ANY_TEXT = Text(subject="", body="Hello")
STRATEGIES: tuple[Strategy, ...] = ("round_robin", "load_balanced", "skill_based")


def desk(strategy: Strategy, *members: Consultant) -> Picker:
    return picker_for(Desk(strategy=strategy, members=members))


def three(strategy: Strategy, capacity: int = 9) -> Picker:
    return desk(strategy, *(Consultant(name=name, capacity=capacity) for name in ("A", "B", "C")))


def test_round_robin_takes_each_in_turn() -> None:
    picker = three("round_robin")
    assert [picker.pick(ANY_TEXT, {}) for _ in range(7)] == ["A", "B", "C", "A", "B", "C", "A"]


def test_round_robin_passes_over_those_without_room_and_goes_on_after_the_one_it_took() -> None:
    picker = three("round_robin", capacity=5)
    assert picker.pick(ANY_TEXT, {"A": 5}) == "B"
    assert picker.pick(ANY_TEXT, {}) == "C"
    assert picker.pick(ANY_TEXT, {"A": 5, "B": 7}) == "C"
    assert picker.pick(ANY_TEXT, {}) == "A"


def test_a_full_department_does_not_lose_anybodys_turn() -> None:
    picker = three("round_robin", capacity=5)
    assert picker.pick(ANY_TEXT, {}) == "A"
    assert picker.pick(ANY_TEXT, dict.fromkeys("ABC", 5)) is None
    assert picker.pick(ANY_TEXT, {}) == "B"


def test_load_balanced_takes_the_fewest_open_inquiries_and_the_first_of_a_tie() -> None:
    picker = three("load_balanced")
    assert picker.pick(ANY_TEXT, {"A": 2, "B": 1, "C": 1}) == "B"
    assert picker.pick(ANY_TEXT, {"A": 2, "B": 1}) == "C"
    assert picker.pick(ANY_TEXT, {}) == "A"


def test_load_balanced_never_picks_the_one_with_the_fewest_who_is_full() -> None:
    picker = desk("load_balanced", Consultant(name="A", capacity=1), Consultant(name="B", capacity=10))
    assert picker.pick(ANY_TEXT, {"A": 1, "B": 8}) == "B"


@pytest.mark.parametrize(
    ("subject", "body", "chosen"),
    [
        ("", "My credit card was charged", "cards"),
        ("CREDIT CARD", "", "cards"),
        ("", "the credit\n  card", "cards"),
        (
            "credit",
            "card",
            "taxes",
        ),  # a phrase doesn't span subject and body: no skill is named, fewest open wins
        ("", "credit cards", "taxes"),  # not whole words
        ("", "discredit card", "taxes"),
        ("", "VAT, again", "taxes"),
        ("", "private", "taxes"),
        ("vat refund", "credit card refund", "cards"),  # two skills against one
        ("", "we use C++ here", "cards"),
        ("", "STRASSE", "cards"),
        ("", "Straße", "cards"),
        ("", "nothing of it", "taxes"),
    ],
)
def test_skill_based_takes_the_most_skills_named_as_whole_words(subject: str, body: str, chosen: str) -> None:
    picker = desk(
        "skill_based",
        Consultant(name="cards", capacity=9, skills=("Credit  Card", "refund", "c++", "Straße")),
        Consultant(name="taxes", capacity=9, skills=("VAT",)),
    )
    assert picker.pick(Text(subject=subject, body=body), {"cards": 1}) == chosen


def test_a_skill_named_often_or_listed_twice_counts_once() -> None:
    picker = desk(
        "skill_based",
        Consultant(name="A", capacity=9, skills=("refund", "Refund")),
        Consultant(name="B", capacity=9, skills=("card", "charge")),
    )
    assert picker.pick(Text(subject="", body="refund refund refund: card charge"), {}) == "B"


def test_skill_based_breaks_ties_by_fewest_open_then_by_order() -> None:
    picker = desk("skill_based", *(Consultant(name=name, capacity=9, skills=("refund",)) for name in "ABC"))
    refund = Text(subject="refund", body="")
    assert picker.pick(refund, {"A": 2, "B": 1, "C": 1}) == "B"
    assert picker.pick(refund, {}) == "A"


def test_the_best_skilled_who_is_full_is_passed_over() -> None:
    picker = desk(
        "skill_based",
        Consultant(name="A", capacity=1, skills=("refund",)),
        Consultant(name="B", capacity=1),
    )
    assert picker.pick(Text(subject="refund", body=""), {"A": 1}) == "B"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nobody_is_picked_where_nobody_is_listed_or_free(strategy: Strategy) -> None:
    assert desk(strategy).pick(ANY_TEXT, {}) is None
    assert three(strategy, capacity=2).pick(ANY_TEXT, dict.fromkeys("ABC", 2)) is None


@given(
    strategy=st.sampled_from(STRATEGIES),
    capacities=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    open_before=st.lists(st.integers(0, 5), min_size=5, max_size=5),
)
def test_a_department_fills_up_exactly_to_its_capacity(
    strategy: Strategy, capacities: list[int], open_before: list[int]
) -> None:
    members = [Consultant(name=str(i), capacity=capacity) for i, capacity in enumerate(capacities)]
    picker = desk(strategy, *members)
    counts = {member.name: count for member, count in zip(members, open_before, strict=False)}
    room = sum(max(member.capacity - counts[member.name], 0) for member in members)
    for _ in range(room):
        chosen = picker.pick(ANY_TEXT, counts)
        assert chosen is not None
        counts[chosen] += 1
        assert counts[chosen] <= members[int(chosen)].capacity
    assert picker.pick(ANY_TEXT, counts) is None
