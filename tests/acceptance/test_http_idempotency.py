"""A submission with an `Idempotency-Key` is stored once, however often and however concurrently it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from inquiry_svc.testing.problems import messages, problem_of
from inquiry_svc.testing.running import Running, running_service

SUBMIT: Final = "/api/v1/inquiries/submit"
SENT: Final[dict[str, Any]] = {
    "subject": "Charged twice",
    "body": "My card was charged twice.",
    "sender_email": "ana@example.org",
    "metadata": {"a": 1, "b": {"c": 2, "d": 3}},
    "received_at": "2026-11-23T09:00:00Z",
}


@pytest.fixture(params=["memory", "sqlite"])
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with running_service({"store.provider": request.param}) as running:
        yield running


async def _submit(running: Running, key: str | None, sent: object) -> tuple[int, str | None, dict[str, Any]]:
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"Idempotency-Key": key})
    raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    async with running.client.post(SUBMIT, data=raw, headers=headers) as answer:
        return answer.status, answer.headers.get("Idempotency-Replayed"), await answer.json()


async def _stored(running: Running) -> int:
    async with running.client.get("/api/v1/stats?days=3650") as answer:
        return int((await answer.json())["total_inquiries"])


async def test_a_repeat_gives_the_stored_answer(running: Running) -> None:
    status, replayed, first = await _submit(running, "k-1", SENT)
    assert (status, replayed) == (201, None)
    assert await _submit(running, "k-1", SENT) == (201, "true", first)
    assert await _stored(running) == 1


async def test_a_repeat_shows_the_inquiry_as_it_stands_now(running: Running) -> None:
    _, _, first = await _submit(running, "k-1", SENT)
    async with running.client.post(f"/api/v1/inquiries/{first['inquiry_id']}/resolve") as answer:
        resolved = await answer.json()
    assert await _submit(running, "k-1", SENT) == (201, "true", resolved)


_SAME: Final[list[object]] = [
    dict(reversed(SENT.items())),
    SENT | {"metadata": {"b": {"d": 3, "c": 2}, "a": 1}},
    SENT | {"body": "  My card was charged twice.\n"},
    SENT | {"source": "api", "sender_name": None},
    SENT | {"received_at": "2026-11-23T10:00:00+01:00"},
    json.dumps(SENT, indent=4).replace("card", "c\\u0061rd").encode(),
]


async def test_the_same_payload_may_be_written_in_another_way(running: Running) -> None:
    for same in _SAME:
        _, _, first = await _submit(running, "k-1", SENT)
        assert await _submit(running, "k-1", same) == (201, "true", first)


_OTHER: Final[list[object]] = [
    SENT | {"body": "Something else"},
    SENT | {"subject": ""},
    SENT | {"sender_email": "bo@example.org"},
    SENT | {"sender_name": "Bo"},
    SENT | {"source": "web"},
    SENT | {"metadata": {"a": 2}},
    SENT | {"received_at": "2026-11-23T09:00:01Z"},
]


async def test_the_key_with_another_payload_is_refused(running: Running) -> None:
    for other in _OTHER:
        await _submit(running, "k-1", SENT)
        status, replayed, document = await _submit(running, "k-1", other)
        assert (status, replayed) == (422, None)
        assert document["type"] == "/problems/idempotency-key-reused"
        assert list(messages(document)) == ["Idempotency-Key"]
        assert await _stored(running) == 1


async def test_without_a_key_each_submission_is_its_own(running: Running) -> None:
    ids = {(await _submit(running, None, SENT))[2]["inquiry_id"] for _ in range(3)}
    assert len(ids) == await _stored(running) == 3


async def test_a_hundred_at_once_with_one_key_store_one(running: Running) -> None:
    answers = await asyncio.gather(*(_submit(running, "k-1", SENT) for _ in range(100)))
    assert {status for status, _, _ in answers} == {201}
    assert len({answer["inquiry_id"] for _, _, answer in answers}) == 1
    assert [replayed for _, replayed, _ in answers].count("true") == 99
    assert await _stored(running) == 1


async def test_of_two_payloads_racing_for_one_key_one_wins(running: Running) -> None:
    payloads = [SENT | {"body": f"Number {number % 2}"} for number in range(40)]
    answers = await asyncio.gather(*(_submit(running, "k-1", payload) for payload in payloads))
    assert sorted(status for status, _, _ in answers) == [201] * 20 + [422] * 20
    assert await _stored(running) == 1


_NO_KEYS: Final[list[str]] = ["", "x" * 256, "sch\u00f6n", "a\tb"]


async def test_what_can_be_no_key_is_refused(running: Running) -> None:
    for key in _NO_KEYS:
        async with running.client.post(SUBMIT, json=SENT, headers={"Idempotency-Key": key}) as answer:
            document = await problem_of(answer, 422)
        assert messages(document) == {"Idempotency-Key": "must be 1 to 255 printable ASCII characters"}


_KEYS: Final[list[str]] = ["x" * 255, '"quoted; key"', "~"]


async def test_any_printable_ascii_can_be_a_key(running: Running) -> None:
    for key in _KEYS:
        _, _, first = await _submit(running, key, SENT)
        assert await _submit(running, key, SENT) == (201, "true", first)


async def test_a_bulk_upload_sent_again_is_a_replay_line_by_line(running: Running) -> None:
    lines = [json.dumps(SENT | {"body": f"Number {number % 7}"}) for number in range(30)]

    async def upload(sent: list[str]) -> list[dict[str, Any]]:
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "upload"}
        async with running.client.post("/api/v1/inquiries/bulk", data="\n".join(sent), headers=headers) as answer:
            return [json.loads(line) async for line in answer.content]

    first = await upload(lines)
    assert await upload(lines) == first
    assert await _stored(running) == 30
    changed = await upload([*lines[:-1], json.dumps(SENT | {"body": "Changed"})])
    assert changed[:-1] == first[:-1]
    assert (changed[-1]["status"], changed[-1]["line"]) == (422, 30)
