"""Parameters that make no sense are refused by name, and an id that nobody has is not found."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from inquiry_svc.testing.problems import messages, problem_of
from inquiry_svc.testing.running import Running, running_service

LIST: Final = "/api/v1/inquiries"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Running]:
    """One for all tests here: none of them changes what another sees."""
    async with running_service() as running:
        yield running


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("limit=0", "limit", "must be a whole number from 1 to 200"),
        ("limit=201", "limit", "must be a whole number from 1 to 200"),
        ("limit=-1", "limit", "must be a whole number from 1 to 200"),
        ("limit=ten", "limit", "must be a whole number from 1 to 200"),
        ("limit=", "limit", "must be a whole number from 1 to 200"),
        ("limit=" + "9" * 5_000, "limit", "must be a whole number from 1 to 200"),
        ("limit=7&limit=7", "limit", "stands there twice"),
        ("category=tax", "category", "must be one of billing, hr, legal, product_feedback, sales, technical_support"),
        ("category=null", "category", "must be one of billing, hr, legal, product_feedback, sales, technical_support"),
        ("escalated=perhaps", "escalated", "must be true or false"),
        ("since=yesterday", "since", "must be a moment with its time zone, such as 2026-11-23T09:00:00Z"),
        ("since=2026-11-23T09:00:00", "since", "must be a moment with its time zone, such as 2026-11-23T09:00:00Z"),
        ("until=0001-01-01T00:00:00Z", "until", "must be within the years 1971 to 8999"),
        ("catgory=billing", "catgory", "is not a parameter here; did you mean 'category'?"),
        ("cursor=nonsense", "cursor", "is not a next_cursor of this list"),
        ("cursor=", "cursor", "is not a next_cursor of this list"),
        ("cursor=%ff%00", "cursor", "is not a next_cursor of this list"),
        ("cursor=MDAwMS0wMS0wMSB4", "cursor", "is not a next_cursor of this list"),
        ("cursor=" + "A" * 201, "cursor", "must be at most 200 characters"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_by_name(
    running: Running, query: str, field: str, message: str
) -> None:
    async with running.client.get(f"{LIST}?{query}") as answer:
        document = await problem_of(answer, 422)
    assert messages(document) == {field: message}


async def test_every_fault_of_a_query_is_told_at_once(running: Running) -> None:
    async with running.client.get(f"{LIST}?limit=0&since=x&urgency=now&more=1") as answer:
        assert list(messages(await problem_of(answer, 422))) == ["limit", "since", "urgency", "more"]
    async with running.client.get("/api/v1/stats?days=0&limit=1") as answer:
        assert list(messages(await problem_of(answer, 422))) == ["days", "limit"]


@pytest.mark.parametrize(
    "inquiry_id",
    [str(uuid.UUID(int=0)), "x", "%00", "%ff", "..%2f..%2fetc", "a" * 2_000, "0" * 32],
)
async def test_an_id_that_nobody_has_is_404(running: Running, inquiry_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/explain"), ("POST", "/feedback"), ("POST", "/resolve")):
        sent = {"category": "hr"} if path == "/feedback" else None
        async with running.client.request(method, f"{LIST}/{inquiry_id}{path}", json=sent) as answer:
            document = await problem_of(answer, 404)
            assert document["type"] == "/problems/inquiry-not-found"
