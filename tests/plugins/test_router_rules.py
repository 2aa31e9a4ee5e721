"""The router `rules` with its packaged default: the contract suite, and the values that are promised."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from inquiry_svc.contracts import Host, Router
from inquiry_svc.inquiries import CATEGORIES, DEPARTMENTS, SENTIMENTS, URGENCIES, Department, Route
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.routers import RouterContract
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_prediction
from inquiry_svc_plugins.routers.rules import RulesSettings, open_rules, register_routers
from inquiry_svc_plugins.routers.rules.loading import load_rules
from inquiry_svc_plugins.routers.rules.priority import Labels, decide, every_combination
from inquiry_svc_plugins.routers.rules.schema import (
    CategoryDepartments,
    CategoryPoints,
    DepartmentDesks,
    ResponseTargets,
    Rule,
    SentimentPoints,
    UrgencyPoints,
    When,
)


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Router]:
    async with open_rules(RulesSettings(), Host(tmp_path, Metrics())) as opened:
        yield opened


class TestContract(RouterContract):
    @pytest.fixture
    async def router(self, tmp_path: Path) -> AsyncIterator[Router]:
        async with open_rules(RulesSettings(), Host(tmp_path, Metrics())) as opened:
            yield opened


def test_the_provider_is_called_rules() -> None:
    assert [(provider.name, provider.settings) for provider in register_routers()] == [("rules", RulesSettings)]


def test_the_schema_names_every_label_there_is() -> None:
    assert CategoryDepartments.__struct_fields__ == CategoryPoints.__struct_fields__ == CATEGORIES
    assert SentimentPoints.__struct_fields__ == SENTIMENTS
    assert UrgencyPoints.__struct_fields__ == ResponseTargets.__struct_fields__ == URGENCIES
    assert DepartmentDesks.__struct_fields__ == DEPARTMENTS == get_args(Department)


async def test_a_double_charge_goes_to_finance_team_a(router: Router) -> None:
    (route,) = await router.route([sample_inquiry()], [sample_prediction("billing", "negative", "medium")], {})
    assert route == Route(
        department="finance",
        consultant="Finance Team A",
        priority_score=60.0,
        escalated=False,
        reasons=(
            "category billing -> finance",
            "priority 60 = urgency medium 20 + sentiment negative 30 + category billing 10",
        ),
        sla_due_at=NOON + timedelta(hours=4),
    )


@pytest.mark.parametrize(
    ("category", "sentiment", "urgency", "department", "priority", "escalated"),
    [
        ("technical_support", "neutral", "low", "technical_support", 40, False),
        ("technical_support", "neutral", "critical", "technical_support", 88, False),
        ("technical_support", "positive", "critical", "technical_support", 78, False),
        ("technical_support", "negative", "critical", "escalation", 100, True),
        ("technical_support", "negative", "high", "technical_support", 82, False),
        ("billing", "positive", "low", "finance", 30, False),
        ("billing", "neutral", "high", "finance", 75, False),
        ("billing", "negative", "high", "finance", 85, False),
        ("billing", "neutral", "critical", "finance", 85, False),
        ("billing", "negative", "critical", "escalation", 100, True),
        ("sales", "positive", "medium", "sales", 38, False),
        ("sales", "negative", "high", "sales", 80, False),
        ("sales", "negative", "critical", "escalation", 98, True),
        ("hr", "neutral", "medium", "hr", 48, False),
        ("hr", "neutral", "critical", "hr", 68, False),
        ("legal", "neutral", "low", "legal", 45, False),
        ("legal", "positive", "high", "legal", 80, False),
        ("legal", "neutral", "high", "legal", 90, True),
        ("legal", "negative", "high", "legal", 100, True),
        ("legal", "positive", "critical", "legal", 90, True),
        ("legal", "negative", "critical", "escalation", 100, True),
        ("product_feedback", "positive", "low", "product_management", 25, False),
        ("product_feedback", "negative", "medium", "product_management", 55, False),
        ("product_feedback", "negative", "critical", "escalation", 95, True),
    ],
)
async def test_the_default_rules_hold_the_promised_values(
    router: Router,
    category: str,
    sentiment: str,
    urgency: str,
    department: str,
    priority: float,
    escalated: bool,
) -> None:
    (route,) = await router.route([sample_inquiry()], [sample_prediction(category, sentiment, urgency)], {})
    assert (route.department, route.priority_score, route.escalated) == (department, priority, escalated)


def test_the_default_rules_agree_with_the_arithmetic_written_out_for_all_combinations() -> None:
    rules = load_rules()
    departments = {"billing": "finance", "product_feedback": "product_management"}
    for labels in every_combination():
        category, sentiment, urgency = labels
        points = {"critical": 40, "high": 30, "medium": 20, "low": 10}[urgency]
        points += {"negative": 30, "neutral": 20, "positive": 10}[sentiment]
        points += {"legal": 15, "billing": 10, "technical_support": 10, "product_feedback": 5}.get(category, 8)
        boosts = [0]
        boosts += [20] if (urgency, sentiment) == ("critical", "negative") else []
        boosts += [15] if category == "billing" and urgency in ("critical", "high") else []
        boosts += [18] if category == "technical_support" and urgency == "critical" else []
        boosts += [25] if category == "legal" and urgency in ("critical", "high") else []
        boosts += [12] if (urgency, sentiment) == ("high", "negative") else []
        priority = min(100, points + max(boosts))
        worst = (urgency, sentiment) == ("critical", "negative")
        decision = decide(rules, labels)
        assert decision.priority_score == priority, labels
        assert decision.escalated is (worst or priority >= 90), labels
        assert decision.department == ("escalation" if worst else departments.get(category, category)), labels


def test_every_match_gives_a_reason_and_the_sum_is_shown() -> None:
    assert decide(load_rules(), Labels("legal", "negative", "critical")).reasons == (
        "rule critical-negative: +20 (not added: legal-urgent gives more), escalated, -> escalation",
        "rule legal-urgent: +25",
        "priority 100 (clamped from 110) = "
        "urgency critical 40 + sentiment negative 30 + category legal 15 + rule legal-urgent 25",
        "priority 100 >= 90: escalated",
    )
    assert decide(load_rules(), Labels("sales", "negative", "critical")).reasons[0] == (
        "rule critical-negative: +20, escalated, -> escalation"
    )
    assert decide(load_rules(), Labels("legal", "positive", "critical")).reasons == (
        "category legal -> legal",
        "rule legal-urgent: +25",
        "priority 90 = urgency critical 40 + sentiment positive 10 + category legal 15 + rule legal-urgent 25",
        "priority 90 >= 90: escalated",
    )


def test_only_the_largest_boost_counts_and_priority_stays_within_its_limits() -> None:
    rules = msgspec.structs.replace(
        load_rules(),
        rules=(
            Rule(name="praise", when=When(sentiment=("positive",)), boost=-50),
            Rule(name="sales-praise", when=When(category=("sales",), sentiment=("positive",)), boost=-40.5),
        ),
    )
    assert decide(rules, Labels("hr", "positive", "low")).priority_score == 0
    assert decide(rules, Labels("hr", "positive", "low")).reasons[-1] == (
        "priority 0 (clamped from -22) = urgency low 10 + sentiment positive 10 + category hr 8 + rule praise -50"
    )
    assert decide(rules, Labels("sales", "positive", "critical")).priority_score == 17.5
    assert decide(rules, Labels("sales", "positive", "critical")).reasons[1] == (
        "rule praise: -50 (not added: sales-praise gives more)"
    )


def test_the_first_match_that_names_a_department_decides_it() -> None:
    rules = msgspec.structs.replace(
        load_rules(),
        rules=(
            Rule(name="note", when=When(), reason="seen by all"),
            Rule(name="first", when=When(category=("hr",)), department="legal"),
            Rule(name="second", when=When(category=("hr",)), department="sales", escalate=True),
        ),
    )
    decision = decide(rules, Labels("hr", "neutral", "low"))
    assert (decision.department, decision.escalated) == ("legal", True)
    assert decision.reasons[:3] == (
        "rule note: seen by all",
        "rule first: -> legal",
        "rule second: escalated, -> sales (not taken: first decided before)",
    )


@pytest.mark.parametrize(
    ("urgency", "received_at", "due_at"),
    [
        (
            "critical",
            datetime(2026, 3, 7, 23, 50, tzinfo=UTC),
            datetime(2026, 3, 8, 0, 5, tzinfo=UTC),
        ),  # Saturday
        ("high", datetime(2026, 3, 6, 16, 30, tzinfo=UTC), datetime(2026, 3, 9, 9, 30, tzinfo=UTC)),  # Friday
        ("medium", datetime(2026, 3, 4, 13, 0, tzinfo=UTC), datetime(2026, 3, 4, 17, 0, tzinfo=UTC)),
        ("low", datetime(2026, 3, 4, 12, 0, tzinfo=UTC), datetime(2026, 3, 9, 12, 0, tzinfo=UTC)),
    ],
)
async def test_the_response_target_counts_in_business_hours(
    router: Router, urgency: str, received_at: datetime, due_at: datetime
) -> None:
    inquiry = sample_inquiry(received_at=received_at)
    (route,) = await router.route([inquiry], [sample_prediction(urgency=urgency, sentiment="neutral")], {})
    assert route.sla_due_at == due_at


async def test_an_escalated_inquiry_goes_to_the_consultants_of_escalation(router: Router) -> None:
    (route,) = await router.route([sample_inquiry()], [sample_prediction("billing", "negative", "critical")], {})
    assert route.consultant == "Escalation Team A"


async def test_a_batch_fills_nobody_past_capacity_and_the_rest_waits_in_the_queue(router: Router) -> None:
    open_inquiries = {"Legal Team A": 98, "Legal Team B": 99}  # of 100 each
    routes = await router.route(
        [sample_inquiry() for _ in range(5)],
        [sample_prediction("legal", "neutral", "low")] * 5,
        open_inquiries,
    )
    assert [route.consultant for route in routes] == [
        "Legal Team A",
        "Legal Team A",
        "Legal Team B",
        None,
        None,
    ]
    assert "nobody free in legal -> department queue" not in routes[2].reasons
    assert routes[3].reasons[-1] == "nobody free in legal -> department queue"
    assert routes[3].department == "legal"


async def test_a_missing_prediction_is_refused_rather_than_dropped(router: Router) -> None:
    with pytest.raises(ValueError, match="shorter"):
        await router.route([sample_inquiry(), sample_inquiry()], [sample_prediction()], {})
