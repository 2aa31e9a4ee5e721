"""Reviewers over HTTP: the queue in order, claims that keep others away, skipping, and decisions that count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from inquiry_svc.testing.exporters import samples_of
from inquiry_svc.testing.problems import messages, problem_of
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import Running, running_service

REVIEWS: Final = "/api/v1/reviews"
URGENCIES: Final = ("low", "critical", "medium")
"""Of the inquiries that wait, as they come in."""


@pytest.fixture(params=["memory", "sqlite"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """Everything needs review: the classifier is 0.9 sure, and chance picks all of it."""
    settings = {
        "store.provider": request.param,
        "classifier.provider": "keyword",
        "review.below_confidence": 0.99,
        "review.audit_share": 1.0,
        "review.lease_s": 60,
    }
    async with running_service(settings) as running:
        yield running


@pytest.fixture
async def waiting(running: Running) -> list[dict[str, Any]]:
    """Three inquiries, the most pressing first; they came in otherwise."""
    words = {"low": "no hurry, whenever you have time", "critical": "fire! smoke! emergency! evacuated", "medium": "hm"}
    found = []
    for urgency in URGENCIES:
        sent = {"body": f"The invoice: {words[urgency]}", "sender_email": "ana@example.org"}
        async with running.client.post("/api/v1/inquiries/submit", json=sent) as answer:
            found.append(await answer.json())
        assert found[-1]["urgency"]["label"] == urgency
        assert found[-1]["review_reasons"] == ["low_confidence", "audit"]
    return sorted(found, key=lambda inquiry: str(inquiry["routing"]["sla_due_at"]))


async def post(running: Running, path: str, status: int = 200, **sent: Any) -> dict[str, Any]:
    async with running.client.post(f"{REVIEWS}{path}", json=sent) as answer:
        if status != 200:
            return await problem_of(answer, status)
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def listed(running: Running, **query: str) -> dict[str, Any]:
    async with running.client.get(REVIEWS, params=query) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


def ids(page: dict[str, Any]) -> list[str]:
    return [item["inquiry"]["inquiry_id"] for item in page["items"]]


async def test_the_most_pressing_comes_first_a_page_at_a_time(running: Running, waiting: list[dict[str, Any]]) -> None:
    expected = [inquiry["inquiry_id"] for inquiry in waiting]
    assert waiting[0]["urgency"]["label"] == "critical"
    whole = await listed(running)
    assert (ids(whole), whole["next_cursor"]) == (expected, None)
    assert whole["items"][0] == {
        "inquiry": waiting[0],
        "turn_at": waiting[0]["routing"]["sla_due_at"],
        "claimed_by": None,
        "claimed_until": None,
    }
    first = await listed(running, limit="2")
    rest = await listed(running, limit="2", cursor=first["next_cursor"])
    assert (ids(first), ids(rest), rest["next_cursor"]) == (expected[:2], expected[2:], None)
    async with running.client.get(REVIEWS, params={"cursor": "nowhere"}) as answer:
        assert messages(await problem_of(answer, 422)) == {"cursor": "is not a next_cursor of this list"}


async def test_what_is_claimed_is_shown_and_kept_from_others(running: Running, waiting: list[dict[str, Any]]) -> None:
    first, second, third = (inquiry["inquiry_id"] for inquiry in waiting)
    claimed = await post(running, "/claim", reviewer=" Ana ")
    assert ids(claimed) == ids(await post(running, "/claim", reviewer="Ana")) == [first]
    shown = (await listed(running))["items"][0]
    assert shown["claimed_by"] == "Ana"
    left = datetime.fromisoformat(shown["claimed_until"]) - datetime.now().astimezone()
    assert timedelta(seconds=0) < left <= timedelta(seconds=60)
    assert ids(await post(running, "/claim", reviewer="Ben", limit=5)) == [second, third]
    assert ids(await post(running, "/claim", reviewer="Cleo")) == []
    for action in ("claim", "release", "skip", "decide"):
        refused = await post(running, f"/{first}/{action}", 409, reviewer="Ben")
        assert refused["type"] == "/problems/review-not-yours"
    assert (await listed(running))["items"][0]["claimed_by"] == "Ana"


async def test_a_certain_one_is_claimed_released_and_skipped(running: Running, waiting: list[dict[str, Any]]) -> None:
    first, second, third = (inquiry["inquiry_id"] for inquiry in waiting)
    claimed = await post(running, f"/{second.upper()}/claim", reviewer="Ana")
    assert (claimed["inquiry"]["inquiry_id"], claimed["claimed_by"]) == (second, "Ana")
    released = await post(running, f"/{second}/release", reviewer="Ana")
    assert released == claimed | {"claimed_by": None, "claimed_until": None}
    skipped = await post(running, f"/{first}/skip", reviewer="Ana")
    last_due = datetime.fromisoformat(waiting[2]["routing"]["sla_due_at"])
    assert datetime.fromisoformat(skipped["turn_at"]) == last_due + timedelta(microseconds=1)
    assert ids(await listed(running)) == [second, third, first]
    async with running.client.get("/api/v1/inquiries", params={"needs_review": "true"}) as answer:
        assert len((await answer.json())["items"]) == 3, "nothing of this is a decision"


async def test_a_decision_is_feedback_on_every_axis_and_ends_the_review(
    running: Running, waiting: list[dict[str, Any]]
) -> None:
    inquiry, other = waiting[0], waiting[1]["inquiry_id"]
    inquiry_id = inquiry["inquiry_id"]
    await post(running, "/claim", reviewer="Ana")
    decided = await post(running, f"/{inquiry_id}/decide", reviewer="Ana", category="legal")
    assert decided["feedback"].pop("given_at").endswith("Z")
    assert decided["feedback"] == {
        "category": "legal",
        "sentiment": inquiry["sentiment"]["label"],
        "urgency": inquiry["urgency"]["label"],
        "reviewer": "Ana",
    }
    assert decided["needs_review"] is False
    assert decided["review_reasons"] == inquiry["review_reasons"], "why it was looked at stays on record"
    assert decided["category"] == inquiry["category"]
    assert inquiry_id not in ids(await listed(running))
    assert (await post(running, f"/{inquiry_id}/decide", 409, reviewer="Ana"))["type"] == "/problems/review-not-yours"
    confirmed = await post(running, f"/{other}/decide", reviewer="Ana")
    assert confirmed["feedback"]["category"] == waiting[1]["category"]["label"]
    async with running.client.get("/metrics") as answer:
        found = samples_of(await answer.read())
    for reason in ("audit", "low_confidence"):
        for correct in ("true", "false"):
            assert found["review_decisions_total", (("correct", correct), ("reason", reason))] == 1
    assert found["review_actions_total", (("action", "decided"),)] == 2
    assert found["review_actions_total", (("action", "claimed"),)] == 1
    said = inquiry["category"]["label"]
    labels = (("category", said), ("correct", "false"), ("model_name", "keyword"))
    assert found["model_feedback_total", labels] == 1


async def test_feedback_from_elsewhere_ends_the_review_of_whoever_holds_it(
    running: Running, waiting: list[dict[str, Any]]
) -> None:
    inquiry_id = waiting[0]["inquiry_id"]
    await post(running, "/claim", reviewer="Ana")
    async with running.client.post(f"/api/v1/inquiries/{inquiry_id}/feedback", json={"category": "hr"}) as answer:
        assert answer.status == 200
    assert inquiry_id not in ids(await post(running, "/claim", reviewer="Ana", limit=5))
    await post(running, f"/{inquiry_id}/decide", 409, reviewer="Ana")


async def test_a_claim_that_ran_out_is_shown_as_none_and_is_anybodys() -> None:
    settings = {"review.below_confidence": 0.99, "review.lease_s": 1e-6}
    async with running_service(settings, plugins=[Offering(classifier=FunctionClassifier())]) as running:
        sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
        async with running.client.post("/api/v1/inquiries/submit", json=sent) as answer:
            inquiry_id = (await answer.json())["inquiry_id"]
        assert ids(await post(running, "/claim", reviewer="Ana")) == [inquiry_id]
        assert (await listed(running))["items"][0]["claimed_by"] is None
        assert ids(await post(running, "/claim", reviewer="Ben")) == [inquiry_id]
        await post(running, f"/{inquiry_id}/decide", reviewer="Cleo")


async def test_an_inquiry_that_is_not_there_or_does_not_wait_is_told_apart(running: Running) -> None:
    unknown = "019a21482-0000-72cd-b233-a80edd837d83"[1:]
    for action in ("claim", "release", "skip", "decide"):
        for inquiry_id in (unknown, "no-uuid"):
            refused = await post(running, f"/{inquiry_id}/{action}", 404, reviewer="Ana")
            assert refused["type"] == "/problems/inquiry-not-found"


@pytest.mark.parametrize(
    ("path", "sent", "told"),
    [
        ("/claim", {}, {"/reviewer": "is required"}),
        ("/claim", {"reviewer": " "}, {"/reviewer": "must be at least 1 character"}),
        ("/claim", {"reviewer": "A", "limit": 51}, {"/limit": "must be a whole number from 1 to 50"}),
        ("/x/skip", {"reviewer": "A", "behind": True}, {"/behind": "is not a field here; known: reviewer"}),
        ("/x/decide", {"reviewer": "A", "urgency": "asap"}, {"/urgency": "must be one of critical, high, low, medium"}),
    ],
)
async def test_what_makes_no_sense_is_refused(
    running: Running, path: str, sent: dict[str, Any], told: dict[str, str]
) -> None:
    assert messages(await post(running, path, 422, **sent)) == told


async def test_the_queue_is_told_by_reason(running: Running, waiting: list[dict[str, Any]]) -> None:
    queue = await running.service.store.review_queue()
    assert queue.size == 3
    assert {reason: waiting.size for reason, waiting in queue.by_reason.items()} == {"low_confidence": 3, "audit": 3}
