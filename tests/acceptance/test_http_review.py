"""People say what an inquiry should have been, and that it was answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from inquiry_svc.testing.exporters import samples_of
from inquiry_svc.testing.problems import messages, problem_of
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import Running, running_service

INQUIRIES: Final = "/api/v1/inquiries"


@pytest.fixture(params=["memory", "sqlite"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """Every inquiry needs review here: the classifier is 0.9 sure."""
    settings = {"store.provider": request.param, "classifier.provider": "given", "review.below_confidence": 0.95}
    async with running_service(settings, plugins=[Offering(classifier=FunctionClassifier())]) as running:
        yield running


@pytest.fixture
async def inquiry(running: Running) -> dict[str, Any]:
    sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
    async with running.client.post(f"{INQUIRIES}/submit", json=sent) as answer:
        found: dict[str, Any] = await answer.json()
    assert found["needs_review"] is True
    return found


async def test_feedback_is_kept_and_the_inquiry_needs_no_review_any_more(
    running: Running, inquiry: dict[str, Any]
) -> None:
    path = f"{INQUIRIES}/{inquiry['inquiry_id']}"
    async with running.client.post(f"{path}/feedback", json={"category": "sales", "reviewer": " Bo "}) as answer:
        assert answer.status == 200
        found = await answer.json()
    assert found["feedback"].pop("given_at").endswith("Z")
    assert found["feedback"] == {"category": "sales", "sentiment": None, "urgency": None, "reviewer": "Bo"}
    assert found["needs_review"] is False
    assert found["category"] == inquiry["category"], "what the model said stays on record"
    async with running.client.get(path) as answer:
        stored = await answer.json()
    assert stored["needs_review"] is False
    assert stored["feedback"]["category"] == "sales"


async def test_feedback_and_resolution_are_counted(running: Running, inquiry: dict[str, Any]) -> None:
    path, said = f"{INQUIRIES}/{inquiry['inquiry_id']}", inquiry["category"]["label"]
    for sent in ({"category": said}, {"category": "hr"}, {"urgency": "low"}):
        async with running.client.post(f"{path}/feedback", json=sent) as answer:
            assert answer.status == 200
    for status in (200, 409):
        async with running.client.post(f"{path}/resolve") as answer:
            assert answer.status == status
    async with running.client.get("/metrics") as answer:
        found = samples_of(await answer.read())
    labels = (("category", said), ("model_name", "function"))
    assert found["model_accuracy_score", labels] == 0.5
    for correct in ("true", "false"):
        assert found["model_feedback_total", tuple(sorted((*labels, ("correct", correct))))] == 1
    department = (("department", inquiry["routing"]["department"]),)
    assert found["inquiry_processing_efficiency_seconds_count", department] == 1
    assert found["inquiries_resolved_total", (("within_sla", "true"),)] == 1
    assert found["inquiries_resolved_total", (("within_sla", "false"),)] == 0
    assert found["customer_satisfaction_score_count", department] == 1
    assert 1 <= found["customer_satisfaction_score", department] <= 5


async def test_the_newest_feedback_counts(running: Running, inquiry: dict[str, Any]) -> None:
    path = f"{INQUIRIES}/{inquiry['inquiry_id']}/feedback"
    for sent in ({"category": "sales"}, {"sentiment": "neutral", "urgency": "low"}):
        async with running.client.post(path, json=sent) as answer:
            found = (await answer.json())["feedback"]
    assert (found["category"], found["sentiment"], found["urgency"]) == (None, "neutral", "low")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({}, {"": "give at least one of category, sentiment, urgency"}),
        ({"reviewer": "Bo"}, {"": "give at least one of category, sentiment, urgency"}),
        (
            {"category": "tax", "urgency": 5, "revewer": "Bo"},
            {
                "/category": "must be one of billing, hr, legal, product_feedback, sales, technical_support",
                "/urgency": "must be one of critical, high, low, medium",
                "/revewer": "is not a field here; did you mean 'reviewer'?",
            },
        ),
    ],
)
async def test_feedback_that_says_nothing_or_nonsense_is_refused(
    running: Running, inquiry: dict[str, Any], sent: dict[str, Any], told: dict[str, str]
) -> None:
    async with running.client.post(f"{INQUIRIES}/{inquiry['inquiry_id']}/feedback", json=sent) as answer:
        assert messages(await problem_of(answer, 422)) == told


async def test_an_inquiry_is_resolved_once(running: Running, inquiry: dict[str, Any]) -> None:
    path = f"{INQUIRIES}/{inquiry['inquiry_id']}"
    async with running.client.post(f"{path}/resolve", json={"resolved_at": "2026-11-23T10:00:00+01:00"}) as answer:
        assert answer.status == 200
        found = await answer.json()
    assert found == inquiry | {"status": "resolved", "resolved_at": "2026-11-23T09:00:00Z"}
    async with running.client.post(f"{path}/resolve") as answer:
        document = await problem_of(answer, 409)
    assert document["type"] == "/problems/already-resolved"
    async with running.client.get(path) as answer:
        assert await answer.json() == found


async def _no_chunks() -> AsyncIterator[bytes]:
    nothing: list[bytes] = []
    for chunk in nothing:
        yield chunk


@pytest.mark.parametrize("how", ["no body", "empty", "chunked and empty", "empty object", "null moment"])
async def test_without_a_moment_an_inquiry_is_resolved_now(running: Running, inquiry: dict[str, Any], how: str) -> None:
    ways: dict[str, dict[str, Any]] = {
        "no body": {},
        "empty": {"data": b"", "headers": {"Content-Type": "application/json"}},
        "chunked and empty": {"data": _no_chunks()},
        "empty object": {"json": {}},
        "null moment": {"json": {"resolved_at": None}},
    }
    async with running.client.post(f"{INQUIRIES}/{inquiry['inquiry_id']}/resolve", **ways[how]) as answer:
        assert answer.status == 200, await answer.text()
        found = await answer.json()
    assert found["resolved_at"] > inquiry["processed_at"]


async def test_a_moment_that_is_none_resolves_nothing(running: Running, inquiry: dict[str, Any]) -> None:
    path = f"{INQUIRIES}/{inquiry['inquiry_id']}"
    for moment in ("now", "2026-11-23T09:00:00", 5, "9999-12-31T23:59:59Z"):
        async with running.client.post(f"{path}/resolve", json={"resolved_at": moment}) as answer:
            assert list(messages(await problem_of(answer, 422))) == ["/resolved_at"]
    async with running.client.get(path) as answer:
        assert (await answer.json())["status"] == "routed"
