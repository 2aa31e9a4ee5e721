"""A replay decides everything twice, and only what the candidate changes comes out otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from inquiry_svc.contracts import Classifier, Host, Router
from inquiry_svc.errors import Unavailable
from inquiry_svc.history import history_of
from inquiry_svc.inquiries import Feedback, Inquiry, Outcome, Prediction, Route, Text, Verdict
from inquiry_svc.metrics import Metrics
from inquiry_svc.predicting import prediction_of
from inquiry_svc.replaying import BATCH, NOBODY, Replay, replay
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import ReviewSettings
from inquiry_svc.testing.providers import FunctionClassifier
from inquiry_svc.testing.samples import MODEL, NOON, sample_inquiry, sample_outcome, sample_verdict
from inquiry_svc_plugins.routers.rules import RulesSettings, open_rules
from inquiry_svc_plugins.stores.memory import MemoryStore

POLICY: Final = ReviewPolicy(ReviewSettings())
MINUTE: Final = timedelta(minutes=1)


@pytest.fixture
async def rules(tmp_path: Path) -> AsyncIterator[Router]:
    async with open_rules(RulesSettings(), Host(tmp_path, Metrics())) as router:
        yield router


class OneConsultant:
    """Gives everything to Ana, who can hold one at a time; it remembers in which order it was asked."""

    def __init__(self, department: str = "finance", *, escalates: bool = False) -> None:
        self.asked: list[datetime] = []
        self._department = department
        self._escalates = escalates

    async def route(
        self, inquiries: Sequence[Inquiry], predictions: Sequence[Prediction], open_inquiries: Mapping[str, int]
    ) -> Sequence[Route]:
        [inquiry] = inquiries
        self.asked.append(inquiry.received_at)
        consultant = None if open_inquiries.get("Ana", 0) else "Ana"
        return [Route(self._department, consultant, 50.0, self._escalates, (), NOON)]  # type: ignore[arg-type]


def outcome(minute: int, *, verdict: Verdict | None = None, **changes: Any) -> Outcome:
    inquiry = sample_inquiry(received_at=NOON + minute * MINUTE, subject=f"Received at {minute}")
    prediction = prediction_of(verdict or sample_verdict(), MODEL, POLICY, {})
    return replace(sample_outcome(inquiry, prediction=prediction), **changes)


def classifier(of: Callable[[Text], Verdict]) -> FunctionClassifier:
    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        return [of(text) for text in texts]

    return FunctionClassifier(classify)


async def replayed(
    outcomes: Sequence[Outcome],
    router: Router,
    candidate_router: Router | None = None,
    candidate: Classifier | None = None,
    **options: Any,
) -> Replay:
    store = MemoryStore()
    await store.save(outcomes)
    history = await history_of(store, since=NOON - timedelta(days=1), until=NOON + timedelta(days=9))
    return await replay(
        history,
        router=router,
        candidate_router=candidate_router or router,
        candidate=candidate,
        policy=POLICY,
        **options,
    )


def changed(found: Replay) -> dict[str, int]:
    return {thing: shift.changed for thing, shift in found.shifts.items() if shift.changed}


async def test_a_candidate_that_says_what_was_said_changes_nothing(rules: Router) -> None:
    found = await replayed(
        [outcome(minute) for minute in range(150)], rules, candidate=classifier(lambda text: sample_verdict())
    )
    assert (found.inquiries, found.failed) == (150, 0)
    assert changed(found) == {}
    assert found.answered_by == {"sample 1 (5a5a5a5a)": 150}
    assert found.most_open_before == found.most_open_after == {"Finance Team A": 150}


async def test_another_model_moves_labels_and_all_that_follows_from_them(rules: Router) -> None:
    unsure = Verdict.from_scores([0.5, 0.1, 0.1, 0.1, 0.1, 0.1, *sample_verdict().scores[6:]])
    found = await replayed(
        [outcome(minute) for minute in range(10)],
        rules,
        candidate=classifier(
            lambda text: unsure if text.subject.endswith("3") else sample_verdict("legal", "negative", "critical")
        ),
    )
    assert found.shifts["category"].after == {
        **dict.fromkeys(found.shifts["category"].before, 0),
        "technical_support": 1,
        "legal": 9,
    }
    assert found.shifts["category"].moves == [("billing", "legal", 9), ("billing", "technical_support", 1)]
    assert found.shifts["sentiment"].changed == 0
    assert found.shifts["urgency"].moves == [("medium", "critical", 9)]
    assert found.shifts["department"].moves == [("finance", "escalation", 9), ("finance", "technical_support", 1)]
    assert found.shifts["escalated"].before == {"yes": 0, "no": 10}
    assert found.shifts["escalated"].after == {"yes": 9, "no": 1}
    assert found.shifts["needs_review"].after == {"yes": 1, "no": 9}
    assert found.shifts["consultant"].before["Finance Team A"] == 10
    assert found.shifts["consultant"].after["Escalation Team A"] == 5


async def test_with_other_rules_alone_the_predictions_stand() -> None:
    unsure = Verdict.from_scores([0.5, 0.1, 0.1, 0.1, 0.1, 0.1, *sample_verdict().scores[6:]])
    found = await replayed(
        [outcome(0), outcome(1, verdict=unsure)], OneConsultant(), OneConsultant("legal", escalates=True)
    )
    assert changed(found) == {"department": 2, "escalated": 2}
    assert found.shifts["needs_review"].before == {"yes": 1, "no": 1}


async def test_how_it_was_routed_then_is_not_compared_with_but_how_it_would_be_today() -> None:
    stored = outcome(0)
    by_rules_of_before = replace(stored, route=replace(stored.route, department="sales", escalated=True))
    found = await replayed([by_rules_of_before], OneConsultant())
    assert changed(found) == {}
    assert found.shifts["department"].before["finance"] == 1


async def test_review_load_is_as_it_was_before_people_looked() -> None:
    unsure = Verdict.from_scores([0.5, 0.1, 0.1, 0.1, 0.1, 0.1, *sample_verdict().scores[6:]])
    reviewed = outcome(0, verdict=unsure)
    reviewed = replace(reviewed, prediction=replace(reviewed.prediction, needs_review=False))
    by_fallback = outcome(1)
    by_fallback = replace(by_fallback, prediction=replace(by_fallback.prediction, review_reasons=("degraded",)))
    audited = outcome(2)
    audited = replace(audited, prediction=replace(audited.prediction, needs_review=True, review_reasons=("audit",)))
    of_before = outcome(3)
    of_before = replace(of_before, prediction=replace(of_before.prediction, needs_review=True))
    found = await replayed([reviewed, by_fallback, audited, of_before, outcome(4)], OneConsultant())
    assert found.shifts["needs_review"].before == {"yes": 3, "no": 2}


async def test_where_people_said_what_is_right_both_sides_are_judged(rules: Router) -> None:
    said = [
        Feedback("legal", None, "high", None, NOON),
        Feedback("billing", "negative", None, None, NOON),
        Feedback("sales", None, None, None, NOON),
    ]
    found = await replayed(
        [outcome(3), *(outcome(minute, feedback=each) for minute, each in enumerate(said))],
        rules,
        candidate=classifier(lambda text: sample_verdict("legal", "neutral", "high")),
    )
    judged = {
        thing: (shift.looked_at, shift.right_before, shift.right_after)
        for thing, shift in found.shifts.items()
        if shift.looked_at
    }
    assert judged == {"category": (3, 1, 1), "sentiment": (1, 1, 0), "urgency": (1, 0, 1)}


async def test_a_consultant_is_free_again_when_an_inquiry_was_really_resolved() -> None:
    now, then = OneConsultant(), OneConsultant("legal")
    found = await replayed(
        [
            outcome(0, resolved_at=NOON + 60 * MINUTE),
            outcome(30),
            outcome(90, resolved_at=NOON + 80 * MINUTE),  # before it came, as a caller may say
            outcome(91),
            outcome(92),
        ],
        now,
        then,
    )
    assert now.asked == then.asked == sorted(now.asked), "the store lists the newest first"
    for given in (found.shifts["consultant"].before, found.shifts["consultant"].after):
        assert given == {"Ana": 3, NOBODY: 2}
    assert found.most_open_before == found.most_open_after == {"Ana": 1}


async def test_what_one_side_gives_burdens_nobody_of_the_other() -> None:
    class Legal(OneConsultant):
        async def route(
            self, inquiries: Sequence[Inquiry], predictions: Sequence[Prediction], open_inquiries: Mapping[str, int]
        ) -> Sequence[Route]:
            assert set(open_inquiries) <= {"Bo"}
            [route] = await super().route(inquiries, predictions, {})
            return [replace(route, consultant="Bo")]

    found = await replayed([outcome(minute) for minute in range(3)], OneConsultant(), Legal())
    assert found.most_open_before == {"Ana": 1}
    assert found.most_open_after == {"Bo": 3}


async def test_the_newest_of_each_change_are_the_examples(rules: Router) -> None:
    found = await replayed(
        [outcome(minute) for minute in range(9)],
        rules,
        candidate=classifier(lambda text: sample_verdict("legal")),
        examples=2,
    )
    category = found.shifts["category"].examples
    assert [each.beginning for each in category] == ["Received at 7", "Received at 8"]
    assert {(each.before, each.after) for each in category} == {("billing 0.90", "legal 0.90")}
    assert found.shifts["sentiment"].examples == []
    assert [each.before for each in found.shifts["department"].examples] == ["finance", "finance"]


async def test_a_text_that_the_candidate_cannot_read_is_left_out_alone(rules: Router) -> None:
    def of(text: Text) -> Verdict:
        if text.subject == "Received at 5":
            raise ValueError("poison")
        return sample_verdict("legal")

    found = await replayed([outcome(minute) for minute in range(2 * BATCH)], rules, candidate=classifier(of))
    assert (found.inquiries, found.failed) == (2 * BATCH - 1, 1)
    assert found.shifts["category"].changed == 2 * BATCH - 1


async def test_a_candidate_out_of_reach_ends_the_replay(rules: Router) -> None:
    def of(text: Text) -> Verdict:
        raise Unavailable("not there")

    with pytest.raises(Unavailable, match="not there"):
        await replayed([outcome(0)], rules, candidate=classifier(of))


async def test_a_candidate_is_given_no_more_at_once_than_its_contract_says_and_progress_is_told(rules: Router) -> None:
    candidate, told = classifier(lambda text: sample_verdict()), list[int]()
    await replayed([outcome(minute) for minute in range(150)], rules, candidate=candidate, on_progress=told.append)
    assert [len(batch) for batch in candidate.batches] == told == [64, 64, 22]


async def test_of_nothing_nothing_changes(rules: Router) -> None:
    found = await replayed([], rules)
    assert (found.inquiries, changed(found), found.answered_by) == (0, {}, {})
