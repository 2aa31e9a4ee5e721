"""A bulk upload answers a line for a line, in order, and neither side can flood the other."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from inquiry_svc.catalogue import HTTP_REQUESTS, INQUIRIES_PROCESSED
from inquiry_svc.inquiries import Text, Verdict
from inquiry_svc.testing.problems import assert_marked, assert_problem, messages, problem_of
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.testing.samples import sample_verdict

BULK: Final = "/api/v1/inquiries/bulk"
LINES: Final = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with running_service(
        {"classifier.provider": "given"}, plugins=[Offering(classifier=FunctionClassifier())]
    ) as it:
        yield it


def _line(body: str, **more: Any) -> bytes:
    return json.dumps({"body": body, "sender_email": "ana@example.org", **more}).encode()


async def _upload(running: Running, raw: bytes, **headers: str) -> list[dict[str, Any]]:
    async with running.client.post(BULK, data=io.BytesIO(raw), headers=LINES | headers) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        assert_marked(answer)
        text = await answer.read()
    assert text.endswith(b"\n") or not text
    return [json.loads(line) for line in text.splitlines()]


async def test_there_is_a_line_for_each_line_in_order(running: Running) -> None:
    raw = b"\n".join(
        [
            _line("first", subject="s", source="bulk"),
            b"",
            b"not json",
            b'{"body": NaN, "sender_email": "ana@example.org"}',
            _line("x" * 70_000),
            _line("windows") + b"\r",
            b"[]",
            _line("wrong", colour="red"),
            b"\xff",
            _line("last"),
        ]
    )
    found = await _upload(running, raw)
    assert [each.get("body", each["status"]) for each in found] == [
        *("first", 400, 400, 422, 413, "windows", 422, 422, 400, "last")
    ]
    assert found[0]["source"] == "bulk"
    for number, each in enumerate(found, 1):
        if "body" not in each:
            assert_problem(each, each["status"])
            assert each["line"] == number
    assert messages(found[3]) == {"/body": "is NaN, which is not JSON"}
    assert list(messages(found[7])) == ["/colour"]


@pytest.mark.parametrize(
    ("raw", "lines"),
    [(b"", 0), (b"\n", 1), (b"\n\n", 2), (b" ", 1), (b" \n", 1), (_line("x"), 1), (_line("x") + b"\n", 1), (b"\nx", 2)],
)
async def test_what_ends_without_a_line_end_is_a_line_too(running: Running, raw: bytes, lines: int) -> None:
    assert len(await _upload(running, raw)) == lines


async def test_a_line_may_have_64_kib_and_not_a_byte_more(running: Running) -> None:
    raw = _line("x")
    fits, too_long = raw + b" " * (65_536 - len(raw)), raw + b" " * (65_537 - len(raw))
    found = await _upload(running, b"\n".join([fits, too_long, fits, too_long]))
    assert [each["status"] for each in found] == ["routed", 413, "routed", 413]


async def test_a_line_without_an_end_is_one_refusal_and_not_kept(running: Running) -> None:
    found = await _upload(running, b"x" * 3_000_000 + b"\n" + _line("after"))
    assert [each["status"] for each in found] == [413, "routed"]


async def test_twenty_thousand_lines_come_back_in_order(running: Running) -> None:
    count = 20_000
    found = await _upload(running, b"\n".join(_line(f"number {number}") for number in range(count)))
    assert [each["body"] for each in found] == [f"number {number}" for number in range(count)]
    assert len({each["inquiry_id"] for each in found}) == count


async def test_where_lines_are_cut_on_the_way_does_not_matter(running: Running) -> None:
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    raw = b"\n".join(_line(f"number {number} é\U0001f600") for number in range(60))

    async def cut() -> AsyncIterator[bytes]:
        start = 0
        while start < len(raw):
            end = start + rng.choice([1, 2, 50, 500])
            yield raw[start:end]
            start = end

    async with running.client.post(BULK, data=cut(), headers=LINES) as answer:
        bodies = [json.loads(line)["body"] async for line in answer.content]
    assert bodies == [f"number {number} é\U0001f600" for number in range(60)], f"seed {seed}"


async def test_an_answer_comes_before_the_next_line_is_sent(running: Running) -> None:
    answered: asyncio.Queue[str] = asyncio.Queue()

    async def conversation() -> AsyncIterator[bytes]:
        for number in range(5):
            yield _line(f"number {number}") + b"\n"
            assert await answered.get() == f"number {number}"

    async with asyncio.timeout(10), running.client.post(BULK, data=conversation(), headers=LINES) as answer:
        async for line in answer.content:
            answered.put_nowait(json.loads(line)["body"])


async def test_a_compressed_upload_is_read(running: Running) -> None:
    raw = gzip.compress(b"\n".join(_line(f"number {number}") for number in range(100)))
    found = await _upload(running, raw, **{"Content-Encoding": "gzip"})
    assert [each["body"] for each in found] == [f"number {number}" for number in range(100)]


async def test_a_broken_upload_is_answered_as_far_as_it_went(running: Running) -> None:
    raw = gzip.compress(b"\n".join(_line("x" * 500 + str(number)) for number in range(2_000)))
    broken = raw[: len(raw) // 2] + b"\xff" * 200 + raw[len(raw) // 2 :]
    found = await _upload(running, broken, **{"Content-Encoding": "gzip"})
    assert found[0]["status"] == "routed"
    assert found[-1]["status"] == 400
    assert "Content-Encoding" in found[-1]["detail"]


async def test_a_client_that_does_not_read_is_not_read_from_either(running: Running) -> None:
    count, body = 3_000, "x" * 8_000
    processed = running.service.metrics.series(INQUIRIES_PROCESSED, status="success")
    reader, writer = await _slow_connection(running)
    sending = asyncio.create_task(_send(writer, [_line(body)] * count))
    await _settled(lambda: processed.value)
    assert 0 < processed.value < count, "the client should have been held up"
    assert not sending.done()
    assert len(asyncio.all_tasks()) < 200, "only a window of lines is being worked on"
    answer = await reader.read()
    await sending
    writer.close()
    assert answer.count(b'"status":"routed"') == count
    assert processed.value == count


async def test_a_client_that_goes_away_leaves_nothing_behind(running: Running) -> None:
    before = len(asyncio.all_tasks())
    _, writer = await _slow_connection(running)
    sending = asyncio.create_task(_send(writer, [_line("x" * 8_000)] * 3_000))
    processed = running.service.metrics.series(INQUIRIES_PROCESSED, status="success")
    await _settled(lambda: processed.value)
    writer.transport.abort()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await _settled(lambda: len(asyncio.all_tasks()))
    assert len(asyncio.all_tasks()) <= before
    assert [each["status"] for each in await _upload(running, _line("after"))] == ["routed"]


@pytest.mark.parametrize("reads", [True, False], ids=["reading", "not reading"])
async def test_a_client_that_goes_away_in_the_middle_of_its_upload_is_no_failure_of_ours(
    running: Running, caplog: pytest.LogCaptureFixture, reads: bool
) -> None:
    answered = running.service.metrics.series(INQUIRIES_PROCESSED, status="success")
    reader, writer = await _slow_connection(running)
    writer.write(_head(1_000_000))
    if reads:
        writer.write(_line("first") + b"\n")
        while b'"body":"first"' not in await reader.readline():
            pass
    else:
        sending = asyncio.create_task(_written(writer, [_line("x" * 8_000)] * 100))
        await _settled(lambda: answered.value)
        sending.cancel()
    writer.transport.abort()
    async with asyncio.timeout(10):
        while not (found := _statuses(running)):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)
    assert found == {"499": 1}
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def _statuses(running: Running) -> dict[str, float]:
    """How often bulk uploads were answered so."""
    families = {family.metric: family.values for family in running.service.metrics.snapshot()}
    counts = {labels[2]: value for labels, value in families[HTTP_REQUESTS].items() if labels[1] == BULK}
    return {status: count for status, count in counts.items() if isinstance(count, float | int) and count}


async def _slow_connection(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(running.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
    return await asyncio.open_connection(sock=connection, limit=4096)


async def _send(writer: asyncio.StreamWriter, lines: Sequence[bytes]) -> None:
    writer.write(_head(sum(map(len, lines)) + len(lines)))
    await _written(writer, lines)


def _head(length: int) -> bytes:
    head = f"POST {BULK} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n"
    return f"{head}Content-Type: application/x-ndjson\r\n\r\n".encode()


async def _written(writer: asyncio.StreamWriter, lines: Sequence[bytes]) -> None:
    for line in lines:
        writer.write(line + b"\n")
        await writer.drain()


async def _settled(measure: Any) -> None:
    """Wait until what is measured has moved and then stood still for a while."""
    async with asyncio.timeout(30):
        last, still = -1.0, 0
        while still < 10:
            await asyncio.sleep(0.03)
            now = measure()
            still = still + 1 if now == last and now else 0
            last = now


async def test_one_line_that_fails_is_a_problem_and_the_others_are_served() -> None:
    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        if any("poison" in text.body for text in texts):
            raise RuntimeError("secret")
        return [sample_verdict() for _ in texts]

    poisoned = FunctionClassifier(classify)
    settings = {"classifier.provider": "given", "classifier.fallback": "given"}
    async with running_service(settings, plugins=[Offering(classifier=poisoned)]) as running:
        bodies = ["poison" if number % 32 == 5 else f"number {number}" for number in range(200)]
        found = await _upload(running, b"\n".join(map(_line, bodies)))
    for number, (body, each) in enumerate(zip(bodies, found, strict=True), 1):
        if body == "poison":
            assert_problem(each, 500)
            assert (each["line"], each["type"]) == (number, "/problems/triage-failed")
            assert "secret" not in json.dumps(each)
        else:
            assert each["body"] == body


async def test_a_whole_that_can_be_no_upload_is_refused_as_a_whole(running: Running) -> None:
    async with running.client.post(BULK, data=b"{}", headers={"Content-Type": "application/json"}) as answer:
        await problem_of(answer, 415)
    async with running.client.post(BULK, data=b"{}", headers=LINES | {"Idempotency-Key": ""}) as answer:
        assert list(messages(await problem_of(answer, 422))) == ["Idempotency-Key"]
