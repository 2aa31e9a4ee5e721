"""Inquiries are found again: one by its id, all by pages, filtered, and counted."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from inquiry_svc.inquiries import CATEGORIES, DEPARTMENTS, SENTIMENTS, URGENCIES
from inquiry_svc.testing.running import Running, running_service

LIST: Final = "/api/v1/inquiries"
TEXTS: Final = ("My card was charged twice.", "The app crashes, this is urgent!", "I love it, thank you.", "Hello.")


@pytest.fixture(params=["memory", "sqlite"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running_service({"store.provider": request.param}) as running:
        yield running


async def _fill(running: Running, count: int) -> list[dict[str, Any]]:
    """Inquiries, some received at the same moment; newest first, and of equals the one with the larger id."""
    lines = [
        json.dumps(
            {
                "body": TEXTS[number % len(TEXTS)],
                "sender_email": "ana@example.org",
                "received_at": f"2026-11-{1 + number % 9:02}T09:00:00.{number % 5:06}Z",
            }
        )
        for number in range(count)
    ]
    headers = {"Content-Type": "application/x-ndjson"}
    async with running.client.post(f"{LIST}/bulk", data="\n".join(lines), headers=headers) as answer:
        found = [json.loads(line) async for line in answer.content]
    assert all(inquiry["status"] == "routed" for inquiry in found)
    return sorted(found, key=lambda inquiry: (_received(inquiry), inquiry["inquiry_id"]), reverse=True)


def _received(inquiry: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(inquiry["received_at"])


async def _listed(running: Running, **query: str) -> dict[str, Any]:
    async with running.client.get(LIST, params=query) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
    assert list(found) == ["items", "next_cursor"]
    return found


async def test_pages_of_seven_give_each_inquiry_once_and_newest_first(running: Running) -> None:
    expected = await _fill(running, 50)
    paged: list[dict[str, Any]] = []
    page = await _listed(running, limit="7")
    while page["next_cursor"] is not None:
        assert len(page["items"]) == 7
        paged += page["items"]
        page = await _listed(running, limit="7", cursor=page["next_cursor"])
    assert [*paged, *page["items"]] == expected


async def test_a_last_page_that_is_full_says_that_it_is_the_last(running: Running) -> None:
    expected = await _fill(running, 14)
    first = await _listed(running, limit="7")
    second = await _listed(running, limit="7", cursor=first["next_cursor"])
    assert first["items"] + second["items"] == expected
    assert second["next_cursor"] is None


async def test_fifty_are_shown_unless_more_or_less_is_asked_for(running: Running) -> None:
    await _fill(running, 60)
    assert len((await _listed(running))["items"]) == 50
    assert len((await _listed(running, limit="1"))["items"]) == 1
    assert len((await _listed(running, limit="200"))["items"]) == 60


async def test_an_empty_list_is_a_list(running: Running) -> None:
    assert await _listed(running) == {"items": [], "next_cursor": None}


async def test_each_filter_lets_pass_what_it_says(running: Running) -> None:
    everything = await _fill(running, 40)
    resolved = everything[3]["inquiry_id"]
    async with running.client.post(f"{LIST}/{resolved}/resolve") as answer:
        everything[3] = await answer.json()
    moment = datetime(2026, 11, 5, 9, tzinfo=UTC)
    for name, value, passes in (
        *(("category", value, _label("category", value)) for value in CATEGORIES),
        *(("sentiment", value, _label("sentiment", value)) for value in SENTIMENTS),
        *(("urgency", value, _label("urgency", value)) for value in URGENCIES),
        *(("department", value, _routing("department", value)) for value in DEPARTMENTS),
        ("escalated", "true", _routing("escalated", True)),
        ("escalated", "false", _routing("escalated", False)),
        ("needs_review", "true", lambda inquiry: inquiry["needs_review"]),
        ("needs_review", "false", lambda inquiry: not inquiry["needs_review"]),
        ("status", "resolved", lambda inquiry: inquiry["status"] == "resolved"),
        ("status", "routed", lambda inquiry: inquiry["status"] == "routed"),
        ("since", "2026-11-05T09:00:00Z", lambda inquiry: _received(inquiry) >= moment),
        ("until", "2026-11-05T10:00:00+01:00", lambda inquiry: _received(inquiry) < moment),
    ):
        expected = [inquiry for inquiry in everything if passes(inquiry)]
        assert (await _listed(running, limit="200", **{name: value}))["items"] == expected, f"{name}={value}"


def _label(axis: str, value: str) -> Any:
    return lambda inquiry: inquiry[axis]["label"] == value


def _routing(name: str, value: object) -> Any:
    return lambda inquiry: inquiry["routing"][name] == value


async def test_an_id_may_be_written_in_capitals(running: Running) -> None:
    [inquiry] = await _fill(running, 1)
    async with running.client.get(f"{LIST}/{inquiry['inquiry_id'].upper()}") as answer:
        assert await answer.json() == inquiry


async def test_an_empty_store_is_counted_with_zeros_and_nulls(running: Running) -> None:
    async with running.client.get("/api/v1/stats") as answer:
        assert answer.status == 200
        found = await answer.json()
    assert found == {
        "days": 7,
        "total_inquiries": 0,
        "processed_inquiries": 0,
        "escalated_inquiries": 0,
        "escalation_rate": None,
        "needs_review_inquiries": 0,
        "category_distribution": dict.fromkeys(CATEGORIES, 0),
        "department_distribution": dict.fromkeys(DEPARTMENTS, 0),
        "urgency_distribution": dict.fromkeys(URGENCIES, 0),
        "sentiment_distribution": dict.fromkeys(SENTIMENTS, 0),
        "average_priority_score": None,
        "within_sla_rate": None,
    }


async def test_stats_count_what_the_list_shows(running: Running) -> None:
    everything = await _fill(running, 37)
    seed = random.randrange(2**32)
    for inquiry in random.Random(seed).sample(everything, 5):
        async with running.client.post(f"{LIST}/{inquiry['inquiry_id']}/feedback", json={"category": "hr"}) as answer:
            assert answer.status == 200
    shown = (await _listed(running, limit="200"))["items"]
    async with running.client.get("/api/v1/stats?days=3650") as answer:
        found = await answer.json()
    escalated = sum(inquiry["routing"]["escalated"] for inquiry in shown)
    assert found["days"] == 3650
    assert found["total_inquiries"] == found["processed_inquiries"] == 37
    assert found["escalated_inquiries"] == escalated
    assert found["escalation_rate"] == pytest.approx(escalated / 37)
    assert found["needs_review_inquiries"] == sum(inquiry["needs_review"] for inquiry in shown), f"seed {seed}"
    for axis, labels in (("category", CATEGORIES), ("sentiment", SENTIMENTS), ("urgency", URGENCIES)):
        counted = {label: sum(inquiry[axis]["label"] == label for inquiry in shown) for label in labels}
        assert found[f"{axis}_distribution"] == counted
    scores = [inquiry["routing"]["priority_score"] for inquiry in shown]
    assert found["average_priority_score"] == pytest.approx(sum(scores) / 37)
    assert 0 <= found["within_sla_rate"] <= 1
