"""The short way answers as the plain way does, and gives way to it wherever it is not sure."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from inquiry_svc.catalogue import (
    HTTP_REQUEST_DURATION,
    HTTP_REQUESTS,
    HTTP_REQUESTS_ACTIVE,
    INQUIRIES_IN_FLIGHT,
)
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Text, Verdict
from inquiry_svc.logs import REQUEST_ID
from inquiry_svc.service import Service
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.testing.samples import sample_verdict
from inquiry_svc.web import protocol
from inquiry_svc.web.protocol import HttpProtocol
from tests.api_keys import with_keys, written_keys

SUBMIT: Final = "/api/v1/inquiries/submit"
CLASSIFY: Final = "/api/v1/inquiries/classify"
BODY: Final = {
    "subject": "Charged twice",
    "body": "My card was charged twice. \u00fc",
    "sender_email": "ana@example.org",
}
TEXT: Final = {"body": "My card was charged twice."}
LIVE: Final = b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
PLAINLY: Final = "Accept: text/\u00e4"
"""A header that goes the plain way for a letter, and means nothing."""


@pytest.fixture
def plainly() -> Iterator[list[bytes]]:
    """What reached aiohttp."""
    reached: list[bytes] = []
    received = web.RequestHandler.data_received

    def receive(self: web.RequestHandler, data: bytes) -> None:
        reached.append(data)
        received(self, data)

    with patch.object(web.RequestHandler, "data_received", receive):
        yield reached


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with running_service() as running:
        yield running


class Client:
    """One connection, on which bytes are sent as they are given."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, raw: bytes) -> tuple[int, dict[str, str], Any]:
        self.writer.write(raw)
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n")
            status, *lines = head.split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            assert len(headers) == len(lines), f"a header stands twice in {head}"
            body = await self.reader.readexactly(int(headers["Content-Length"]))
        version, code, _ = status.split(" ", 2)
        assert version == "HTTP/1.1"
        return int(code), headers, json.loads(body)


class Read:
    """How much the service has read, from whomever."""

    def __init__(self) -> None:
        self.times = self.bytes = 0
        self.by: HttpProtocol | None = None
        """The connection on which something came last."""
        self._sent = 0

    async def sent(self, client: Client, raw: bytes) -> None:
        """Send it, and wait until it was read."""
        self._sent += len(raw)
        client.writer.write(raw)
        async with asyncio.timeout(10):
            while self.bytes < self._sent:  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0)


@contextmanager
def reading() -> Iterator[Read]:
    """However long a piece takes."""
    read, received = Read(), HttpProtocol.data_received

    def receive(self: HttpProtocol, data: bytes) -> None:
        read.times, read.bytes, read.by = read.times + 1, read.bytes + len(data), self
        received(self, data)

    with patch.object(HttpProtocol, "data_received", receive), patch.object(protocol, "_REST_WITHIN_S", 30):
        yield read


@asynccontextmanager
async def connected(running: Running) -> AsyncIterator[Client]:
    address = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def request(path: str, body: object, *lines: str) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    fixed = (f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(raw)}")
    return "".join(f"{line}\r\n" for line in (*fixed, *lines, "")).encode() + raw


HEAD_BYTES: Final = request(SUBMIT, BODY).index(b"\r\n\r\n") + 4


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (SUBMIT, BODY),
        (CLASSIFY, TEXT),
        (SUBMIT, {**BODY, "sender_email": "nobody", "metadata": [], "more": 1}),
        (CLASSIFY, {"body": " "}),
        (CLASSIFY, b"{"),
        (CLASSIFY, b""),
        (CLASSIFY, b'{"body": "\\ud800"}'),
    ],
)
@pytest.mark.parametrize(
    "lines", [(), ("X-Request-ID: mine",), ("X-Request-ID: not mine",), ("Connection: keep-alive",)]
)
async def test_both_ways_give_the_same_answer(
    running: Running, plainly: list[bytes], path: str, body: object, lines: tuple[str, ...]
) -> None:
    async with connected(running) as client, connected(running) as plain:
        status, headers, found = await client.ask(request(path, body, *lines))
        assert not plainly
        plain_status, plain_headers, plain_found = await plain.ask(request(path, body, *lines, PLAINLY))
        assert plainly
    own = ("inquiry_id", "received_at", "processed_at", "routing", "request_id")
    same = [{name: value for name, value in each.items() if name not in own} for each in (found, plain_found)]
    assert same[0] == same[1]
    assert found.keys() == plain_found.keys()
    assert status == plain_status
    assert headers.keys() == plain_headers.keys()
    given = ("X-Request-ID", "Location", "Date", "Content-Length")
    assert all(value == plain_headers[name] for name, value in headers.items() if name not in given)
    expected = "X-Request-ID: mine" in lines
    assert [each["X-Request-ID"] == "mine" for each in (headers, plain_headers)] == [expected, expected]
    assert found.get("request_id", headers["X-Request-ID"]) == headers["X-Request-ID"]
    if status == 201:
        assert headers["Location"] == f"/api/v1/inquiries/{found['inquiry_id']}"
        assert await running.service.store.get(found["inquiry_id"]) is not None


async def test_a_key_that_came_before_gives_the_stored_answer(running: Running, plainly: list[bytes]) -> None:
    async with connected(running) as client:
        once = await client.ask(request(SUBMIT, BODY, "Idempotency-Key: a"))
        again = await client.ask(request(SUBMIT, BODY, "Idempotency-Key: a"))
        other = await client.ask(request(SUBMIT, {**BODY, "body": "Other"}, "Idempotency-Key: a"))
    assert (once[0], once[2]) == (again[0], again[2])
    assert "Idempotency-Replayed" not in once[1]
    assert again[1]["Idempotency-Replayed"] == "true"
    assert other[0] == 422
    assert other[1]["Content-Type"] == "application/problem+json"
    assert other[2]["request_id"] == other[1]["X-Request-ID"]
    assert not plainly


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request(CLASSIFY, {"body": "x" * 70_000}), 413),
        (request(SUBMIT, BODY, "Idempotency-Key: " + "x" * 256), 422),
        (request(CLASSIFY, TEXT).replace(b"/json", b"/xml"), 415),
        (request(CLASSIFY, TEXT).replace(b"POST", b"HEAD"), 404),
        (request(CLASSIFY, TEXT).replace(b"POST /", b"POST //"), 404),
        (request(CLASSIFY + "?explain=true", TEXT), 200),
        (request(CLASSIFY, TEXT).replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
    ],
)
async def test_what_is_not_plain_goes_the_plain_way(
    running: Running, plainly: list[bytes], raw: bytes, status: int
) -> None:
    async with connected(running) as client:
        client.writer.write(raw)
        async with asyncio.timeout(10):
            line = (await client.reader.readline()).decode()
    assert line.split(" ")[1] == str(status)
    assert plainly


async def test_a_connection_comes_back_from_the_plain_way(running: Running, plainly: list[bytes]) -> None:
    in_two, other = request(SUBMIT, BODY), request(CLASSIFY + "?explain=true", TEXT)
    async with connected(running) as client:
        for number in range(1, 4):
            assert (await client.ask(LIVE))[2] == {"status": "live"}
            assert (await client.ask(request(CLASSIFY, TEXT)))[0] == 200
            client.writer.write(in_two[:-5])
            async with asyncio.timeout(5):
                while b"".join(plainly).count(in_two[:-5]) < number:  # noqa: ASYNC110 (nothing tells that it was read)
                    await asyncio.sleep(0)
            assert (await client.ask(in_two[-5:]))[0] == 201
            assert (await client.ask(other))[0] == 200
            assert (await client.ask(request(SUBMIT, BODY)))[0] == 201
    assert b"".join(plainly) == (LIVE + in_two + other) * 3


def _pieces(raw: bytes, lengths: Sequence[int]) -> list[bytes]:
    """Of these lengths, and the rest."""
    ends = list(accumulate(lengths))
    return [raw[start:end] for start, end in pairwise([0, *ends, len(raw)])]


@pytest.mark.parametrize("lengths", [[HEAD_BYTES], [HEAD_BYTES, 5, 5], [HEAD_BYTES + 5], [HEAD_BYTES, *([1] * 20)]])
async def test_a_body_that_comes_after_its_head_is_answered_the_short_way(
    running: Running, plainly: list[bytes], lengths: list[int]
) -> None:
    with reading() as read:
        async with connected(running) as client:
            for _ in range(3):
                for piece in _pieces(request(SUBMIT, BODY), lengths):
                    await read.sent(client, piece)
                status, _, found = await client.answer()
                assert (status, found["subject"]) == (201, BODY["subject"])
    assert read.times == 3 * (len(lengths) + 1)
    assert not plainly


async def test_what_is_sent_after_a_body_in_pieces_is_answered_after_it(running: Running) -> None:
    first, second = (request(SUBMIT, {**BODY, "subject": subject}) for subject in ("first", "second"))
    with reading() as read:
        async with connected(running) as client:
            await read.sent(client, first[:-5])
            await read.sent(client, first[-5:] + second)
            assert [(await client.answer())[2]["subject"] for _ in range(2)] == ["first", "second"]


async def test_a_body_that_does_not_come_has_its_deadline(plainly: list[bytes]) -> None:
    raw = request(SUBMIT, BODY)
    async with running_service({"server.body_timeout_s": 0.1}) as running, connected(running) as client:
        assert (await client.ask(raw[:-5]))[0] == 408
    assert b"".join(plainly) == raw[:-5]


async def test_who_leaves_before_the_body_was_whole_leaves_nothing_behind(running: Running) -> None:
    with reading() as read:
        async with connected(running) as client:
            await read.sent(client, request(SUBMIT, BODY)[:-5])
            assert read.by is not None
            coming = read.by._coming
            assert coming is not None
        async with asyncio.timeout(10):
            while not coming.giving_up.cancelled():  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0)
        assert read.by._coming is None
    assert running.service.metrics.series(HTTP_REQUESTS_ACTIVE).value == 0


async def test_stopping_waits_for_the_rest_of_a_body(plainly: list[bytes]) -> None:
    raw, stopping = request(SUBMIT, BODY), asyncio.Event()
    shutdown = HttpProtocol.shutdown

    async def noted(self: HttpProtocol, timeout: float | None = 15.0) -> None:
        stopping.set()
        await shutdown(self, timeout)

    with reading() as read, patch.object(HttpProtocol, "shutdown", noted):
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(running_service({"store.provider": "memory"}))
            async with connected(running) as client:
                await read.sent(client, raw[:-5])
                stop = asyncio.create_task(stack.aclose())
                async with asyncio.timeout(10):
                    await stopping.wait()
                status, headers, _ = await client.ask(raw[-5:])
                await stop
    assert (status, headers["Connection"]) == (201, "close")
    assert not plainly


async def test_what_is_sent_ahead_is_answered_in_its_order(running: Running) -> None:
    texts = [
        {"subject": str(number), "body": "Charged twice.", "sender_email": "ana@example.org"} for number in range(6)
    ]
    together = b"".join(request(SUBMIT, text) for text in texts[:3])
    async with connected(running) as client:
        client.writer.write(request(SUBMIT, {**BODY, "subject": "first"}))
        await client.writer.drain()
        client.writer.write(together)
        for text in texts[3:]:
            await client.writer.drain()
            client.writer.write(request(SUBMIT, text))
        subjects = [(await client.answer())[2]["subject"] for _ in range(7)]
    assert subjects == ["first", *map(str, range(6))]


async def test_a_request_cannot_hide_in_another(running: Running) -> None:
    hidden = request(CLASSIFY, TEXT)
    async with connected(running) as client:
        raw = request(CLASSIFY, TEXT, "Transfer-Encoding: chunked")
        client.writer.write(raw + b"0\r\n\r\n" + hidden)
        async with asyncio.timeout(10):
            everything = await client.reader.read()
    assert everything.split(b" ")[1] == b"400"
    assert everything.count(b"HTTP/1.") == 1


async def test_the_short_way_is_measured_like_the_plain_way(running: Running, plainly: list[bytes]) -> None:
    def counted() -> tuple[float, int]:
        running.service.metrics.snapshot()
        requests = running.service.metrics.series(HTTP_REQUESTS, method="POST", endpoint=CLASSIFY, status="200")
        durations = running.service.metrics.series(HTTP_REQUEST_DURATION, endpoint=CLASSIFY, status_class="2xx")
        return requests.value, durations.cumulative()[-1]

    async with connected(running) as client:
        for number in range(1, 4):
            await client.ask(request(CLASSIFY, TEXT))
            assert counted() == (number, number)
    assert running.service.metrics.series(HTTP_REQUESTS_ACTIVE).value == 0
    assert not plainly


async def test_a_connection_that_only_takes_the_short_way_is_not_idle() -> None:
    """aiohttp closes what is idle by a private time of its own: this fails where it keeps that elsewhere."""
    async with running_service({"server.keepalive_timeout_s": 0.4}) as running, connected(running) as client:
        until = time.monotonic() + 1.2
        while time.monotonic() < until:
            assert (await client.ask(request(CLASSIFY, TEXT)))[0] == 200
        async with asyncio.timeout(5):
            assert await client.reader.read() == b""  # and when it is idle, it is closed


async def test_a_connection_that_waits_for_its_answer_is_not_idle() -> None:
    async with held_service({"server.keepalive_timeout_s": 0.3}) as (running, holding), connected(running) as client:
        client.writer.write(request(CLASSIFY, TEXT))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.reader.read(1)
        holding.goes_on.set()
        async with asyncio.timeout(5):
            assert (await client.reader.readline()).startswith(b"HTTP/1.1 200")


class Between:
    """A plugin with a middleware, which must see every request."""

    @hookimpl
    def register_middlewares(self, service: Service) -> Iterable[Any]:
        @web.middleware
        async def see(request: web.Request, handler: Any) -> web.StreamResponse:
            response: web.StreamResponse = await handler(request)
            response.headers["X-Seen"] = "yes"
            return response

        return [see]


async def test_where_a_plugin_stands_between_all_goes_the_plain_way(plainly: list[bytes]) -> None:
    async with running_service(plugins=[Between()]) as running, connected(running) as client:
        assert (await client.ask(request(CLASSIFY, TEXT)))[1]["X-Seen"] == "yes"
    assert plainly


async def test_where_origins_are_allowed_all_goes_the_plain_way(plainly: list[bytes]) -> None:
    settings = {"server.allowed_origins": ["https://desk.example.org"]}
    async with running_service(settings) as running, connected(running) as client:
        assert (await client.ask(request(CLASSIFY, TEXT)))[1]["Vary"] == "Origin"
    assert plainly


async def test_keys_and_limits_are_held_to_on_both_ways_together(tmp_path: Path, plainly: list[bytes]) -> None:
    keys = written_keys(tmp_path / "keys")
    settings = with_keys(tmp_path / "keys", limits__requests=3, limits__window_s=3600)
    mine = f"Authorization: Bearer {keys['submit']}"
    async with running_service(settings) as running, connected(running) as client:
        ok = await client.ask(request(CLASSIFY, TEXT, mine))
        assert (ok[0], ok[1]["RateLimit"].split(";")[1], ok[1]["RateLimit-Policy"]) == (
            200,
            "r=2",
            '"default";q=3;w=3600',
        )
        for lines, status, error in (
            ((), 401, 'Bearer realm="inquiry-svc"'),
            (("X-API-Key: nonsense",), 401, 'error="invalid_token"'),
            ((f"X-API-Key: {keys['read']}",), 403, 'error="insufficient_scope"'),
        ):
            refused = await client.ask(request(CLASSIFY, TEXT, *lines))
            assert (refused[0], error in refused[1]["WWW-Authenticate"]) == (status, True)
        assert not plainly
        assert (await client.ask(request(CLASSIFY, TEXT, mine, PLAINLY)))[1]["RateLimit"].split(";")[1] == "r=1"
    assert plainly
    plainly.clear()
    async with running_service(settings) as running, connected(running) as client:
        statuses = [(await client.ask(request(CLASSIFY, {"body": ""}, mine)))[0] for _ in range(4)]
        too_many = await client.ask(request(CLASSIFY, TEXT, mine))
    assert statuses == [422, 422, 422, 429]
    assert too_many[0] == 429
    assert 0 < int(too_many[1]["Retry-After"]) <= 3600
    assert too_many[1]["RateLimit"].split(";")[1] == "r=0"
    assert not plainly


async def test_who_reads_nothing_is_answered_the_plain_way_which_waits(running: Running, plainly: list[bytes]) -> None:
    def answered() -> float:
        running.service.metrics.snapshot()
        return running.service.metrics.series(HTTP_REQUESTS, method="POST", endpoint=SUBMIT, status="201").value

    asked = request(SUBMIT, {**BODY, "body": "x" * 10_000})
    async with connected(running) as client:
        async with asyncio.timeout(30):
            for number in range(1, 5_000):
                client.writer.write(asked)  # one at a time: what is sent ahead goes the plain way for that
                while answered() < number and not plainly:  # noqa: ASYNC110 (nothing tells)
                    await asyncio.sleep(0)
                if plainly:
                    break
        assert plainly == [asked]
        assert number > 100, "what the system takes in for who reads nothing is not so little"
        for _ in range(number):
            assert (await client.answer())[0] == 201


async def test_a_body_that_was_refused_before_it_was_whole_is_no_request(
    running: Running, plainly: list[bytes]
) -> None:
    inner = request(CLASSIFY, TEXT)
    head = request(CLASSIFY, b"x" * len(inner)).replace(b"/json", b"/xml").removesuffix(b"x" * len(inner))
    async with connected(running) as client:
        assert (await client.ask(head))[0] == 415
        client.writer.write(inner)
        async with asyncio.timeout(5):
            while not b"".join(plainly).endswith(inner):  # noqa: ASYNC110 (nothing tells that it was read)
                await asyncio.sleep(0)
        assert (await client.ask(LIVE))[2] == {"status": "live"}


async def test_stopping_answers_what_was_taken_and_closes(plainly: list[bytes]) -> None:
    async with running_service({"store.provider": "memory"}) as running, connected(running) as client:
        running.service.begin_to_stop()
        status, headers, _ = await client.ask(request(CLASSIFY, TEXT))
        assert (status, headers["Connection"]) == (200, "close")
        async with asyncio.timeout(5):
            assert await client.reader.read() == b""
    assert not plainly


class Holding:
    """A classifier that waits until it is let go."""

    def __init__(self) -> None:
        self.began, self.goes_on = asyncio.Event(), asyncio.Event()

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        if any(text.body in (TEXT["body"], BODY["body"]) for text in texts):  # not what the service asks itself
            self.began.set()
            await self.goes_on.wait()
        return [sample_verdict() for _ in texts]


@asynccontextmanager
async def held_service(settings: Mapping[str, object] | None = None) -> AsyncIterator[tuple[Running, Holding]]:
    holding = Holding()
    offered = Offering(classifier=FunctionClassifier(holding.classify))
    async with running_service({"classifier.provider": "given", **(settings or {})}, plugins=[offered]) as running:
        yield running, holding


@pytest.mark.parametrize(("path", "body"), [(CLASSIFY, TEXT), (SUBMIT, BODY)])
async def test_who_hangs_up_holds_no_place_and_is_counted_as_gone(path: str, body: object) -> None:
    async with held_service() as (running, holding):
        metrics = running.service.metrics
        gone = metrics.series(HTTP_REQUESTS, method="POST", endpoint=path, status="499")
        async with connected(running) as client:
            client.writer.write(request(path, body))
            async with asyncio.timeout(5):
                await holding.began.wait()
            assert metrics.series(INQUIRIES_IN_FLIGHT).value == 1
        async with asyncio.timeout(5):
            while not gone.value:
                metrics.snapshot()
                await asyncio.sleep(0)
        assert metrics.series(INQUIRIES_IN_FLIGHT).value == metrics.series(HTTP_REQUESTS_ACTIVE).value == 0
        holding.goes_on.set()
        async with connected(running) as client:
            assert (await client.ask(request(CLASSIFY, TEXT)))[0] == 200


async def test_each_line_of_the_log_is_of_the_request_that_it_is_about(caplog: pytest.LogCaptureFixture) -> None:
    class Noting(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            noted.append((record.getMessage(), REQUEST_ID.get()))
            return True

    noted: list[tuple[str, str | None]] = []
    caplog.handler.addFilter(Noting())
    caplog.set_level(logging.INFO)
    async with running_service({"logging.requests": "all"}) as running, connected(running) as client:
        for number, (path, body) in enumerate([(CLASSIFY, TEXT), (SUBMIT, BODY), (CLASSIFY, {"body": ""})]):
            await client.ask(request(path, body, f"X-Request-ID: {number}"))
    assert [each for each in noted if "answered" in each[0]] == [
        (f"POST {CLASSIFY} answered 200", "0"),
        (f"POST {SUBMIT} answered 201", "1"),
        (f"POST {CLASSIFY} answered 422", "2"),
    ]
    assert REQUEST_ID.get() is None
