"""Every query of every panel, asked of a real Prometheus that scrapes a real service while people use it.

What only a cluster has (`Panel.needs`) comes from a page that speaks as one: a node that is busy and one that is not,
pods with their pause containers, and calls that both of their sides report.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml
from aiohttp import web

from monitoring.dashboards import DASHBOARDS
from monitoring.dashboards.panels import Panel
from tests.acceptance.serving import Serving, install_plugin, serving
from tests.model_folders import have_a_shadow
from tests.servers.prometheus import program
from tests.servers.scraping import Prometheus, prometheus
from tests.servers.webhook import told_of, webhook_receiver

LIMIT_S: Final = 75.0
INQUIRIES: Final = "/api/v1/inquiries"
PANELS: Final = {(dashboard.name, panel.question): panel for dashboard in DASHBOARDS for panel in dashboard.panels}
RECORDING: Final = sorted((Path(__file__).parents[2] / "alerting/recording").glob("*.yaml"))
RULE_GROUPS: Final = [group for file in RECORDING for group in yaml.safe_load(file.read_text())["groups"]]

BODIES: Final = (
    "My card was charged twice for March. Please refund one of the payments.",
    "The application crashes whenever I open the report. This is urgent, nobody here can work!",
    "Could you send me an offer for forty seats?",
    "Our lawyers will sue you unless you answer by tomorrow. This is unacceptable!",
    "I love the new search. A dark theme would make it perfect.",
    "When will the interviews for the position take place?",
)
TROUBLE: Final = """
from aiohttp import web
from inquiry_svc.hookspecs import hookimpl

async def trouble(request):
    raise RuntimeError("as wanted")

@hookimpl
def register_routes(service):
    return [web.get("/trouble", trouble)]

@hookimpl
def on_reviewed(event):
    raise RuntimeError("as wanted")
"""


async def test_every_panel_shows_data_and_those_of_the_cluster_the_right_numbers(tmp_path: Path) -> None:
    program("prometheus")
    install_plugin(tmp_path, "trouble", TROUBLE)
    have_a_shadow(tmp_path / "data")
    async with (
        webhook_receiver() as receiver,
        serving(
            tmp_path / "data",
            environ={"PYTHONPATH": str(tmp_path), "INQUIRY_REVIEW__AUDIT_SHARE": "1", **told_of(receiver, "triaged")},
        ) as service,
        cluster() as pages,
        prometheus(scrapes(service, pages), RULE_GROUPS) as server,
        aiohttp.ClientSession(service.url) as client,
    ):
        lacking = dict(PANELS)
        give_up_at = time.monotonic() + LIMIT_S
        for number in itertools.count():
            await use(client, number)
            lacking = {place: panel for place, panel in lacking.items() if not await has_data(server, panel)}
            if not lacking or time.monotonic() > give_up_at:
                break
        assert [*lacking] == []
        while True:
            try:
                await check_numbers(server)
                break
            except AssertionError:  # a rate is too low until its whole window was scraped
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(0.2)


def scrapes(service: Serving, pages: str) -> list[dict[str, Any]]:
    def job(name: str, address: str, path: str = "/metrics", **labels: str) -> dict[str, Any]:
        return {
            "job_name": name,
            "honor_labels": name == "cluster",  # it speaks for several instances
            "metrics_path": path,
            "static_configs": [{"targets": [address], "labels": labels}],
        }

    return [
        job("inquiry-svc", urlsplit(service.url).netloc),
        job("cluster", pages),
        job("istio-mesh", pages, "/empty"),
        job("kubernetes-service-endpoints", pages, "/empty", namespace="inquiries-system"),
    ]


async def use(client: aiohttp.ClientSession, number: int) -> None:
    """Some of everything that people do, and that goes wrong."""
    ids = []
    for body in BODIES:
        sent = {"body": f"{body} ({number})", "sender_email": "ana@example.org"}
        async with client.post(f"{INQUIRIES}/submit", json=sent) as answer:
            assert answer.status == 201, await answer.text()
            ids.append((await answer.json())["inquiry_id"])
    feedback = {"category": "billing", "sentiment": "negative", "urgency": "high", "reviewer": "Bo"}
    sends: list[tuple[str, dict[str, str], int]] = [
        (f"{INQUIRIES}/classify", {"body": BODIES[0]}, 200),
        (f"{INQUIRIES}/{ids[0]}/feedback", feedback, 200),
        (f"{INQUIRIES}/{ids[1]}/feedback", feedback, 200),
        (f"{INQUIRIES}/{ids[0]}/resolve", {}, 200),
        (f"{INQUIRIES}/{ids[1]}/resolve", {"resolved_at": "2099-01-01T00:00:00Z"}, 200),
        (f"{INQUIRIES}/submit", {}, 422),
    ]
    for call, given, status in sends:
        async with client.post(call, json=given) as answer:
            assert answer.status == status, await answer.text()
    for call, status in (("/trouble", 500), ("/nowhere", 404), ("/api/v1/stats", 200)):
        async with client.get(call) as answer:
            assert answer.status == status


async def has_data(server: Prometheus, panel: Panel) -> bool:
    """Each of its queries answers with a number."""
    for query in panel.queries.values():
        found = await server.ask(query.replace("$__rate_interval", "10s"))
        if not any(math.isfinite(value) for _, value in found):
            return False
    return True


async def check_numbers(server: Prometheus) -> None:
    """What a naive query would get wrong: see `lines`."""

    async def shown(dashboard: str, question: str) -> list[tuple[tuple[str, ...], float]]:
        [query] = PANELS[dashboard, question].queries.values()
        found = await server.ask(query.replace("$__rate_interval", "10s"))
        return sorted((tuple(labels[name] for name in sorted(labels)), value) for labels, value in found)

    cluster, mesh = "kubernetes-cluster", "istio-service-mesh"
    assert await shown(cluster, "How much memory has each pod?") == [(("inquiries-system", "api-1"), 100)]
    assert await shown(cluster, "Which container is near its memory limit?") == [
        (("api", "inquiries-system", "api-1"), 0.5)
    ]
    assert await shown(cluster, "Are all replicas available?") == [(("api", "inquiries-system"), 2 / 3)]
    nodes = dict(await shown(cluster, "How busy is each node?"))
    assert nodes == {("busy",): pytest.approx(0.95, abs=0.05), ("idle",): pytest.approx(0.05, abs=0.05)}
    [(_, requests_per_s)] = await shown(mesh, "How many requests does each service get?")
    assert requests_per_s == pytest.approx(100, rel=0.1), "200 if both sides of a call were counted"
    [(_, failing)] = await shown(mesh, "Are their requests failing?")
    assert failing == pytest.approx(0.1, abs=0.01)
    [(_, duration_s)] = await shown(mesh, "How long do their answers take?")
    assert 0.1 <= duration_s <= 0.25, "seconds, though Istio counts milliseconds"


@asynccontextmanager
async def cluster() -> AsyncIterator[str]:
    """The address of pages that speak as a cluster, which has run since they are open."""
    started_at = time.monotonic()

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text="".join(f"{line}\n" for line in lines(time.monotonic() - started_at)))

    async def empty(request: web.Request) -> web.Response:
        return web.Response(text="")

    application = web.Application()
    application.add_routes([web.get("/metrics", metrics), web.get("/empty", empty)])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


def lines(running_s: float) -> Iterator[str]:
    pod = 'namespace="inquiries-system",pod="api-1"'
    api = f'{{{pod},container="api",image="api:1"}}'
    yield f"container_cpu_usage_seconds_total{api} {running_s * 0.4}"
    yield f"container_memory_working_set_bytes{api} 100"
    yield f"container_spec_memory_limit_bytes{api} 200"
    for beside in (f'{{{pod},container="",image=""}}', f'{{{pod},container="POD",image="pause:3"}}'):
        yield f"container_cpu_usage_seconds_total{beside} {running_s * 0.4}"
        yield f"container_memory_working_set_bytes{beside} 102"
        yield f"container_spec_memory_limit_bytes{beside} 0"
    unlimited = f'{{{pod},container="sidecar",image="sidecar:1"}}'
    yield f"container_spec_memory_limit_bytes{unlimited} 0"
    yield f'kube_pod_container_status_restarts_total{{{pod},container="api"}} {running_s // 2}'
    yield f'kube_pod_status_phase{{{pod},phase="Running"}} 1'
    deployment = '{namespace="inquiries-system",deployment="api"}'
    yield f"kube_deployment_status_replicas_available{deployment} 2"
    yield f"kube_deployment_spec_replicas{deployment} 3"
    claim = '{namespace="inquiries-system",persistentvolumeclaim="data"}'
    yield f"kubelet_volume_stats_used_bytes{claim} 30"
    yield f"kubelet_volume_stats_capacity_bytes{claim} 100"
    application = 'name="inquiries-automation",namespace="argocd",project="default"'
    yield f'argocd_app_info{{{application},sync_status="Synced",health_status="Healthy"}} 1'
    yield f'argocd_app_sync_total{{{application},phase="Failed"}} {running_s // 5}'
    for reporter in ("source", "destination"):
        call = f'reporter="{reporter}",source_workload="gateway",destination_service_name="api"'
        yield f'istio_requests_total{{{call},response_code="200"}} {running_s * 90}'
        yield f'istio_requests_total{{{call},response_code="503"}} {running_s * 10}'
        for bound, share in (("100", 0.5), ("250", 1), ("+Inf", 1)):
            name = "istio_request_duration_milliseconds_bucket"
            yield f'{name}{{{call},response_code="200",le="{bound}"}} {running_s * 90 * share}'
    probe = '{job="inquiry-svc-probe",instance="https://inquiries.test/api/v1/inquiries/classify"}'
    yield f"probe_success{probe} 1"
    yield f"probe_duration_seconds{probe} 0.02"
    for node, idle in (("busy", 0.05), ("idle", 0.95)):
        yield f'node_cpu_seconds_total{{instance="{node}",cpu="0",mode="idle"}} {running_s * idle}'
        yield f'node_cpu_seconds_total{{instance="{node}",cpu="0",mode="user"}} {running_s * (1 - idle)}'
