"""The tracer `otlp` fits, samples as it is told, and loses no more than it must when the collector is ill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.contracts import Host
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.tracers import CALLER, Arrived, OpenTracer, TracerContract
from inquiry_svc.tracing import Tracer, begin_trace
from inquiry_svc_plugins.tracers.otlp import DROPPED, SENT, WAITING, OtlpSettings, open_otlp, register_metrics
from tests.servers import free_port
from tests.servers.otlp import Collector, Told, collector


@asynccontextmanager
async def opened(folder: Path, url: str, **settings: Any) -> AsyncIterator[tuple[Tracer, Metrics]]:
    metrics = Metrics(register_metrics())
    async with open_otlp(OtlpSettings(url, **{"period_s": 0.02, **settings}), Host(folder, metrics)) as tracer:
        yield tracer, metrics


def traced(tracer: Tracer, times: int = 1, *, caller: dict[str, str] | None = None) -> None:
    for number in range(times):
        with begin_trace(tracer, f"span {number}", "server", {}, caller=caller or {}):
            pass


async def until(metrics: Metrics, sent: int) -> None:
    async with asyncio.timeout(20):
        while metrics.series(SENT).value < sent:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class TestOtlpTracer(TracerContract):
    @pytest.fixture
    def open_tracer(self, tmp_path: Path) -> OpenTracer:
        @asynccontextmanager
        async def tracing() -> AsyncIterator[tuple[Tracer, Arrived]]:
            async with collector() as (found, url), opened(tmp_path, traces(url)) as (tracer, _):

                async def arrived(count: int) -> Sequence[Told]:
                    return await found.until(lambda spans: len(spans) >= count)

                yield tracer, arrived

        return tracing


def traces(url: str) -> str:
    return url.replace("/v1/metrics", "/v1/traces")


async def test_who_sends_and_with_which_headers_is_told(tmp_path: Path) -> None:
    who = {"instance_id": "one", "headers": "x-key=a=b"}
    async with collector() as (found, url), opened(tmp_path, traces(url), **who) as (tracer, _):
        traced(tracer)
    [span] = found.spans()
    assert span.resource.keys() == {"service.name", "service.version", "service.instance.id"}
    assert (span.resource["service.name"], span.resource["service.instance.id"]) == ("inquiry-svc", "one")
    assert (found.headers["x-key"], found.headers["Content-Encoding"]) == ("a=b", "gzip")


async def test_the_environment_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SERVICE_NAME": "other", "RESOURCE_ATTRIBUTES": "a=b", "TRACES_SAMPLER": "always_off"}.items():
        monkeypatch.setenv(f"OTEL_{name}", value)
    async with collector() as (found, url), opened(tmp_path, traces(url)) as (tracer, _):
        traced(tracer)
    [span] = found.spans()
    assert (span.resource["service.name"], "a" in span.resource) == ("inquiry-svc", False)


@pytest.mark.parametrize(
    ("settings", "flag", "recorded"),
    [
        ({"sample_ratio": 0.0}, None, False),
        ({"sample_ratio": 1.0}, None, True),
        ({"sample_ratio": 0.0}, "01", True),
        ({"sample_ratio": 1.0}, "00", False),
        ({"sample_ratio": 0.0, "follow_caller": False}, "01", False),
        ({"sample_ratio": 1.0, "follow_caller": False}, "00", True),
    ],
)
async def test_who_decides_what_is_recorded(
    tmp_path: Path, settings: dict[str, Any], flag: str | None, recorded: bool
) -> None:
    caller = {} if flag is None else {"traceparent": CALLER["traceparent"][:-2] + flag}
    async with collector() as (found, url), opened(tmp_path, traces(url), **settings) as (tracer, _):
        traced(tracer, caller=caller)
    assert [span.name for span in found.spans()] == ["span 0"] * recorded


async def test_a_share_of_the_traces_is_recorded(tmp_path: Path) -> None:
    async with collector() as (found, url), opened(tmp_path, traces(url), sample_ratio=0.25) as (tracer, _):
        traced(tracer, 2000)
    assert 350 < len(found.spans()) < 650, "500 give or take 19: eight times that is no chance"


async def test_more_than_may_wait_are_dropped_and_counted(tmp_path: Path) -> None:
    few = {"max_waiting": 700, "period_s": 60}
    async with collector() as (found, url), opened(tmp_path, traces(url), **few) as (tracer, metrics):
        traced(tracer, 1000)
        assert metrics.series(WAITING).value == 700
        assert metrics.series(DROPPED, reason="too_many").value == 300
    assert [span.name for span in found.spans()] == [f"span {number}" for number in range(700)]
    assert (found.requests, metrics.series(SENT).value, metrics.series(WAITING).value) == (2, 700, 0)


async def test_spans_wait_while_the_collector_is_away_and_go_once_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with collector() as (found, url):
        found.status = 503
        async with opened(tmp_path, traces(url)) as (tracer, metrics):
            traced(tracer, 5)
            await tried(found, 3)
            found.status = 200
            await until(metrics, 5)
    assert len(found.spans()) == 5
    assert [record.getMessage() for record in caplog.records] == [
        "the spans of traces can't be sent; trying again each period"
    ]


async def test_what_the_collector_will_never_take_is_dropped(tmp_path: Path) -> None:
    async with collector() as (found, url):
        found.status = 400
        async with opened(tmp_path, traces(url)) as (tracer, metrics):
            traced(tracer, 5)
            await tried(found, 1)
            found.status = 200
            traced(tracer, 2)
            await until(metrics, 2)
    assert metrics.series(DROPPED, reason="refused").value == 5
    assert len(found.spans()) == 2


async def tried(found: Collector, times: int) -> None:
    async with asyncio.timeout(20):
        while found.requests < times:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_collector_that_hangs_holds_up_the_stop_for_a_second_only(tmp_path: Path) -> None:
    async with collector() as (found, url), asyncio.timeout(30):
        found.open.clear()
        async with opened(tmp_path, traces(url), timeout_s=3600, period_s=3600) as (tracer, metrics):
            traced(tracer, 5)
    assert metrics.series(DROPPED, reason="stopped").value == 5


async def test_a_collector_that_is_not_there_keeps_nobody_from_starting_and_stopping(tmp_path: Path) -> None:
    async with opened(tmp_path, f"http://127.0.0.1:{free_port()}/v1/traces") as (tracer, metrics):
        traced(tracer, 5)
    assert metrics.series(DROPPED, reason="stopped").value == 5


async def test_headers_that_are_none_stop_the_start_and_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\[tracing.otlp\] headers can't be \*\*\*"):
        async with opened(tmp_path, "http://127.0.0.1:1/v1/traces", headers="secret"):
            pass
