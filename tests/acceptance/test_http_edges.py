"""What holds for every answer, whatever was asked: ids, headers, problem documents, and no secret told."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import web

from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.service import Service
from inquiry_svc.testing.problems import assert_marked, problem_of
from inquiry_svc.testing.running import Running, running_service

EVERY_KIND: Final = [
    ("GET", "/api/v1/health", 200),
    ("GET", "/api/v1/health/live", 200),
    ("GET", "/api/v1/inquiries", 200),
    ("GET", "/api/v1/stats", 200),
    ("GET", "/metrics", 200),
    ("GET", "/api/v1/openapi.json", 200),
    ("GET", "/docs", 200),
    ("GET", "/docs/swagger-ui.css", 200),
    ("HEAD", "/api/v1/health", 200),
    ("POST", "/api/v1/inquiries/submit", 415),
    ("POST", "/api/v1/inquiries/bulk", 415),
    ("GET", "/nowhere", 404),
    ("GET", "/", 404),
    ("PURGE", "/nowhere", 404),
    ("DELETE", "/api/v1/stats", 405),
]


class Rude:
    """A plugin with routes that fail in their own ways."""

    @hookimpl
    def register_routes(self, service: Service) -> Iterable[web.AbstractRouteDef]:
        return [web.get("/raises", self._raise), web.get("/times-out", self._time_out), web.get("/moved", self._move)]

    async def _raise(self, request: web.Request) -> web.Response:
        raise ValueError("secret: SELECT * FROM inquiries at /var/lib")

    async def _time_out(self, request: web.Request) -> web.Response:
        raise TimeoutError("secret")

    async def _move(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/docs")


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Running]:
    """One for all tests here: none of them changes what another sees."""
    async with running_service(plugins=[Rude()]) as running:
        yield running


@pytest.mark.parametrize(("method", "path", "status"), EVERY_KIND)
async def test_every_answer_carries_the_callers_request_id(
    running: Running, method: str, path: str, status: int
) -> None:
    given = "Trace-7!/abc=="
    async with running.client.request(method, path, headers={"X-Request-ID": given}) as answer:
        assert answer.status == status
        assert answer.headers["X-Request-ID"] == given
        assert_marked(answer)
        if status >= 400:
            assert (await problem_of(answer, status))["request_id"] == given


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 129, "sch\u00f6n", "a\tb"])
async def test_an_id_that_is_missing_or_unfit_is_replaced(running: Running, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    async with running.client.get("/api/v1/health/live", headers=headers) as answer:
        assert uuid.UUID(answer.headers["X-Request-ID"]).version == 7


async def test_two_requests_on_one_connection_have_two_ids(running: Running) -> None:
    head = b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await _exchange(running, head * 2 + head.replace(b"Host", b"Connection: close\r\nHost"))
    found = re.findall(rb"X-Request-ID: (\S+)", answer)
    assert len(found) == len(set(found)) == 3


async def test_a_bulk_upload_carries_the_id_too(running: Running) -> None:
    headers = {"Content-Type": "application/x-ndjson", "X-Request-ID": "abc"}
    async with running.client.post("/api/v1/inquiries/bulk", data=b"x", headers=headers) as answer:
        assert answer.headers["X-Request-ID"] == "abc"
        assert json.loads(await answer.read())["request_id"] == "abc"


async def test_another_method_is_told_which_ones_fit(running: Running) -> None:
    async with running.client.put("/api/v1/inquiries/submit") as answer:
        document = await problem_of(answer, 405)
        assert "POST" in answer.headers["Allow"].replace(" ", "").split(",")
    assert "POST" in document["detail"]
    assert document["type"] == "/problems/method-not-allowed"


@pytest.mark.parametrize("path", ["/raises", "/times-out"])
async def test_a_fault_of_ours_tells_nothing_of_itself(running: Running, path: str) -> None:
    async with running.client.get(path) as answer:
        document = await problem_of(answer, 500)
    assert document["type"] == "/problems/internal-error"
    for word in ("secret", "SELECT", "/var", "ValueError", "Traceback"):
        assert word not in json.dumps(document)


async def test_a_plugins_redirect_stays_one(running: Running) -> None:
    async with running.client.get("/moved", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/docs")
        assert_marked(answer)


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_no_http_is_a_problem_as_well(running: Running, raw: bytes) -> None:
    answer = await _exchange(running, raw)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 400 ", head), answer[:200]
    assert b"Content-Type: application/problem+json" in head
    assert b"Server: inquiry-svc\r\n" in head
    document = json.loads(body)
    assert document["status"] == 400
    assert ("a header has more than 8190 bytes" in document["detail"]) == (len(raw) > 8190)
    assert f"X-Request-ID: {document['request_id']}".encode() in head


async def test_a_client_may_wait_for_100_continue(running: Running) -> None:
    body = b'{"body": "Charged twice."}'
    head = b"POST /api/v1/inquiries/classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\n"
    for expected, first in ((b"100-continue", b"HTTP/1.1 100 Continue"), (b"the-unexpected", b"HTTP/1.1 200 OK")):
        raw = head + b"Content-Length: %d\r\nExpect: %s\r\n\r\n" % (len(body), expected) + body
        answer = await _exchange(running, raw)
        assert answer.startswith(first)
        assert b"HTTP/1.1 200 OK" in answer


async def test_the_page_of_the_interface_asks_no_other_host(running: Running) -> None:
    async with running.client.get("/docs") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = answer.headers["Content-Security-Policy"]
        page = await answer.text()
    assert "default-src 'none'" in policy
    assert "http" not in policy
    named = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(named) >= 4
    for path in named:
        assert re.fullmatch(r"/docs/[\w.-]+", path), "only what is here can be had offline"
    assert "//" not in page.replace("<!doctype html>", "")
    types = {".css": "text/css", ".js": "text/javascript; charset=utf-8", ".png": "image/png"}
    for path in named:
        async with running.client.get(path) as answer:
            assert answer.status == 200
            assert len(await answer.read()) > 100
            expected = types[path[path.rindex(".") :]]
            assert answer.headers["Content-Type"].split(";")[0] == expected.split(";")[0]


@pytest.mark.parametrize("name", ["index.html", "../pyproject.toml", "..%2f..%2fetc%2fpasswd", "%00", "x" * 3_000])
async def test_the_page_has_no_other_files(running: Running, name: str) -> None:
    async with running.client.get(f"/docs/{name}") as answer:
        await problem_of(answer, 404)


async def _exchange(running: Running, raw: bytes) -> bytes:
    """Send the bytes and read until the server closes."""
    address = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    async with asyncio.timeout(10):
        writer.write(raw)
        answer = await reader.read()
    writer.close()
    return answer
