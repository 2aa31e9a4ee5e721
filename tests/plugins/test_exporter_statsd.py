"""The exporter `statsd` against a server that adds up what it is told, and one that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from inquiry_svc.contracts import Host, PushingExporter
from inquiry_svc.errors import Unavailable
from inquiry_svc.metrics import OPEN, Counter, Gauge, Metrics, Snapshot
from inquiry_svc.testing.exporters import ExporterContract, OpenReceiver, Receiver, Sample
from inquiry_svc.testing.running import running_service
from inquiry_svc_plugins.exporters.changes import plain
from inquiry_svc_plugins.exporters.statsd import StatsdSettings, open_statsd
from tests.servers import free_port
from tests.servers.statsd import StatsdServer, statsd_server

SENT: Final = Counter("sent_total", "Sent.", {"to": OPEN})
LEVEL: Final = Gauge("level", "Level.")


class StatsdReceiver:
    adds_up = True
    knows_infinity = False

    def __init__(self, exporter: PushingExporter, server: StatsdServer) -> None:
        self._exporter = exporter
        self._server = server

    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        await self._exporter.push(snapshot, sent)

    async def understood(self) -> Mapping[Sample, float]:
        return self._server.known

    def written(self, text: str) -> str:
        return plain(text, at_most=198)


class TestStatsdExporter(ExporterContract):
    @pytest.fixture
    def open_receiver(self, tmp_path: Path) -> OpenReceiver:
        @asynccontextmanager
        async def receiving() -> AsyncIterator[Receiver]:
            async with statsd_server() as (server, port):
                async with open_statsd(StatsdSettings(port=port), Host(tmp_path, Metrics())) as exporter:
                    yield StatsdReceiver(exporter, server)
                server.read()
                assert server.longest_bytes <= 1432, "a packet with several lines fits into a frame"

        return receiving


async def test_a_server_that_is_not_there_is_noticed_and_told_all_when_it_is(tmp_path: Path) -> None:
    metrics, port = Metrics([SENT]), free_port()
    metrics.series(SENT, to="Ana").inc(2)
    async with open_statsd(StatsdSettings(port=port), Host(tmp_path, Metrics())) as exporter:
        with pytest.raises(Unavailable):
            await exporter.push(metrics.snapshot(), [])
        async with statsd_server(port) as (server, _):
            await exporter.push(metrics.snapshot(), [])
            assert server.known == {("sent_total", (("to", "Ana"),)): 2}


async def test_what_it_writes_is_what_servers_of_its_kind_read(tmp_path: Path) -> None:
    metrics = Metrics([SENT, LEVEL])
    metrics.series(SENT, to="Ana").inc(2)
    metrics.series(LEVEL).set(-0.5)
    async with statsd_server() as (server, port):
        settings = StatsdSettings(port=port, prefix="inquiry_svc.")
        async with open_statsd(settings, Host(tmp_path, Metrics())) as exporter:
            await exporter.push(metrics.snapshot(), [])
            await exporter.push(metrics.snapshot(), metrics.snapshot())
    levels = ["inquiry_svc.level:0|g", "inquiry_svc.level:-0.5|g"]
    assert server.lines == ["inquiry_svc.sent_total:2|c|#to:Ana", *levels, *levels]


async def test_a_service_sends_each_period_and_at_its_stop() -> None:
    async with statsd_server() as (server, port):
        settings = {
            "exporters.providers": ("statsd",),
            "exporters.statsd.port": port,
            "exporters.statsd.period_s": 0.05,
        }
        async with running_service(settings) as running:
            sent = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
            async with running.client.post("/api/v1/inquiries/submit", json=sent) as answer:
                assert answer.status == 201
            key = ("inquiries_processed_total", (("status", "success"),))
            async with asyncio.timeout(10):
                while server.known.get(key) != 1:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(0.01)
            for _ in range(2):
                async with running.client.post("/api/v1/inquiries/submit", json=sent) as answer:
                    assert answer.status == 201
        assert server.known[key] == 3
