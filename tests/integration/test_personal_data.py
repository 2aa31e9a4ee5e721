"""Addresses, telephone and card numbers stay where inquiries are kept: nothing that leaves the service has one in it.

They are sent wherever a caller can put text; then every byte that went out is looked through: log lines, spans, what
each exporter sends or shows, exemplars with it, and all that Redis was ever told.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import pytest
from aiohttp import web

from inquiry_svc.catalogue import CACHE_LOOKUPS
from inquiry_svc.logs import logging_to
from inquiry_svc.settings import LoggingSettings
from inquiry_svc.testing.running import Running, running_service
from tests.servers.otlp import collector
from tests.servers.redis import redis_server
from tests.servers.statsd import statsd_server

SUBMIT: Final = "/api/v1/inquiries/submit"
ADDRESS: Final = "petra.musterfrau@kunden.example"
PHONES: Final = ("+49 30 901820 4711", "0151-23456789")
CARDS: Final = ("4929 1234 5678 9015", "5500005555555559")
SEEDED: Final = (ADDRESS, "petra.musterfrau", *PHONES, *CARDS)


def spellings(seeded: str) -> Iterator[bytes]:
    """As they stand, as a URL or JSON or a tag has them, as digits alone, and in base64 wherever they may begin."""
    digits = "".join(filter(str.isdigit, seeded))
    yield from (each.encode() for each in (seeded, quote(seeded), quote(seeded, safe=""), seeded.replace(" ", "_")))
    if len(digits) > 6:
        yield digits.encode()
    for before in range(3):  # but for the ends, which share a character with what stands beside it
        yield base64.b64encode(b"\0" * before + seeded.encode())[4:-4]


def found_in(told: bytes) -> list[str]:
    return [seeded for seeded in SEEDED if any(spelled in told for spelled in spellings(seeded))]


@asynccontextmanager
async def cloudwatch() -> AsyncIterator[tuple[list[bytes], str]]:
    """Keeps each request as it came, and agrees to all of them."""
    kept: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        kept.append(repr(request.headers).encode() + await request.read())
        return web.Response(text="{}", content_type="application/x-amz-json-1.0")

    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield kept, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def send_them_everywhere(running: Running) -> str:
    """The stored inquiry, as a reader sees it."""
    text = f"Call me at {PHONES[0]} or {PHONES[1]}; my cards {CARDS[0]} and {CARDS[1]} were charged twice. {ADDRESS}"
    inquiry = {
        "subject": text,
        "body": text,
        "sender_email": ADDRESS,
        "sender_name": text[:100],
        "metadata": {text[:60]: text},
    }
    headers = {"User-Agent": text, "Referer": text, "Idempotency-Key": ADDRESS}
    stored = ""
    for _ in range(2):  # the second from the cache
        async with running.client.post(SUBMIT, json=inquiry) as answer:
            assert answer.status == 201
            stored = (await answer.json())["inquiry_id"]
    async with running.client.post(SUBMIT, json=inquiry, headers=headers) as answer:
        assert answer.status == 201
    async with running.client.post(SUBMIT, json={**inquiry, "body": ADDRESS}, headers=headers) as answer:
        assert answer.status == 422
    lines = [inquiry, {**inquiry, "sender_email": text}, {text: text}]
    raw = "\n".join([*map(json.dumps, lines), text])
    async with running.client.post(
        "/api/v1/inquiries/bulk", data=raw, headers={"Content-Type": "application/x-ndjson"}
    ) as answer:
        assert answer.status == 200
        await answer.read()
    for body in ({**inquiry, "sender_email": text}, {**inquiry, text: text}, text, [text]):
        async with running.client.post(SUBMIT, json=body, headers=headers) as answer:
            assert answer.status in (400, 422)
    for path in (
        f"/{text}",
        f"/api/v1/inquiries/{ADDRESS}",
        f"/api/v1/inquiries?cursor={ADDRESS}",
        f"/docs/{CARDS[1]}",
    ):
        async with running.client.get(path, headers=headers) as answer:
            assert answer.status in (404, 422)
    for note in ({"category": "billing", "comment": text}, {"category": text}, {text: text}):
        async with running.client.post(f"/api/v1/inquiries/{stored}/feedback", json=note) as answer:
            assert answer.status < 500
    async with running.client.get(f"/api/v1/inquiries/{stored}") as answer:
        return await answer.text()


@pytest.mark.parametrize("through", ["log", "api"])
async def test_what_people_are_known_by_is_in_nothing_that_leaves_the_service(
    through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    log, told = io.StringIO(), {}
    with redis_server(durable=True) as redis:  # it writes down each command that changes something
        await redis.start()
        async with collector() as (collected, url), statsd_server() as (statsd, port), cloudwatch() as (put, aws_url):
            settings: dict[str, Any] = {
                "cache.provider": "redis",
                "cache.redis.url": redis.url,
                "cache.redis.timeout_s": 5.0,
                "cache.redis.slow_s": 5.0,
                "cache.timeout_s": 5.0,
                "logging.requests": "all",
                "tracing.provider": "otlp",
                "tracing.otlp.url": url.replace("/v1/metrics", "/v1/traces"),
                "exporters.providers": ("aioprometheus", "openmetrics", "statsd", "otlp", "cloudwatch"),
                "exporters.statsd.port": port,
                "exporters.otlp.url": url,
                "exporters.cloudwatch.through": through,
                "exporters.cloudwatch.region": "eu-central-1",
                "exporters.cloudwatch.endpoint_url": aws_url,
            }
            with logging_to(log, LoggingSettings(level="debug", format="json")):
                async with running_service(settings) as running:
                    assert found_in((await send_them_everywhere(running)).encode()) == list(SEEDED), "nothing to find"
                    assert running.service.metrics.series(CACHE_LOOKUPS, result="hit").value > 0
                    for form in ("text/plain", "application/openmetrics-text; version=1.0.0"):
                        async with running.client.get("/metrics", headers={"Accept": form}) as answer:
                            told[form] = await answer.read()
                # Leaving, it pushed once to each.
            told |= {
                "spans": b"".join(request.SerializeToString() for request in collected.traces),
                "otlp": collected.request.SerializeToString() + repr(collected.headers).encode(),
                "statsd": "\n".join(statsd.lines).encode(),
                "cloudwatch": b"".join(put) if through == "api" else b"",
            }
        told["redis"] = b"".join(path.read_bytes() for path in redis.folder.rglob("*.aof"))
    told["log"] = log.getvalue().encode()
    for place, marker in {
        "text/plain": b"inquiries_processed_total",
        "application/openmetrics-text; version=1.0.0": b'# {trace_id="',
        "spans": b"store save",
        "otlp": b"inquiries_processed_total",
        "statsd": b"inquiries_processed_total",
        "redis": b"SET",
        "log": b'"POST /api/v1/inquiries/submit answered 201"',
        **({"cloudwatch": b"inquiries_processed_total"} if through == "api" else {}),
    }.items():
        assert marker in told[place], f"{place} holds nothing: this proves nothing"
    if through == "log":
        assert b'"CloudWatchMetrics"' in told["log"]
    assert {place: found for place, each in told.items() if (found := found_in(each))} == {}
