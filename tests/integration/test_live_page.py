"""The live page shows each of its panels of a service in use, asks nobody else, and says when the service is gone."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from inquiry_svc.live.exposition import Scrape, read_scrape
from inquiry_svc.live.history import History
from inquiry_svc.live.panels import load_dashboards
from inquiry_svc.live.site import open_site
from inquiry_svc.testing.exporters import samples_of
from inquiry_svc.testing.providers import FunctionClassifier, FunctionNotifier, Offering
from inquiry_svc.testing.running import Running, running_service
from tests.model_folders import have_a_shadow

INQUIRIES: Final = "/api/v1/inquiries"
DASHBOARDS: Final = load_dashboards()
PAGE: Final = Path(__file__).parents[2] / "inquiry_svc/live/page"
SILENT_HERE: Final = {"Do plugins fail?"}
"""It has an open label, and nothing fails here."""


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    have_a_shadow(tmp_path)
    settings = {
        "classifier.provider": "given",
        "cache.provider": "memory",
        "notifiers.providers": ["given"],
        "review.audit_share": 1.0,
        "server.data_dir": str(tmp_path),
    }
    offered = Offering(classifier=FunctionClassifier(), notifier=FunctionNotifier())
    async with running_service(settings, plugins=[offered]) as running:
        yield running


@asynccontextmanager
async def page_of(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        open_site(url, DASHBOARDS, period_s=0.05) as application,
        TestServer(application) as server,
        aiohttp.ClientSession(str(server.make_url("/"))) as client,
    ):
        yield client


async def use(running: Running) -> None:
    sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
    async with running.client.post(f"{INQUIRIES}/submit", json=sent) as answer:
        inquiry = f"{INQUIRIES}/{(await answer.json())['inquiry_id']}"
    said = {"category": "billing", "sentiment": "negative", "urgency": "high"}
    async with running.client.post(f"{inquiry}/feedback", json=said) as answer:
        assert answer.status == 200
    async with running.client.post(f"{inquiry}/resolve") as answer:
        assert answer.status == 200


async def shown(client: aiohttp.ClientSession, name: str) -> dict[str, Any]:
    async with client.get(f"/shown/{name}.json") as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


async def test_every_panel_shows_something_of_a_service_in_use(running: Running) -> None:
    async with page_of(running.url) as client, asyncio.timeout(20):
        lacking = {(dashboard.name, panel.question) for dashboard in DASHBOARDS for panel in dashboard.panels}
        while {question for _, question in lacking} != SILENT_HERE:
            await use(running)
            for dashboard in DASHBOARDS:
                found = await shown(client, dashboard.name)
                for panel, data in zip(dashboard.panels, found["panels"], strict=True):
                    assert all(len(values) == len(data["at_s"]) for values in data["lines"].values())
                    if any(values[-1] is not None for values in data["lines"].values()):
                        lacking.discard((dashboard.name, panel.question))


async def test_a_service_that_is_gone_is_said_to_be() -> None:
    async with running_service() as running, page_of(running.url) as client:
        await _until_answers(client, True)
    async with page_of(running.url) as client:
        await _until_answers(client, False)
        found = await shown(client, "pipeline-overview")
        assert found["panels"][0]["lines"] == {"up": [0] * len(found["panels"][0]["at_s"])}


async def test_a_scrape_that_makes_the_page_stumble_ends_nothing_and_is_told_of(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add, scrapes = History.add, 0

    def stumble(history: History, scrape: Scrape) -> None:
        nonlocal scrapes
        scrapes += 1
        if scrapes < 3:
            raise ZeroDivisionError
        add(history, scrape)

    monkeypatch.setattr(History, "add", stumble)
    async with page_of(running.url) as client:
        await _until_answers(client, True)
    assert [record.message for record in caplog.records] == [f"what {running.url} says can't be shown"], "once"


async def test_a_clock_that_is_put_right_spoils_no_rate(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[float] = []
    monkeypatch.setattr(History, "add", lambda history, scrape: moments.append(scrape.at_s))
    async with page_of(running.url), asyncio.timeout(10):
        while len(moments) < 3:
            await asyncio.sleep(0.01)
            now_s = time.time()
            monkeypatch.setattr("inquiry_svc.live.site.time.time", lambda now_s=now_s: now_s - 60)
    assert moments == sorted(moments)


async def _until_answers(client: aiohttp.ClientSession, wanted: bool) -> None:
    async with asyncio.timeout(10):
        while True:
            found = await shown(client, "pipeline-overview")
            if found["panels"][0]["at_s"] and found["answers"] is wanted:
                return
            await asyncio.sleep(0.02)


async def test_the_page_asks_nothing_of_anybody_else(running: Running) -> None:
    async with page_of(running.url) as client:
        async with client.get("/") as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            page = await answer.text()
        named = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(named) == 4
        for path in named:
            async with client.get(path) as answer:
                assert answer.status == 200, path
        async with client.get("/shown/nothing.json") as answer:
            assert answer.status == 404
    for file in (PAGE / "index.html", PAGE / "page.js", PAGE / "page.css"):
        assert "//" not in file.read_text().replace("// ", ""), "an address, perhaps"


async def test_a_scrape_is_read_as_prometheus_reads_it(running: Running) -> None:
    await use(running)
    async with running.client.get("/metrics") as answer:
        page = await answer.read()
    read = read_scrape(page.decode().replace('le="+Inf"', 'le="inf"'), 0.0, {})  # as `samples_of` has it
    found = {(name, labels): value for name, some in read.samples.items() for labels, value in some if name != "up"}
    assert found == samples_of(page)


def test_ten_minutes_are_kept() -> None:
    history = History(DASHBOARDS[:1])
    for number in range(700):
        history.add(read_scrape("http_connections_active 1\n", float(number), {"job": "inquiry-svc"}))
    assert history.shown(DASHBOARDS[0].name)["panels"][0]["at_s"] == [float(number) for number in range(99, 700)]
