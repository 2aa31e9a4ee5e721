"""Outcomes made at random, and what a plain loop finds among them: what the contract suite holds a store against.

Needs Hypothesis. For an outcome whose values matter to a test, use `samples.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

from hypothesis import strategies as st
from msgspec.structs import replace

from inquiry_svc.contracts import Filters, Stats
from inquiry_svc.inquiries import (
    CATEGORIES,
    DEPARTMENTS,
    REVIEW_REASONS,
    SENTIMENTS,
    SOURCES,
    URGENCIES,
    Department,
    Feedback,
    IdempotencyKey,
    Label,
    Model,
    Outcome,
    Prediction,
    Route,
    Verdict,
)
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome, sample_prediction

_FILTERS: Final[dict[str, Sequence[Any]]] = {
    "category": CATEGORIES,
    "department": DEPARTMENTS,
    "urgency": URGENCIES,
    "sentiment": SENTIMENTS,
    "status": ("routed", "resolved"),
    "escalated": (True, False),
    "needs_review": (True, False),
    "since": [NOON + timedelta(hours=hour) for hour in range(-2, 12, 3)],
    "until": [NOON + timedelta(hours=hour) for hour in range(-2, 12, 3)],
}


def random_outcomes(how_many: int = 80) -> tuple[int, Sequence[Outcome]]:
    """A seed (also printed) and outcomes made from it: every label, many received at the same moment, in no order."""
    seed = random.randrange(2**32)
    print(f"random outcomes of seed {seed}")  # noqa: T201 (pytest shows it with a failure)
    rng = random.Random(seed)
    outcomes = [_random_outcome(rng) for _ in range(how_many)]
    rng.shuffle(outcomes)
    return seed, outcomes


def each_filter(rng: random.Random, mixtures: int = 60) -> Iterator[Filters]:
    """Each filter alone with each of its values, then mixtures of two to four."""
    yield Filters()
    for name, values in _FILTERS.items():
        for value in values:
            yield Filters(**{name: value})
    for _ in range(mixtures):
        names = rng.sample(list(_FILTERS), rng.randint(2, 4))
        yield Filters(**{name: rng.choice(_FILTERS[name]) for name in names})


def passes(outcome: Outcome, filters: Filters) -> bool:
    verdict = outcome.prediction.verdict
    values = {
        "category": verdict.category.label,
        "department": outcome.route.department,
        "urgency": verdict.urgency.label,
        "sentiment": verdict.sentiment.label,
        "status": outcome.status,
        "escalated": outcome.route.escalated,
        "needs_review": outcome.prediction.needs_review,
    }
    asked = {name: getattr(filters, name) for name in values}
    if any(asked[name] is not None and asked[name] != value for name, value in values.items()):
        return False
    received_at = outcome.inquiry.received_at
    return (filters.since or received_at) <= received_at and (filters.until is None or received_at < filters.until)


def count(outcomes: Sequence[Outcome], *, since: datetime, now: datetime) -> Stats:
    window = [outcome for outcome in outcomes if outcome.inquiry.received_at >= since]
    verdicts = [outcome.prediction.verdict for outcome in window]
    due = [each for each in window if each.resolved_at is not None or each.route.sla_due_at < now]
    in_time = [each for each in due if each.resolved_at is not None and each.resolved_at <= each.route.sla_due_at]

    def share(part: Sequence[Outcome], whole: Sequence[Outcome]) -> float | None:
        return len(part) / len(whole) if whole else None

    def each_label(labels: tuple[str, ...], found: Sequence[str]) -> dict[str, int]:
        return {label: found.count(label) for label in labels}

    return Stats(
        total_inquiries=len(window),
        processed_inquiries=len(window),
        escalated_inquiries=len([each for each in window if each.route.escalated]),
        escalation_rate=share([each for each in window if each.route.escalated], window),
        needs_review_inquiries=len([each for each in window if each.prediction.needs_review]),
        category_distribution=each_label(CATEGORIES, [verdict.category.label for verdict in verdicts]),
        department_distribution=each_label(DEPARTMENTS, [each.route.department for each in window]),
        urgency_distribution=each_label(URGENCIES, [verdict.urgency.label for verdict in verdicts]),
        sentiment_distribution=each_label(SENTIMENTS, [verdict.sentiment.label for verdict in verdicts]),
        average_priority_score=sum(each.route.priority_score for each in window) / len(window) if window else None,
        within_sla_rate=share(in_time, due),
    )


def outcomes() -> st.SearchStrategy[Outcome]:
    """Any outcome that the service could make, each with an id (and, if it has one, a key) that no other has."""
    return st.builds(
        Outcome,
        inquiry=st.builds(
            sample_inquiry,
            subject=_TEXT,
            body=_TEXT,
            sender_email=_TEXT,
            received_at=_TIMES,
            sender_name=st.none() | _TEXT,
            source=st.sampled_from(SOURCES),
            metadata=st.dictionaries(_TEXT, _JSON, max_size=4),
            idempotency_key=st.none() | st.builds(_unique_key, _TEXT, _TEXT),
        ),
        prediction=st.builds(
            Prediction,
            verdict=st.builds(
                Verdict,
                *(
                    st.builds(Label, st.sampled_from(labels), _PROBABILITIES)
                    for labels in (CATEGORIES, SENTIMENTS, URGENCIES)
                ),
                st.tuples(*[_PROBABILITIES] * 13),
                _PROBABILITIES,
            ),
            model=st.builds(Model, _TEXT, _TEXT, _TEXT),
            needs_review=st.booleans(),
            degraded=st.lists(_TEXT, max_size=2).map(tuple),
            review_reasons=st.lists(st.sampled_from(REVIEW_REASONS), unique=True).map(tuple),
        ),
        route=st.builds(
            Route,
            department=st.sampled_from(DEPARTMENTS),
            consultant=st.none() | _TEXT,
            priority_score=st.floats(0, 100),
            escalated=st.booleans(),
            reasons=st.lists(_TEXT, max_size=3).map(tuple),
            sla_due_at=_TIMES,
        ),
        processed_at=_TIMES,
        feedback=st.none()
        | st.builds(
            Feedback,
            st.none() | st.sampled_from(CATEGORIES),
            st.none() | st.sampled_from(SENTIMENTS),
            st.none() | st.sampled_from(URGENCIES),
            st.none() | _TEXT,
            _TIMES,
        ),
        resolved_at=st.none() | _TIMES,
    )


# NUL and lone surrogates never reach a store: the service refuses them.
_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
_TIMES: Final = st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(fold=0))
_PROBABILITIES: Final = st.floats(0, 1)
_JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


def _unique_key(value: str, fingerprint: str) -> IdempotencyKey:
    return IdempotencyKey(value + sample_inquiry().inquiry_id, fingerprint)


def _random_outcome(rng: random.Random) -> Outcome:
    received_at = NOON + timedelta(hours=rng.randrange(10), microseconds=rng.randrange(2))
    key = IdempotencyKey(f"key {rng.getrandbits(64):x}", "f") if rng.random() < 0.5 else None
    outcome = sample_outcome(sample_inquiry(received_at=received_at, idempotency_key=key))
    needs_review = rng.random() < 0.3
    prediction = sample_prediction(
        rng.choice(CATEGORIES),
        rng.choice(SENTIMENTS),
        rng.choice(URGENCIES),
        needs_review=needs_review,
        review_reasons=tuple(rng.sample(REVIEW_REASONS, rng.randint(1, 3))) if needs_review else (),
    )
    due_at = received_at + timedelta(hours=rng.randrange(1, 6))
    route = replace(
        outcome.route,
        department=rng.choice(get_args(Department)),
        consultant=rng.choice(["Ana", "Ben", "Cleo", None]),
        priority_score=rng.uniform(0, 100),
        escalated=rng.random() < 0.3,
        sla_due_at=due_at,
    )
    resolved_at = due_at + timedelta(hours=rng.randrange(-2, 3)) if rng.random() < 0.4 else None
    return replace(outcome, prediction=prediction, route=route, resolved_at=resolved_at)
