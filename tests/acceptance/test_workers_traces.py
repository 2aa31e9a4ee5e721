"""Two real workers: each sends all its spans before it ends, and a scrape shows Prometheus the exemplars of both."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.acceptance.serving import serving
from tests.acceptance.test_workers import INQUIRY, SUBMIT, connecting_anew
from tests.servers.otlp import collector
from tests.servers.prometheus import program
from tests.servers.scraping import Prometheus, prometheus


def tracing(url: str, **more: str) -> dict[str, str]:
    """Nothing would be sent before the stop."""
    return {
        "INQUIRY_TRACING__PROVIDER": "otlp",
        "INQUIRY_TRACING__OTLP__URL": url.replace("/v1/metrics", "/v1/traces"),
        "INQUIRY_TRACING__OTLP__PERIOD_S": "3600",
        **more,
    }


async def submitted(url: str, times: int) -> set[str]:
    """The traces of so many requests, each over a connection of its own."""
    async with connecting_anew(url) as session:

        async def one() -> str:
            async with session.post(SUBMIT, json=INQUIRY) as answer:
                assert answer.status == 201, await answer.text()
                return answer.headers["traceresponse"].split("-")[1]

        return set(await asyncio.gather(*(one() for _ in range(times))))


async def test_every_span_of_every_worker_has_arrived_when_the_service_has_stopped(tmp_path: Path) -> None:
    patient = {"INQUIRY_TRACING__OTLP__STOP_LIMIT_S": "30", "INQUIRY_SERVER__STOP_TIMEOUT_S": "40"}
    async with collector() as (found, url):
        environ = tracing(url, **patient)
        async with serving(tmp_path, "--workers", "2", environ=environ) as service:
            trace_ids = await submitted(service.url, 60)
            service.signal(signal.SIGTERM)
            assert await service.exit_code(within_s=50) == 0
            logged = service.logged()
    requests = [span for span in found.spans() if span.name == f"POST {SUBMIT}"]
    batches = {span.place for span in found.spans() if span.name in ("classify batch", "store batch")}
    assert {span.trace_id for span in requests} == trace_ids
    assert len({span.resource["service.instance.id"] for span in requests}) == 2
    assert {span.resource["service.name"] for span in requests} == {"inquiry-svc"}
    assert all(len(span.links) == 2 and span.links <= batches for span in requests)
    assert [line for line in logged if line["level"] in ("WARNING", "ERROR")] == []


async def test_a_collector_that_hangs_does_not_keep_the_service_from_stopping(tmp_path: Path) -> None:
    async with collector() as (found, url):
        found.open.clear()
        environ = tracing(url, INQUIRY_TRACING__OTLP__TIMEOUT_S="3600")
        async with serving(tmp_path, "--workers", "2", environ=environ) as service:
            await submitted(service.url, 20)
            service.signal(signal.SIGTERM)
            assert await service.exit_code(within_s=20) == 0
            told = [line["message"] for line in service.logged()]
    assert sum("not sent before the stop" in message for message in told) >= 1
    assert not any("killed" in message for message in told)


async def test_prometheus_keeps_the_exemplars_of_both_workers(tmp_path: Path) -> None:
    program("prometheus")
    async with collector() as (_, url):
        environ = tracing(url, INQUIRY_EXPORTERS__PROVIDERS="aioprometheus,openmetrics")
        async with serving(tmp_path, "--workers", "2", environ=environ) as service:
            scraped = [{"job_name": "inquiry-svc", "static_configs": [{"targets": [urlsplit(service.url).netloc]}]}]
            async with prometheus(scraped, options=["--enable-feature=exemplar-storage"]) as server:
                trace_ids, kept = set[str](), set[str]()
                give_up_at = time.monotonic() + 40
                while len(kept) < 3 and time.monotonic() < give_up_at:
                    trace_ids |= await submitted(service.url, 20)
                    kept = {each["labels"]["trace_id"] for each in await exemplars(server)}
    assert len(kept) >= 3
    assert kept <= trace_ids


async def exemplars(server: Prometheus) -> list[dict[str, Any]]:
    query = {"query": "http_request_duration_seconds_bucket", "start": "0", "end": str(time.time() + 60)}
    async with server.client.get("/api/v1/query_exemplars", params=query) as answer:
        content = await answer.json()
    assert content["status"] == "success", content
    return [exemplar for series in content["data"] for exemplar in series["exemplars"]]
