"""Several workers send as one service: each number once, whoever sends it, dies over it, or leaves last."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from inquiry_svc.testing.exporters import Sample
from tests.acceptance.serving import Serving, serving
from tests.acceptance.test_workers import INQUIRY, STORED, SUBMIT, connecting_anew, scrape
from tests.servers.otlp import Collector, collector, samples
from tests.servers.statsd import statsd_server

ANSWERED = ("http_requests_total", (("endpoint", SUBMIT), ("method", "POST"), ("status", "201")))


async def submit(service: Serving, times: int) -> None:
    async with connecting_anew(service.url) as session:

        async def one() -> None:
            async with session.post(SUBMIT, json=INQUIRY) as answer:
                assert answer.status == 201, await answer.text()

        await asyncio.gather(*(one() for _ in range(times)))
        assert (await scrape(session))[STORED] >= times, "whoever dies now has told its numbers"


async def until_told(service: Serving, message: str, times: int) -> None:
    async with asyncio.timeout(60):
        while sum(line["message"] == message for line in service.logged()) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_what_workers_send_adds_up_to_what_clients_saw_over_deaths_renewals_and_the_stop(tmp_path: Path) -> None:
    async with statsd_server() as (statsd, port), collector() as (collected, url):
        environ = {
            "INQUIRY_EXPORTERS__PROVIDERS": "aioprometheus,statsd,otlp",
            "INQUIRY_EXPORTERS__STATSD__PORT": str(port),
            "INQUIRY_EXPORTERS__STATSD__PERIOD_S": "0.1",
            "INQUIRY_EXPORTERS__OTLP__URL": url,
            "INQUIRY_EXPORTERS__OTLP__PERIOD_S": "0.1",
        }
        async with serving(tmp_path, "--workers", "2", environ=environ) as service:
            for death in range(1, 4):
                await submit(service, 40)
                os.kill(service.workers()[death % 2], signal.SIGKILL)
                await until_told(service, "serving", 2 + death)
            service.signal(signal.SIGHUP)
            await until_told(service, "renewed the workers", 1)
            await submit(service, 40)
            began = beginnings(collected)
            async with connecting_anew(service.url) as session:
                shown = await scrape(session)
            service.signal(signal.SIGTERM)
            assert await service.exit_code(within_s=20) == 0
        told = samples(collected.metrics())
        assert shown[STORED] == told[STORED] == statsd.known[STORED] == 160
        assert shown[ANSWERED] == told[ANSWERED] == statsd.known[ANSWERED] == 160
        for sample in every_histogram(shown):
            assert told[sample] == statsd.known.get(sample, 0) >= shown[sample], sample
        assert beginnings(collected) == began, "a later beginning would mean that counting began again at 0"


def every_histogram(shown: dict[Sample, float]) -> list[Sample]:
    """The counts of those that nothing but requests adds to."""
    names = ("inquiry_processing_duration_seconds", "inquiry_priority_score", "model_prediction_confidence")
    return [(name, labels) for name, labels in shown if name.rpartition("_")[0] in names and not name.endswith("_sum")]


def beginnings(collected: Collector) -> dict[str, set[int]]:

    return {
        metric.name: {point.start_time_unix_nano for point in metric.sum.data_points}
        for metric in collected.metrics()
        if metric.HasField("sum")
    }


async def test_a_sender_that_hangs_holds_up_the_others_for_seconds_only(tmp_path: Path) -> None:
    async with statsd_server() as (statsd, port):
        environ = {
            "INQUIRY_EXPORTERS__PROVIDERS": "aioprometheus,statsd",
            "INQUIRY_EXPORTERS__STATSD__PORT": str(port),
            "INQUIRY_EXPORTERS__STATSD__PERIOD_S": "0.1",
        }
        async with serving(tmp_path, "--workers", "2", environ=environ) as service:
            await submit(service, 20)
            os.kill(service.workers()[0], signal.SIGSTOP)
            async with asyncio.timeout(30):
                while statsd.known.get(STORED) != 20:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(0.05)
            os.kill(service.workers()[0], signal.SIGCONT)
            service.signal(signal.SIGTERM)
            assert await service.exit_code(within_s=20) == 0
        # Twice where it was stopped just after it had sent and before it said so: then another sends that again.
        assert statsd.known[STORED] in (20, 40)
