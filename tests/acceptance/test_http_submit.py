"""`submit` and `classify` take what the interface says, and answer with it, field for field."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from inquiry_svc.catalogue import INQUIRIES_IN_FLIGHT
from inquiry_svc.inquiries import AXES
from inquiry_svc.testing.problems import assert_marked, messages, problem_of
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.testing.samples import sample_verdict
from tests.side_by_side import MORE_S

SUBMIT: Final = "/api/v1/inquiries/submit"
CLASSIFY: Final = "/api/v1/inquiries/classify"
FULL: Final[dict[str, Any]] = {
    "subject": "Charged twice",
    "body": "My card was charged twice for March.",
    "sender_email": "ana@example.org",
    "sender_name": "Ana",
    "source": "web",
    "received_at": "2026-11-23T10:00:00+01:00",
    "metadata": {"order": "A-17", "n": [1, 1.5, None, True]},
}
SMALL: Final = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
JSON: Final = {"Content-Type": "application/json"}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Running]:
    """One for all tests here: none of them changes what another sees."""
    async with running_service() as running:
        yield running


async def test_an_inquiry_is_answered_with_every_field_of_the_interface(running: Running) -> None:
    async with running.client.post(SUBMIT, json=FULL) as answer:
        assert answer.status == 201
        assert answer.headers["Content-Type"] == "application/json"
        assert_marked(answer)
        assert "Idempotency-Replayed" not in answer.headers
        location = answer.headers["Location"]
        found = await answer.json()
    assert list(found) == [
        *("inquiry_id", "status", "received_at", "processed_at", "subject", "body", "sender_email", "sender_name"),
        *(
            "source",
            "metadata",
            "category",
            "sentiment",
            "urgency",
            "needs_review",
            "review_reasons",
            "degraded",
            "routing",
            "model",
        ),
        *("feedback", "resolved_at"),
    ]
    assert uuid.UUID(found["inquiry_id"]).version == 7
    assert location == f"/api/v1/inquiries/{found['inquiry_id']}"
    for field in ("subject", "body", "sender_email", "sender_name", "source", "metadata"):
        assert found[field] == FULL[field]
    assert found["received_at"] == "2026-11-23T09:00:00Z"
    assert _is_recent(found["processed_at"])
    for axis, labels in AXES.items():
        assert found[axis].keys() == {"label", "confidence"}
        assert found[axis]["label"] in labels
        assert 0 <= found[axis]["confidence"] <= 1
    assert found["routing"].keys() == {
        *("department", "consultant", "priority_score", "escalated", "reasons", "sla_due_at"),
    }
    assert found["routing"]["reasons"]
    assert found["routing"]["sla_due_at"].endswith("Z")
    assert found["model"].keys() == {"name", "version", "digest"}
    assert (found["status"], found["degraded"]) == ("routed", [])
    assert found["feedback"] is found["resolved_at"] is None
    async with running.client.get(location) as answer:
        assert await answer.json() == found


async def test_what_may_be_left_out_has_its_default(running: Running) -> None:
    async with running.client.post(SUBMIT, json=SMALL) as answer:
        found = await answer.json()
    assert (found["subject"], found["sender_name"], found["source"], found["metadata"]) == ("", None, "api", {})
    assert _is_recent(found["received_at"])


def _is_recent(text: str) -> bool:
    return text.endswith("Z") and abs(datetime.now(UTC) - datetime.fromisoformat(text)) < timedelta(seconds=30)


async def test_a_text_is_classified_without_being_stored(running: Running) -> None:
    before = await _stored(running)
    async with running.client.post(CLASSIFY, json={"body": "My card was charged twice."}) as answer:
        assert answer.status == 200
        found = await answer.json()
    assert list(found) == ["category", "sentiment", "urgency", "needs_review", "review_reasons", "degraded", "model"]
    async with running.client.post(f"{CLASSIFY}?include_all_scores=true", json={"body": "Charged twice"}) as answer:
        scores = (await answer.json())["scores"]
    assert scores.keys() == AXES.keys()
    for axis, labels in AXES.items():
        assert scores[axis].keys() == set(labels)
        assert sum(scores[axis].values()) == pytest.approx(1)
    assert await _stored(running) == before


async def _stored(running: Running) -> int:
    async with running.client.get("/api/v1/stats?days=3650") as answer:
        return int((await answer.json())["total_inquiries"])


async def test_classify_takes_no_sender(running: Running) -> None:
    async with running.client.post(CLASSIFY, json=SMALL) as answer:
        document = await problem_of(answer, 422)
    assert messages(document) == {"/sender_email": "is not a field here; known: body, subject"}


async def test_a_refusal_names_every_field_and_repeats_no_value(running: Running) -> None:
    sent = {"bodi": "secret words", "sender_email": "nobody", "source": "fax"}
    async with running.client.post(SUBMIT, json=sent) as answer:
        document = await problem_of(answer, 422)
    assert document["type"] == "/problems/unprocessable-content"
    assert messages(document) == {
        "/body": "is required",
        "/sender_email": "is not a valid e-mail address",
        "/source": "must be one of api, bulk, chat, email, other, web",
        "/bodi": "is not a field here; did you mean 'body'?",
    }
    assert "secret" not in json.dumps(document)


@pytest.mark.parametrize("path", [SUBMIT, CLASSIFY])
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/x-ndjson",
        "",
    ],
)
async def test_another_content_type_is_415(running: Running, path: str, content_type: str) -> None:
    async with running.client.post(path, data=b"{}", headers={"Content-Type": content_type}) as answer:
        document = await problem_of(answer, 415)
    assert "send application/json in UTF-8" in document["detail"]


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8"])
async def test_json_in_utf_8_may_be_said_in_more_than_one_way(running: Running, content_type: str) -> None:
    sent = json.dumps(SMALL | {"body": "Zürich, naïve, \U0001f600"}, ensure_ascii=False).encode()
    async with running.client.post(SUBMIT, data=sent, headers={"Content-Type": content_type}) as answer:
        assert answer.status == 201
        assert (await answer.json())["body"] == "Zürich, naïve, \U0001f600"


@pytest.mark.parametrize("moment", ["2016-12-31T23:59:60Z", "2017-01-01T00:59:60+01:00", "2026-11-26T12:00:60.5Z"])
async def test_a_leap_second_is_refused_by_name_as_no_clock_here_has_one(running: Running, moment: str) -> None:
    async with running.client.post(SUBMIT, json=SMALL | {"received_at": moment}) as answer:
        document = await problem_of(answer, 422)
    assert [each["field"] for each in document["errors"]] == ["/received_at"]


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"body=x"])
async def test_what_is_not_json_is_400(running: Running, raw: bytes) -> None:
    async with running.client.post(SUBMIT, data=raw, headers=JSON) as answer:
        document = await problem_of(answer, 400)
    assert document["detail"].startswith("the body is not JSON")


async def test_a_request_may_have_64_kib_and_not_a_byte_more(running: Running) -> None:
    raw = json.dumps(SMALL).encode()
    for encoding in (None, "gzip"):
        headers = JSON | ({"Content-Encoding": encoding} if encoding else {})
        for size, status in ((65_536, 201), (65_537, 413)):
            sent = raw + b" " * (size - len(raw))
            sent = gzip.compress(sent) if encoding else sent
            async with running.client.post(SUBMIT, data=sent, headers=headers) as answer:
                if status == 413:
                    assert (await problem_of(answer, 413))["type"] == "/problems/content-too-large"
                assert answer.status == status


async def test_ten_megabytes_are_413_and_the_connection_goes_on(running: Running) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65_536

    for sent in (io.BytesIO(b"x" * 10_000_000), chunks()):
        async with running.client.post(SUBMIT, data=sent, headers=JSON) as answer:
            await problem_of(answer, 413)
    async with running.client.post(SUBMIT, json=SMALL) as answer:
        assert answer.status == 201


async def test_a_bomb_is_defused(running: Running) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 65_536
    async with asyncio.timeout(30):
        async with running.client.post(SUBMIT, data=bomb, headers=JSON | {"Content-Encoding": "gzip"}) as answer:
            await problem_of(answer, 413)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_body_that_is_not_of_its_coding_is_400(running: Running, coding: str) -> None:
    async with running.client.post(SUBMIT, data=b"{}" * 99, headers=JSON | {"Content-Encoding": coding}) as answer:
        await problem_of(answer, 400)
    async with running.client.post(SUBMIT, json=SMALL) as answer:
        assert answer.status == 201


@pytest.mark.parametrize("coding", ["br", "BR", "zstd", "compress", "gzip, br"])
@pytest.mark.parametrize("path", [SUBMIT, CLASSIFY, "/api/v1/inquiries/bulk"])
async def test_another_coding_is_415_whatever_is_installed_here(
    running: Running, monkeypatch: pytest.MonkeyPatch, path: str, coding: str
) -> None:
    content_type = "application/x-ndjson" if path.endswith("bulk") else "application/json"
    headers = {"Content-Type": content_type, "Content-Encoding": coding}
    for _ in ("with what the tests bring along", "without"):
        async with running.client.post(path, data=b"{}" * 99, headers=headers) as answer:
            document = await problem_of(answer, 415)
            assert answer.headers["Accept-Encoding"] == "gzip, deflate"
        assert "send gzip, deflate or none" in document["detail"]
        monkeypatch.setattr("aiohttp.http_parser.HAS_BROTLI", False)
    async with running.client.post(SUBMIT, json=SMALL) as answer:
        assert answer.status == 201


async def test_overload_is_503_at_once_and_says_when_to_try_again() -> None:
    gate = asyncio.Event()

    async def classify(texts: Any) -> Any:
        await gate.wait()
        return [sample_verdict() for _ in texts]

    offering = Offering(classifier=FunctionClassifier(classify))
    settings = {"classifier.provider": "given", "batching.places": 3, "classifier.timeout_s": 30.0}
    async with running_service(settings | {"batching.deadline_s": 30.0}, plugins=[offering]) as running:
        waiting = [asyncio.create_task(_status(running.client)) for _ in range(3)]
        async with asyncio.timeout(30):
            while running.service.metrics.series(INQUIRIES_IN_FLIGHT).value < 3:
                async with running.client.get("/api/v1/health/live"):
                    pass
        for path, body in ((SUBMIT, SMALL), (CLASSIFY, {"body": "x"})):
            async with asyncio.timeout(1 + MORE_S), running.client.post(path, json=body) as answer:
                document = await problem_of(answer, 503)
                assert int(answer.headers["Retry-After"]) >= 1
            assert document["type"] == "/problems/overloaded"
        gate.set()
        assert await asyncio.gather(*waiting) == [201] * 3


async def _status(client: aiohttp.ClientSession) -> int:
    async with client.post(SUBMIT, json=SMALL) as answer:
        return answer.status
