"""The exporter `openmetrics` fits, says units and beginnings, and is given to who asks for it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from inquiry_svc.contracts import Host, NoSettings, ScrapedExporter
from inquiry_svc.metrics import OPEN, Counter, Gauge, Histogram, Metrics
from inquiry_svc.testing.exporters import PageContract, Sample, openmetrics_samples_of, samples_of
from inquiry_svc.testing.running import running_service
from inquiry_svc_plugins.exporters.openmetrics import OpenMetricsExporter, open_openmetrics

PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
PROMETHEUS_2 += "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_3 = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
PROMETHEUS_3 += "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
PROMETHEUS_3 += "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
PREFERS_TEXT = "text/plain;version=0.0.4;q=0.3,application/openmetrics-text;version=1.0.0;q=0.2,*/*;q=0.1"
BOTH = {"exporters.providers": ("aioprometheus", "openmetrics")}


class TestOpenMetricsExporter(PageContract):
    @pytest.fixture
    async def exporter(self, tmp_path: Path) -> AsyncIterator[ScrapedExporter]:
        async with open_openmetrics(NoSettings(), Host(tmp_path, Metrics())) as exporter:
            yield exporter

    @pytest.fixture
    def samples(self) -> Callable[[bytes], Mapping[Sample, float]]:
        return openmetrics_samples_of


async def test_it_says_units_kinds_and_when_counting_began() -> None:
    counter = Counter("sent_bytes_total", "Sent.", {"to": OPEN})
    histogram = Histogram("wait_seconds", "Waited.", buckets=(0.1, 1))
    gauge = Gauge("level", "Level.")
    before = time.time()
    metrics = Metrics([counter, histogram, gauge])
    after = time.time()
    metrics.series(counter, to="Ana").inc(3)
    page = (await OpenMetricsExporter().render(metrics.snapshot())).decode()
    parsed = text_string_to_metric_families(page)  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    found = {name: (family.type, family.unit, family.documentation) for name, family in families.items()}
    assert found == {
        "sent_bytes": ("counter", "bytes", "Sent."),
        "wait_seconds": ("histogram", "seconds", "Waited."),
        "level": ("gauge", "", "Level."),
    }
    created = {s.name: float(s.value) for f in families.values() for s in f.samples if s.name.endswith("_created")}
    assert created.keys() == {"sent_bytes_created", "wait_seconds_created"}
    assert all(before <= moment <= after for moment in created.values())
    assert page.endswith("\n# EOF\n")


async def test_the_whole_service_makes_a_page_that_is_valid() -> None:
    async with running_service({"exporters.providers": ("openmetrics",)}) as running:
        sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
        async with running.client.post("/api/v1/inquiries/submit", json=sent) as answer:
            assert answer.status == 201
        async with running.client.get("/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            found = openmetrics_samples_of(await answer.read())
    assert found["inquiries_processed_total", (("status", "success"),)] == 1


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (PROMETHEUS_2, "openmetrics"),
        (PROMETHEUS_3, "openmetrics"),
        (PREFERS_TEXT, "text"),
        ("APPLICATION/OPENMETRICS-TEXT ; Version=1.0.0", "openmetrics"),
        (",,;q=1,text", "text"),
        ("", "text"),
        ("text/plain", "text"),
        ("*/*", "text"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text"),
        ("application/openmetrics-text; version=0.0.1", "openmetrics"),
    ],
)
async def test_a_scraper_gets_what_it_asks_for(accept: str, form: str) -> None:
    async with (
        running_service(BOTH) as running,
        running.client.get("/metrics", headers={"Accept": accept}) as answer,
    ):
        page = await answer.read()
        assert answer.headers["Vary"] == "Accept"
        assert ("openmetrics" in answer.headers["Content-Type"]) == (form == "openmetrics")
    assert (openmetrics_samples_of if form == "openmetrics" else samples_of)(page)


async def test_who_asks_for_what_was_not_chosen_gets_what_was() -> None:
    async with (
        running_service() as running,
        running.client.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
