"""However a client tries, it adds no metric series but the one for paths that do not exist."""

from __future__ import annotations

import asyncio
import random
import string
from typing import Final
from urllib.parse import quote, urlsplit

import pytest

from inquiry_svc.catalogue import HTTP_REQUEST_DURATION, HTTP_REQUESTS, METHODS
from inquiry_svc.metrics import Family, Histogram
from inquiry_svc.testing.exporters import samples_of
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.web.edge import UNMATCHED
from inquiry_svc.web.routes import ENDPOINTS

SILENT: Final = {"logging.requests": "none"}
STORED: Final = ("inquiries_processed_total", (("status", "success"),))
HOSTILE: Final = [
    '"',
    "\n",
    "\\",
    "}",
    'x"} 1\nforged_total{a="1',
    "\0",
    "é",
    "\u202e",
    "{inquiry_id}",
    "__unmatched__",
    "..",
]


@pytest.mark.alone
@pytest.mark.parametrize(
    "paths", [100_000, pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
)
async def test_random_paths_add_one_series_however_many(paths: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    async with running_service(SILENT) as running:
        before = await _series(running)
        rng = random.Random(seed)
        await asyncio.gather(*(_ask(running, [_random_path(rng) for _ in range(paths // 4)]) for _ in range(4)))
        after = await _series(running)
    added = {series for series in after.keys() - before.keys() if _label(series, "endpoint") == UNMATCHED}
    own = {series for series in after.keys() - before.keys() if _label(series, "endpoint") == "/metrics"}
    assert after.keys() - before.keys() == added | own
    assert {name for name, _ in added} == {"http_requests_total", *_of_histogram("http_request_duration_seconds")}
    [counted] = [series for series in added if series[0] == "http_requests_total"]
    assert after[counted] == paths


def _of_histogram(name: str) -> set[str]:
    return {f"{name}_bucket", f"{name}_sum", f"{name}_count"}


def _random_path(rng: random.Random) -> str:
    parts = ["".join(rng.choices(string.printable, k=rng.randrange(1, 12))) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.1:
        parts.append(rng.choice(HOSTILE))
    return "/" + rng.choice(["", "api/", "api/v1/", "api/v2/inquiries/", "docs/x/"]) + "/".join(map(quote, parts))


async def _ask(running: Running, paths: list[str]) -> None:
    """Ask for all over one connection, many requests in one go."""
    address = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    for start in range(0, len(paths), 200):
        some = paths[start : start + 200]
        writer.write(b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in some))
        answered = 0
        while answered < len(some):
            chunk = await reader.readuntil(b'"request_id":"')
            assert b"HTTP/1.1 404 Not Found\r\n" in chunk, chunk
            answered += 1
    writer.close()


async def test_neither_methods_nor_names_nor_ids_add_series() -> None:
    async with running_service(SILENT) as running:
        before = (await _series(running)).keys()
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        rng = random.Random(seed)
        for number in range(150):
            made_up = "".join(rng.choices(string.ascii_uppercase, k=rng.randrange(3, 12)))
            method = rng.choice([*METHODS[:-1], "PURGE", "TRACE", "PROPFIND", "LOCK", "SEARCH", made_up])
            path = f"/{quote(HOSTILE[number % len(HOSTILE)], safe='')}{number}"
            async with running.client.request(method, path) as answer:
                assert answer.status == (400 if method == made_up else 404)
            async with running.client.request(method, "/api/v1/inquiries/bulk") as answer:
                assert answer.status in (400, 404, 405, 415)
            hostile = {"X-Request-ID": f"id-{number}", "User-Agent": f'"{number}', "Idempotency-Key": f"k{number}"}
            async with running.client.get(f"/api/v1/inquiries/{number}?x={number}", headers=hostile) as answer:
                assert answer.status == 404
        found = await _series(running)
    requests = [series for series in found.keys() - before if series[0] == HTTP_REQUESTS.name]
    assert {_label(series, "method") for series in requests} <= set(METHODS)
    matched = {series for series in requests if _label(series, "endpoint") != UNMATCHED}
    assert {(_label(series, "method"), _label(series, "endpoint")) for series in matched} <= {
        ("HEAD", "/api/v1/inquiries/{inquiry_id}"),
        ("HEAD", "/api/v1/inquiries/bulk"),
    }
    assert len(requests) <= 2 * len(METHODS) + 4


async def test_what_an_alert_divides_by_stands_at_0_before_anybody_asked() -> None:
    async with running_service(SILENT) as running:
        found = await _series(running)
    for endpoint in ENDPOINTS:
        for status in (*endpoint.answers, *endpoint.problems, 500):
            labels = (("endpoint", endpoint.path), ("method", endpoint.method), ("status", str(status)))
            assert found["http_requests_total", labels] == 0
        timed = (("endpoint", endpoint.path), ("status_class", "2xx"))
        assert found["http_request_duration_seconds_count", timed] == 0
    for metric in ("model_feedback_total", "model_predictions_total", "model_prediction_confidence_count"):
        assert {value for (name, _), value in found.items() if name == metric} == {0}
    assert not [name for name, _ in found if name == "customer_satisfaction_score"], "0 is not on its scale"


async def test_a_model_says_whether_it_is_the_classifier_or_answers_when_that_fails() -> None:
    async with running_service(SILENT) as running:
        found = await _series(running)
    models = [dict(labels) for name, labels in found if name == "model_version_info"]
    assert {labels["model_name"]: labels["role"] for labels in models} == {
        running.service.settings.classifier.provider: "classifier",
        running.service.settings.classifier.fallback: "fallback",
    }


async def test_all_methods_on_all_routes_keep_the_number_of_lines_within_its_budget() -> None:
    async with running_service(SILENT) as running:
        for endpoint in ENDPOINTS:
            for method in METHODS[:-1]:
                path = endpoint.path.replace("{inquiry_id}", "x")
                async with running.client.request(method, path, data=b"{}") as answer:
                    await answer.read()
        lines = {family.metric.name: _lines(family) for family in running.service.metrics.snapshot()}
    print(sorted(lines.items(), key=lambda item: -item[1]))
    endpoints = len(ENDPOINTS) + 3  # two for documentation, one for what no route fits
    assert sum(lines.values()) <= 1_900
    assert lines.pop(HTTP_REQUESTS.name) <= endpoints * 10, "5 to 10 answers each"
    assert lines.pop(HTTP_REQUEST_DURATION.name) <= endpoints * 3 * (len(HTTP_REQUEST_DURATION.buckets) + 3)
    assert max(lines.values()) <= 240, "15 label sets of a histogram, or 240 of a counter"


def _lines(family: Family) -> int:
    """How many lines of a page: a histogram has one for each bucket, infinity, sum and count."""
    per_series = len(family.metric.buckets) + 3 if isinstance(family.metric, Histogram) else 1
    return per_series * len(family.values)


async def test_a_scrape_under_load_parses_and_counts_itself() -> None:
    async with running_service() as running:
        sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}

        async def submit() -> None:
            for _ in range(20):
                async with running.client.post("/api/v1/inquiries/submit", json=sent) as answer:
                    assert answer.status == 201

        working = asyncio.gather(*(submit() for _ in range(10)))
        counts: list[float] = []
        while not working.done():
            counts.append((await _series(running))[STORED])
        await working
        assert counts == sorted(counts)
        assert (await _series(running))[STORED] == 200


async def _series(running: Running) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    async with running.client.get("/metrics") as answer:
        return samples_of(await answer.read())


def _label(series: tuple[str, tuple[tuple[str, str], ...]], name: str) -> str | None:
    return dict(series[1]).get(name)
