"""The counters of two workers say what clients saw, request by request, also of those who left without an answer."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from inquiry_svc.testing.exporters import Sample
from inquiry_svc.web.edge import HUNG_UP, UNMATCHED
from tests.acceptance.serving import serving
from tests.acceptance.test_workers import INQUIRY, SUBMIT, connecting_anew, scrape
from tests.acceptance.test_workers_exporting import until_told

CLASSIFY: Final = "/api/v1/inquiries/classify"
BULK: Final = "/api/v1/inquiries/bulk"
STORED: Final = "/api/v1/inquiries/{inquiry_id}"
LEFT: Final = "left"
AT_ONCE: Final = 20


def asked(method: str, path: str, body: bytes = b"", content_type: str = "application/json", more: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}"
    if method in ("POST", "PUT"):
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


GOOD: Final = json.dumps(INQUIRY).encode()
ROWS: Final = b"\n".join([GOOD] * 20)
KINDS: Final[Mapping[bytes, tuple[str, str]]] = {
    asked("POST", SUBMIT, GOOD): ("POST", SUBMIT),
    asked("POST", SUBMIT, GOOD, more="Accept: text/html;q=0.5, */*;q=0.1\r\nX-Of-Its-Own: way\r\n"): ("POST", SUBMIT),
    asked("POST", SUBMIT, b'{"body": ""}'): ("POST", SUBMIT),
    asked("POST", SUBMIT, b"{"): ("POST", SUBMIT),
    asked("POST", SUBMIT, b"x" * 70_000): ("POST", SUBMIT),
    asked("POST", SUBMIT, GOOD, "text/plain"): ("POST", SUBMIT),
    asked("POST", CLASSIFY, GOOD): ("POST", CLASSIFY),
    asked("POST", BULK, ROWS, "application/x-ndjson"): ("POST", BULK),
    asked("GET", "/api/v1/inquiries/nobody"): ("GET", STORED),
    asked("GET", "/api/v1/stats"): ("GET", "/api/v1/stats"),
    asked("HEAD", "/api/v1/stats"): ("HEAD", "/api/v1/stats"),
    asked("PUT", SUBMIT, GOOD): ("PUT", UNMATCHED),
    asked("GET", "/nowhere"): ("GET", UNMATCHED),
    asked("G=T", "/nowhere"): ("other", UNMATCHED),
    b"\x16\x03\x01 no HTTP\r\n\r\n": ("other", UNMATCHED),
    asked("GET", "/nowhere", more=f"X-Long: {'x' * 20_000}\r\n"): ("other", UNMATCHED),
}
"""What is sent, and as what it is counted."""


async def outcome(url: str, sent: bytes, stays_s: float | None) -> str:
    """The status of the answer that the client read to its end; else that it left, after so long."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(sent)
        await writer.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(stays_s):
                return (await reader.read()).split()[1].decode()
        return LEFT
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def counted(page: Mapping[Sample, float]) -> Counter[tuple[str, str, str]]:
    """By method, endpoint and status; without those that were never asked, and without scrapes."""
    found: Counter[tuple[str, str, str]] = Counter()
    for (name, labels), value in page.items():
        if name == "http_requests_total" and value:
            of = dict(labels)
            if of["endpoint"] != "/metrics":
                found[of["method"], of["endpoint"], of["status"]] += int(value)
    return found


@pytest.mark.parametrize("requests", [900, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
async def test_what_was_sent_is_what_two_workers_count_whoever_leaves_or_is_renewed(
    tmp_path: Path, requests: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    seen: Counter[tuple[str, str, str]] = Counter()
    async with serving(tmp_path, "--workers", "2") as service:

        async def client() -> None:
            for _ in range(requests // 2 // AT_ONCE):
                sent, of = dice.choice(list(KINDS.items()))
                stays_s = dice.choice([0.0, 0.001, 0.005, 0.02]) * dice.random() if dice.random() < 0.3 else None
                seen[*of, await outcome(service.url, sent, stays_s)] += 1

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        service.signal(signal.SIGHUP)
        await until_told(service, "renewed the workers", 1)
        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        async with connecting_anew(service.url) as session, asyncio.timeout(30):
            found = counted(await scrape(session))
            while found.total() < seen.total():
                await asyncio.sleep(0.05)
                found = counted(await scrape(session))
    left = Counter({(method, endpoint): count for (method, endpoint, what), count in seen.items() if what == LEFT})
    hung_up = sum(count for (*_, status), count in found.items() if status == str(HUNG_UP))
    print(f"{seen.total()} sent, {left.total()} left, {hung_up} of them before they were answered")
    assert hung_up > requests / 50, "nobody left while they were being served: this proves nothing"
    for of in set(KINDS.values()):
        sent = sum(count for (*where, _), count in seen.items() if tuple(where) == of)
        assert sum(count for (*where, _), count in found.items() if tuple(where) == of) == sent, of
        for status in {status for *where, status in (*seen, *found) if tuple(where) == of} - {LEFT}:
            more = found[*of, status] - seen[*of, status]
            assert 0 <= more <= left[of], (of, status)
    assert found.total() == seen.total()
