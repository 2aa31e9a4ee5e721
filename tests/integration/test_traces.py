"""What becomes of a request in traces: its spans, how they hang together, the ids that it leaves, and never a text."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.propagate import inject
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from inquiry_svc.config import load_settings
from inquiry_svc.contracts import Submit
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Text, Verdict
from inquiry_svc.logs import logging_to
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.service import Service
from inquiry_svc.settings import LoggingSettings
from inquiry_svc.testing.providers import FunctionClassifier, FunctionSource, Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.testing.samples import sample_verdict
from inquiry_svc.testing.tracers import CALLER
from tests.servers.otlp import Collector, Told, collector

PAGE: Final = Path(__file__).parents[2] / "monitoring/TRACES.md"
SUBMIT: Final = "/api/v1/inquiries/submit"
BODY: Final = "My card was charged twice."
INQUIRY: Final = {"subject": "Zwetschge", "body": BODY, "sender_email": "ana.canary@example.org"}


@dataclass(frozen=True, slots=True)
class Traced:
    running: Running
    collector: Collector

    async def submit(self, body: str = BODY, **headers: str) -> tuple[int, str]:
        """Status and the trace's id as the answer has it."""
        sent = {**INQUIRY, "body": body}
        async with self.running.client.post(SUBMIT, json=sent, headers=headers) as answer:
            await answer.read()
            return answer.status, answer.headers["traceresponse"].split("-")[1]


@asynccontextmanager
async def traced_service(settings: dict[str, Any] | None = None, *plugins: object) -> AsyncIterator[Traced]:
    """On leaving, every span has arrived."""
    async with collector() as (found, url):
        tracing = {"tracing.provider": "otlp", "tracing.otlp.url": url.replace("/v1/metrics", "/v1/traces")}
        async with running_service({**tracing, **(settings or {})}, plugins=plugins) as running:
            yield Traced(running, found)


def named(spans: Iterable[Told], name: str) -> list[Told]:
    return [span for span in spans if span.name == name]


def one(spans: Iterable[Told], name: str) -> Told:
    [span] = named(spans, name)
    return span


async def test_a_request_and_the_batches_that_it_was_in() -> None:
    settings = {"cache.provider": "memory", "store.provider": "sqlite"}
    async with traced_service(settings) as traced:
        status, trace_id = await traced.submit()
    spans = traced.collector.spans()
    assert status == 201
    assert Counter(span.name for span in spans) == Counter(
        [
            *(f"POST {SUBMIT}", "classify batch", "cache get", "classifier", "cache put"),
            *("store batch", "router", "store save"),
        ]
    )
    request = one(spans, f"POST {SUBMIT}")
    assert (request.trace_id, request.parent_id, request.kind) == (trace_id, "", "server")
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": SUBMIT,
        "http.response.status_code": 201,
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }
    batches = {"classify batch": ("cache get", "classifier", "cache put"), "store batch": ("router", "store save")}
    for name, parts in batches.items():
        batch = one(spans, name)
        assert (batch.parent_id, batch.kind, batch.links) == ("", "internal", {request.place})
        assert batch.attributes == {"inquiry_svc.batch.size": 1}
        for part in (one(spans, each) for each in parts):
            assert (part.trace_id, part.parent_id) == (batch.trace_id, batch.span_id)
            assert batch.span.start_time_unix_nano <= part.span.start_time_unix_nano
            assert part.span.end_time_unix_nano <= batch.span.end_time_unix_nano
    assert request.links == {one(spans, name).place for name in batches}
    assert one(spans, "cache get").attributes == {
        "inquiry_svc.provider": "memory",
        "inquiry_svc.batch.size": 1,
        "inquiry_svc.cache.hits": 0,
    }
    assert one(spans, "classifier").attributes["inquiry_svc.model.name"] == "keyword"
    assert one(spans, "router").attributes["inquiry_svc.provider"] == "rules"
    save = one(spans, "store save")
    assert (save.kind, save.attributes["db.system.name"], save.attributes["db.operation.name"]) == (
        "client",
        "sqlite",
        "save",
    )
    assert {span.resource["service.name"] for span in spans} == {"inquiry-svc"}
    assert not any(span.failed for span in spans)
    told_of = set(re.findall("`([a-z_.]+)`", PAGE.read_text()))
    assert {name for span in spans for name in span.attributes} <= told_of


@pytest.mark.parametrize("block", re.findall(r"^ *```toml\n(.*?)^ *```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
def test_the_settings_of_the_page_can_be_set(block: str, tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text(block)
    _, effective = load_settings(Offers(build_manager()), file=file)
    assert any(each.origin == str(file) for each in effective)


async def test_one_batch_is_linked_with_every_request_that_it_works_for() -> None:
    gate, held = asyncio.Event(), asyncio.Event()

    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        if texts[0].body == "first":  # and no health check
            held.set()
            await gate.wait()
        return [sample_verdict() for _ in texts]

    settings = {"classifier.provider": "given"}
    async with traced_service(settings, Offering(classifier=FunctionClassifier(classify))) as traced:
        first = asyncio.create_task(traced.submit("first"))
        await held.wait()
        others = [asyncio.create_task(traced.submit(f"other {number}")) for number in range(7)]
        await until_in_flight(traced.running.service, 8)
        gate.set()
        trace_ids = [trace_id for _, trace_id in await asyncio.gather(first, *others)]
    requests = {span.trace_id: span for span in named(traced.collector.spans(), f"POST {SUBMIT}")}
    alone, together = named(traced.collector.spans(), "classify batch")
    assert (alone.links, alone.attributes["inquiry_svc.batch.size"]) == ({requests[trace_ids[0]].place}, 1)
    assert together.links == {requests[trace_id].place for trace_id in trace_ids[1:]}
    assert together.attributes["inquiry_svc.batch.size"] == 7
    assert all(together.place in requests[trace_id].links for trace_id in trace_ids[1:])


async def until_in_flight(service: Service, count: int) -> None:
    async with asyncio.timeout(20):
        while {f.metric.name: f for f in service.metrics.snapshot()}["inquiries_in_flight"].values[()] != count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_bulk_upload_is_one_request_whose_batches_are_linked_with_it_once() -> None:
    lines = "".join(json.dumps({**INQUIRY, "body": f"{BODY} {number}"}) + "\n" for number in range(50))
    async with traced_service() as traced:
        headers = {"Content-Type": "application/x-ndjson"}
        async with traced.running.client.post("/api/v1/inquiries/bulk", data=lines, headers=headers) as answer:
            assert len((await answer.text()).splitlines()) == 50
            trace_id = answer.headers["traceresponse"].split("-")[1]
    spans = traced.collector.spans()
    request = one(spans, "POST /api/v1/inquiries/bulk")
    batches = named(spans, "classify batch") + named(spans, "store batch")
    assert request.trace_id == trace_id
    assert all(batch.links == {request.place} and len(batch.span.links) == 1 for batch in batches)
    assert sum(batch.attributes["inquiry_svc.batch.size"] for batch in batches) == 100
    assert request.links == {batch.place for batch in batches}


async def test_the_callers_trace_goes_through_and_on_to_whom_a_plugin_calls() -> None:
    async with collector() as (called, url):  # any server would do: its headers are looked at
        calls = Calling(url.replace("/v1/metrics", "/v1/traces"))
        async with traced_service({"classifier.provider": "given"}, calls, calls.offering) as traced:
            async with traced.running.client.get("/calling", headers=CALLER) as answer:
                assert answer.headers["traceresponse"].startswith(f"00-{'ab' * 16}-")
            from_request = called.headers
            await traced.submit()
            from_batch = called.headers
    spans = traced.collector.spans()
    request = one(spans, "GET /calling")
    assert (request.trace_id, request.parent_id) == ("ab" * 16, "cd" * 8)
    assert from_request["traceparent"] == f"00-{'ab' * 16}-{request.span_id}-01"
    assert from_request["tracestate"] == CALLER["tracestate"]
    classifier = one(spans, "classifier")
    assert from_batch["traceparent"].startswith(f"00-{classifier.trace_id}-{classifier.span_id}-")


class Calling:
    """A plugin that calls another server: from a route of its own, and from a classifier."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.offering = Offering(classifier=FunctionClassifier(self._classify))

    @hookimpl
    def register_routes(self) -> Iterable[web.AbstractRouteDef]:
        return [web.get("/calling", self._route)]

    async def _route(self, request: web.Request) -> web.Response:
        await self._call()
        return web.Response()

    async def _classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        await self._call()
        return [sample_verdict() for _ in texts]

    async def _call(self) -> None:
        headers: dict[str, str] = {}
        inject(headers)
        async with aiohttp.ClientSession() as client, client.post(self._url, headers=headers) as answer:
            assert answer.status == 200


async def test_a_message_of_a_source_goes_on_with_the_trace_of_who_sent_it() -> None:
    done = asyncio.Event()

    async def bring(submit: Submit, stopping: asyncio.Event) -> None:
        await submit(json.dumps(INQUIRY).encode(), key="1", caller=CALLER)
        await submit(json.dumps(INQUIRY).encode(), key="2")
        done.set()
        await stopping.wait()

    async with traced_service({"sources.providers": ("given",)}, Offering(source=FunctionSource(bring))) as traced:
        await asyncio.wait_for(done.wait(), 20)
    first, second = named(traced.collector.spans(), "process given")
    assert (first.trace_id, first.parent_id, first.kind) == ("ab" * 16, "cd" * 8, "consumer")
    assert first.attributes == {"messaging.operation.name": "process", "messaging.system": "given"}
    assert second.parent_id == ""
    assert {place for batch in named(traced.collector.spans(), "store batch") for place in batch.links} == {
        first.place,
        second.place,
    }


# What goes wrong


async def test_a_failure_is_told_where_it_happened_by_type_alone() -> None:
    async def fail(texts: Sequence[Text]) -> Sequence[Verdict]:
        raise LookupError(f"can't read {texts[0].body}")

    settings = {"classifier.provider": "given", "classifier.fallback": "given"}
    async with traced_service(settings, Offering(classifier=FunctionClassifier(fail))) as traced:
        status, trace_id = await traced.submit()
    spans = traced.collector.spans()
    failed = {span.name: span.attributes["error.type"] for span in spans if span.failed}
    assert status == 500
    assert failed == {
        "classifier": "LookupError",
        "fallback classifier": "LookupError",
        "classify batch": "TriageFailed",
        f"POST {SUBMIT}": "500",
    }
    assert one(spans, "classify batch").attributes["inquiry_svc.batch.failed"] == 1
    assert one(spans, f"POST {SUBMIT}").trace_id == trace_id


async def test_a_request_that_is_refused_did_not_fail() -> None:
    async with traced_service() as traced:
        async with traced.running.client.post(SUBMIT, json={}) as answer:
            assert answer.status == 422
        async with traced.running.client.get("/nowhere/ana.canary@example.org") as answer:
            assert answer.status == 404
        async with traced.running.client.request("PROPFIND", SUBMIT) as answer:
            assert answer.status == 405
    refused, nowhere, other = traced.collector.spans()
    assert (refused.attributes["http.response.status_code"], refused.failed) == (422, False)
    assert (nowhere.name, "http.route" in nowhere.attributes) == ("GET", False)
    assert (other.name, other.attributes["http.request.method"]) == ("HTTP", "_OTHER")


async def test_a_client_that_hangs_up_leaves_a_span_that_says_so() -> None:
    held = asyncio.Event()

    async def hang(texts: Sequence[Text]) -> Sequence[Verdict]:
        if texts[0].body == BODY:  # and no health check
            held.set()
            await asyncio.Event().wait()
        return [sample_verdict() for _ in texts]

    settings = {"classifier.provider": "given", "classifier.timeout_s": 60.0, "batching.deadline_s": 60.0}
    async with traced_service(settings, Offering(classifier=FunctionClassifier(hang))) as traced:
        task = asyncio.create_task(traced.submit())
        await held.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await traced.collector.until(lambda spans: bool(named(spans, f"POST {SUBMIT}")))
    request = one(traced.collector.spans(), f"POST {SUBMIT}")
    assert (request.failed, request.attributes["error.type"]) == (True, "CancelledError")
    assert "http.response.status_code" not in request.attributes


@pytest.mark.parametrize("ill", ["away", "hangs", "refuses"])
async def test_a_collector_that_is_ill_hurts_no_request(ill: str) -> None:
    async with traced_service({"tracing.otlp.period_s": 0.01, "tracing.otlp.max_waiting": 30}) as traced:
        if ill == "hangs":
            traced.collector.open.clear()
        traced.collector.status = {"away": 503, "hangs": 200, "refuses": 400}[ill]
        answers = await asyncio.gather(*(traced.submit(f"{BODY} {number}") for number in range(60)))
        assert {status for status, _ in answers} == {201}
        async with traced.running.client.get("/metrics") as answer:
            page = await answer.text()
    lost = re.findall(r'^trace_spans_dropped_total\{reason="(?:too_many|refused)"\} (.*)', page, re.MULTILINE)
    assert sum(map(float, lost)) > 0, "60 requests leave more than 30 spans"


# What it leaves behind


async def test_log_lines_and_problems_name_the_trace() -> None:
    stream = io.StringIO()
    with logging_to(stream, LoggingSettings(format="json", level="info")):
        async with traced_service() as traced:
            async with traced.running.client.post(SUBMIT, json={}, headers={"X-Request-ID": "r1"}) as answer:
                problem = await answer.json()
            async with traced.running.client.post(SUBMIT, json={}, headers=CALLER) as answer:
                assert (await answer.json())["trace_id"] == "ab" * 16
    [span, _] = traced.collector.spans()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    [line] = [line for line in lines if line["request_id"] == "r1"]
    assert (line["status"], line["trace_id"], line["span_id"]) == (422, span.trace_id, span.span_id)
    assert (problem["request_id"], problem["trace_id"]) == ("r1", span.trace_id)
    assert [line for line in lines if line["request_id"] is None and "trace_id" in line] == []


async def test_what_is_not_recorded_has_ids_all_the_same() -> None:
    async with traced_service({"tracing.otlp.sample_ratio": 0.0, "exporters.providers": ("openmetrics",)}) as traced:
        async with traced.running.client.post(SUBMIT, json={}) as answer:
            problem = await answer.json()
            assert answer.headers["traceresponse"].split("-")[1::2] == [problem["trace_id"], "00"]
        await traced.submit()
        assert await exemplars(traced) == {}
    assert traced.collector.spans() == []


async def test_every_histogram_that_a_request_was_counted_in_leads_to_its_trace_or_its_batch() -> None:
    async with traced_service({"exporters.providers": ("aioprometheus", "openmetrics")}) as traced:
        _, trace_id = await traced.submit()
        found = await exemplars(traced)
        async with traced.running.client.get("/metrics") as answer:
            assert "trace_id" not in await answer.text(), "Prometheus text has no exemplars"
    spans = traced.collector.spans()
    classified, stored = one(spans, "classify batch"), one(spans, "store batch")
    request = one(spans, f"POST {SUBMIT}")
    assert request.trace_id == trace_id
    assert found == {
        "http_request_duration_seconds": request.place,
        "inquiry_processing_duration_seconds": request.place,
        "model_inference_duration_seconds": classified.place,
        "model_prediction_confidence": classified.place,
        "inquiry_priority_score": stored.place,
        "db_query_duration_seconds": (stored.trace_id, one(spans, "store save").span_id),
    }


async def exemplars(traced: Traced) -> dict[str, tuple[str, str]]:
    """By histogram, as Prometheus's own parser of OpenMetrics reads them; it refuses what is past the limits."""
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with traced.running.client.get("/metrics", headers=headers) as answer:
        page = await answer.text()
    families: Any = text_string_to_metric_families(page)  # type: ignore[no-untyped-call]
    found = [(family.name, sample.exemplar) for family in families for sample in family.samples if sample.exemplar]
    assert all(set(each.labels) == {"trace_id", "span_id"} and each.timestamp for _, each in found)
    return {name: (each.labels["trace_id"], each.labels["span_id"]) for name, each in found}


async def test_nothing_of_what_people_write_gets_into_a_span() -> None:
    async def fail(texts: Sequence[Text]) -> Sequence[Verdict]:
        raise ValueError(texts[0].body)

    canaries = ("canary", "Zwetschge", "charged")
    hostile = {"X-Request-ID": "ana.canary@example.org", "User-Agent": "ana.canary@example.org"}
    async with traced_service(
        {"classifier.provider": "given"}, Offering(classifier=FunctionClassifier(fail))
    ) as traced:
        await traced.submit(**hostile)
        async with traced.running.client.post(f"{SUBMIT}?who=ana.canary@example.org", json={"body": "Zwetschge"}) as _:
            pass
        async with traced.running.client.get("/api/v1/inquiries?cursor=canary") as _:
            pass
        async with traced.running.client.get("/api/v1/inquiries/canary") as _:
            pass
    told = [str(request) for request in traced.collector.traces]
    assert len(traced.collector.spans()) >= 8
    assert [(word, each) for word in canaries for each in told if word in each] == []


async def test_what_the_service_does_for_nobody_leaves_no_span() -> None:
    async with traced_service() as traced:
        for path in ("/metrics", "/api/v1/metrics", "/api/v1/health", "/api/v1/health/live", "/api/v1/health/ready"):
            async with traced.running.client.get(path, headers=CALLER) as answer:
                assert answer.status == 200
                assert "traceresponse" not in answer.headers
        await traced.running.service.health.ask()
    assert traced.collector.spans() == []


def test_untraced_requests_load_and_run_nothing_of_tracing_and_name_no_trace() -> None:
    script = """
import asyncio, sys
from inquiry_svc.testing.running import running_service

ran = set()

async def main():
    sys.setprofile(lambda frame, event, argument: ran.add(frame.f_code.co_filename))
    async with running_service({"store.provider": "sqlite", "cache.provider": "memory"}) as running:
        for body in ({"body": "Charged twice.", "sender_email": "ana@example.org"}, {}):
            async with running.client.post("/api/v1/inquiries/submit", json=body) as answer:
                text = await answer.text()
                print(answer.status, "trace_id" in text, "traceresponse" in answer.headers)
    print(sorted(name for name in sys.modules if name.startswith(("opentelemetry", "google"))))
    sys.setprofile(None)
    of_tracing = ("/tracing.py", "/traced.py", "/exemplars.py", "/outbox.py", "/tracer.py")
    print(any(file.endswith("inquiry_svc/pipeline.py") for file in ran), [f for f in ran if f.endswith(of_tracing)])

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["201 False False", "422 False False", "[]", "True []"]
