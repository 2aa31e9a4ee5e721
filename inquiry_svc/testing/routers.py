"""The contract suite for routers: subclass `RouterContract` and override its fixture `router`.

It checks what the service relies on, not whether a decision is wise.
"""

from __future__ import annotations

import math
from datetime import UTC, timedelta
from types import MappingProxyType
from typing import Final

import pytest

from inquiry_svc.contracts import Router
from inquiry_svc.inquiries import CATEGORIES, DEPARTMENTS, SENTIMENTS, URGENCIES, Inquiry, Prediction, Route
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_prediction

MAX_PRIORITY: Final = 100

ODD_TEXTS: Final = (
    "",
    " \t\r\n",
    "\0",
    "\ud800",
    "\u202eright to left",
    "🤷" * 100,
    "a" * 10_000,
    "{0} %s $x \\1 (?P<",
    "İSTANBUL ß \u0130",
)
"""Empty, white space, control character, lone surrogate, right to left, emoji, long, like code, odd case."""


class RouterContract:
    """What the service relies on. Needs `asyncio_mode = "auto"`."""

    @pytest.fixture
    def router(self) -> Router:
        """The router under test, open. May be an async fixture that closes it afterwards."""
        raise NotImplementedError("override the fixture `router`")

    async def test_each_combination_of_labels_gets_a_valid_route(self, router: Router) -> None:
        inquiries, predictions = _one_of_each()
        routes = await router.route(inquiries, predictions, {})
        assert len(routes) == len(inquiries)
        for inquiry, route in zip(inquiries, routes, strict=True):
            assert_valid(inquiry, route)

    async def test_labels_decide_the_route_whatever_else_is_in_the_batch(self, router: Router) -> None:
        inquiries, predictions = _one_of_each()
        together = await router.route(inquiries, predictions, {})
        backwards = await router.route(inquiries[::-1], predictions[::-1], {})
        alone = [
            (await router.route([inquiry], [prediction], {}))[0]
            for inquiry, prediction in zip(inquiries, predictions, strict=True)
        ]
        decided = [_decided_by_labels(route) for route in together]
        assert [_decided_by_labels(route) for route in backwards[::-1]] == decided
        assert [_decided_by_labels(route) for route in alone] == decided

    @pytest.mark.parametrize("size", [1, 2, 64])
    async def test_a_batch_of_any_size_gets_a_route_for_each_inquiry(self, router: Router, size: int) -> None:
        inquiries = [sample_inquiry() for _ in range(size)]
        routes = await router.route(inquiries, [sample_prediction()] * size, {})
        assert len(routes) == size
        for inquiry, route in zip(inquiries, routes, strict=True):
            assert_valid(inquiry, route)

    async def test_a_route_belongs_to_the_inquiry_at_its_place(self, router: Router) -> None:
        inquiries = [sample_inquiry(received_at=NOON + timedelta(weeks=week)) for week in range(8)]
        routes = await router.route(inquiries, [sample_prediction()] * 8, {})
        due_times = [route.sla_due_at for route in routes]
        assert due_times == sorted(set(due_times))

    @pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
    async def test_an_odd_text_is_routed_like_any_other(self, router: Router, text: str) -> None:
        inquiry = sample_inquiry(subject=text, body=text)
        (route,) = await router.route([inquiry], [sample_prediction()], {})
        assert_valid(inquiry, route)

    async def test_the_counts_of_open_inquiries_are_only_read(self, router: Router) -> None:
        inquiries, predictions = _one_of_each()
        counts: dict[str, int] = {"nobody the router knows": 3}
        counts |= {route.consultant: 1 for route in await router.route(inquiries, predictions, {}) if route.consultant}
        before = dict(counts)
        routes = await router.route(inquiries, predictions, MappingProxyType(counts))
        assert len(routes) == len(inquiries)
        assert counts == before

    async def test_any_load_is_routed_even_if_to_nobody(self, router: Router) -> None:
        inquiries, predictions = _one_of_each()
        known = {route.consultant for route in await router.route(inquiries, predictions, {})}
        load = {name: 10**9 for name in known if name is not None}
        for inquiry, route in zip(inquiries, await router.route(inquiries, predictions, load), strict=True):
            assert_valid(inquiry, route)


def assert_valid(inquiry: Inquiry, route: Route) -> None:
    assert route.department in DEPARTMENTS
    assert route.consultant is None or (isinstance(route.consultant, str) and route.consultant)
    assert type(route.priority_score) is float
    assert math.isfinite(route.priority_score)
    assert 0 <= route.priority_score <= MAX_PRIORITY
    assert type(route.escalated) is bool
    assert isinstance(route.reasons, tuple)
    assert route.reasons
    assert all(isinstance(reason, str) and reason.strip() for reason in route.reasons)
    assert route.sla_due_at.tzinfo is not None
    assert route.sla_due_at.utcoffset() == UTC.utcoffset(None)
    assert route.sla_due_at > inquiry.received_at


def _one_of_each() -> tuple[list[Inquiry], list[Prediction]]:
    """An inquiry and a prediction for each combination of labels."""
    predictions = [
        sample_prediction(category, sentiment, urgency)
        for category in CATEGORIES
        for sentiment in SENTIMENTS
        for urgency in URGENCIES
    ]
    return [sample_inquiry() for _ in predictions], predictions


def _decided_by_labels(route: Route) -> tuple[object, ...]:
    """All but the consultant and the reasons, which may speak of turns and loads."""
    return route.department, route.priority_score, route.escalated, route.sla_due_at
