"""The default exporter fits, and its page is what the service shows."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inquiry_svc.contracts import Host, NoSettings, ScrapedExporter
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.exporters import PageContract, samples_of
from inquiry_svc.testing.running import running_service
from inquiry_svc_plugins.exporters.aioprometheus import open_aioprometheus
from tests.servers.prometheus import program


class TestAioprometheusExporter(PageContract):
    @pytest.fixture
    async def exporter(self, tmp_path: Path) -> AsyncIterator[ScrapedExporter]:
        async with open_aioprometheus(NoSettings(), Host(tmp_path, Metrics())) as exporter:
            yield exporter


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/metrics"])
async def test_a_scrape_shows_each_number_of_the_service(path: str) -> None:
    async with running_service() as running:
        sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
        async with running.client.post("/api/v1/inquiries/submit", json=sent) as answer:
            assert answer.status == 201
        async with running.client.get(path) as answer:
            page = await answer.read()
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = samples_of(page)
        families = {family.metric.name for family in running.service.metrics.snapshot()}
    assert found["inquiries_processed_total", (("status", "success"),)] == 1
    submitted = (("endpoint", "/api/v1/inquiries/submit"), ("method", "POST"), ("status", "201"))
    assert found["http_requests_total", submitted] == 1
    shown = {line.split()[2] for line in page.decode().splitlines() if line.startswith("# TYPE ")}
    assert shown == families


async def test_prometheus_own_lint_finds_one_name_to_complain_of() -> None:
    async with running_service() as running:
        sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
        async with running.client.post("/api/v1/inquiries/submit", json=sent) as answer:
            assert answer.status == 201
        async with running.client.get("/metrics") as answer:
            page = await answer.read()
    command = [program("promtool"), "check", "metrics"]
    done = await asyncio.to_thread(subprocess.run, command, input=page, capture_output=True, timeout=20, check=False)
    [complaint] = (done.stdout + done.stderr).decode().splitlines()
    assert complaint.startswith("customer_satisfaction_score_count "), "a gauge, called as rules outside know it"
