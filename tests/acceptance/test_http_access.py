"""Who may call what, how often, from which page, and what is written down of it: asked of a running service."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from inquiry_svc.api_keys import SCOPES, Scope, make_key, needs
from inquiry_svc.catalogue import HTTP_REFUSED
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.logs import AUDIT
from inquiry_svc.service import Service
from inquiry_svc.testing.problems import problem_of
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.web.endpoint import Endpoint
from inquiry_svc.web.routes import ENDPOINTS
from tests.api_keys import bearing, with_keys, written_keys

SUBMIT: Final = "/api/v1/inquiries/submit"
INQUIRY: Final = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
NOWHERE: Final = "01a21482-a654-72cd-b233-a80edd837d83"
SCOPED: Final = [endpoint for endpoint in ENDPOINTS if endpoint.scope is not None]
OPEN: Final = [endpoint for endpoint in ENDPOINTS if endpoint.scope is None]


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


class Hidden(web.AbstractRouteDef):
    """Adds a route that it does not tell of."""

    def register(self, router: web.UrlDispatcher) -> list[web.AbstractRoute]:
        router.add_get("/hidden", unmarked)
        return []


async def unmarked(request: web.Request) -> web.Response:
    return web.Response(text="unmarked")


class Routes:
    """A plugin with routes: one says what it needs, one does not."""

    @hookimpl
    def register_routes(self, service: Service) -> Iterable[web.AbstractRouteDef]:
        return [web.get("/marked", self.marked), web.get("/unmarked", unmarked), Hidden()]

    @needs("read")
    async def marked(self, request: web.Request) -> web.Response:
        return web.Response(text="marked")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    return written_keys(folder / "keys")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(folder: Path, keys: Mapping[str, str]) -> AsyncIterator[Running]:
    """One with a key for each scope; no test here changes what another sees."""
    async with running_service(with_keys(folder / "keys"), plugins=[Routes()]) as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def status(running: Running, endpoint: Endpoint, headers: Mapping[str, str]) -> int:
    path = endpoint.path.replace("{inquiry_id}", NOWHERE)
    async with running.client.request(endpoint.method, path, headers=headers) as answer:
        await answer.read()
        return answer.status


def refused(running: Running, reason: str) -> float:
    return running.service.metrics.series(HTTP_REFUSED, reason=reason).value


# Keys and scopes


@pytest.mark.parametrize("endpoint", SCOPED, ids=name_of)
async def test_without_a_key_nothing_is_said_but_how_to_send_one(running: Running, endpoint: Endpoint) -> None:
    before = refused(running, "no_key")
    path = endpoint.path.replace("{inquiry_id}", NOWHERE)
    async with running.client.request(endpoint.method, path) as answer:
        document = await problem_of(answer, 401)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="inquiry-svc"'
    assert document["type"] == "/problems/unauthorized"
    assert refused(running, "no_key") == before + 1


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("endpoint", SCOPED, ids=name_of)
async def test_a_key_may_do_what_its_scope_says_and_no_more(
    running: Running, keys: Mapping[str, str], endpoint: Endpoint, scope: Scope
) -> None:
    found = await status(running, endpoint, bearing(keys[scope]))
    if scope in (endpoint.scope, "admin"):
        assert found not in (401, 403), "refused"
    else:
        assert found == 403


@pytest.mark.parametrize("endpoint", OPEN, ids=name_of)
async def test_health_and_the_document_need_no_key(running: Running, endpoint: Endpoint) -> None:
    assert await status(running, endpoint, {}) == 200
    assert await status(running, endpoint, bearing("nonsense")) == 200


async def test_to_ask_for_the_head_takes_what_asking_for_all_takes(running: Running, keys: Mapping[str, str]) -> None:
    for path, key, wanted in (
        ("/api/v1/health", None, 200),
        ("/docs", None, 200),
        ("/api/v1/stats", None, 401),
        ("/api/v1/stats", "submit", 403),
        ("/api/v1/stats", "read", 200),
        ("/marked", "read", 200),
        ("/marked", "submit", 403),
    ):
        async with running.client.head(path, headers=bearing(keys[key]) if key else {}) as answer:
            assert answer.status == wanted, (path, key)


async def test_a_key_without_the_scope_is_told_which_one_it_takes(running: Running, keys: Mapping[str, str]) -> None:
    async with running.client.get("/api/v1/stats", headers=bearing(keys["submit"])) as answer:
        document = await problem_of(answer, 403)
        assert 'error="insufficient_scope", scope="read"' in answer.headers["WWW-Authenticate"]
    assert "takes the scope read" in document["detail"]


async def test_a_plugins_route_takes_what_it_says_or_else_admin(running: Running, keys: Mapping[str, str]) -> None:
    for path, allowed in (("/marked", {"read", "admin"}), ("/unmarked", {"admin"}), ("/hidden", {"admin"})):
        for scope in SCOPES:
            async with running.client.get(path, headers=bearing(keys[scope])) as answer:
                assert (answer.status == 200) == (scope in allowed), (path, scope)
        async with running.client.get(path) as answer:
            assert answer.status == 401


async def test_a_key_may_come_in_a_header_of_its_own_which_goes_first(
    running: Running, keys: Mapping[str, str]
) -> None:
    mine = {"X-API-Key": keys["read"]}
    for headers, wanted in (
        (mine, 200),
        ({**mine, "Authorization": "Bearer of-somebody-in-front"}, 200),
        ({**mine, "Authorization": "Basic YTpi"}, 200),
        ({"X-API-Key": "no", **bearing(keys["read"])}, 401),
        ({"Authorization": f"bearer  {keys['read']} "}, 200),
        ({"Authorization": f"Basic {keys['read']}"}, 401),
        ({"Authorization": keys["read"]}, 401),
        ({"Cookie": f"key={keys['read']}"}, 401),
    ):
        async with running.client.get("/api/v1/stats", headers=headers) as answer:
            assert answer.status == wanted, headers


async def test_the_document_says_what_each_call_takes(running: Running) -> None:
    async with running.client.get("/api/v1/openapi.json") as answer:
        document = await answer.json()
    schemes = document["components"]["securitySchemes"]
    assert {(each["type"], each.get("scheme"), each.get("name")) for each in schemes.values()} == {
        ("http", "bearer", None),
        ("apiKey", None, "X-API-Key"),
    }
    for endpoint in ENDPOINTS:
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        wanted = [] if endpoint.scope is None else [{name: [endpoint.scope]} for name in schemes]
        assert operation["security"] == wanted
        assert ({"401", "403", "429"} <= operation["responses"].keys()) == (endpoint.scope is not None)


async def test_a_key_is_replaced_without_a_gap_and_taken_back_while_running(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    old = written_keys(file, {"website": ("submit",), "boss": ("admin",)})["website"]
    async with running_service(with_keys(file)) as running:

        async def submitted(key: str) -> int:
            async with running.client.post(SUBMIT, json=INQUIRY, headers=bearing(key)) as answer:
                return answer.status

        new = written_keys(file, {"website": ("submit",)})["website"]
        async with asyncio.timeout(10):
            while await submitted(new) != 201:
                assert await submitted(old) == 201
        kept = [line for line in file.read_text().splitlines() if old[4:12] not in line]
        file.write_text("\n".join(kept))
        async with asyncio.timeout(10):
            while await submitted(old) != 401:
                assert await submitted(new) == 201
        assert await submitted(new) == 201


async def test_a_key_that_has_expired_is_refused_as_such(tmp_path: Path) -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    presented, kept = make_key("website", ["submit"], yesterday)
    (tmp_path / "keys").write_text(kept.line())
    async with running_service(with_keys(tmp_path / "keys")) as running:
        async with running.client.post(SUBMIT, json=INQUIRY, headers=bearing(presented)) as answer:
            assert "expired" in (await problem_of(answer, 401))["detail"]
        assert refused(running, "expired_key") == 1


async def test_metrics_may_be_left_open(tmp_path: Path) -> None:
    written_keys(tmp_path / "keys")
    async with running_service(with_keys(tmp_path / "keys", auth__open_metrics=True)) as running:
        async with running.client.get("/metrics") as answer:
            assert answer.status == 200
        async with running.client.get("/api/v1/stats") as answer:
            assert answer.status == 401


async def test_without_keys_and_limits_no_middleware_is_there(tmp_path: Path) -> None:
    """What nobody asked for costs nothing: it is not there."""
    async with running_service() as running, running.client.get("/api/v1/stats", headers=bearing("nonsense")) as answer:
        assert answer.status == 200
        assert not {"RateLimit", "RateLimit-Policy", "Vary"} & answer.headers.keys()
    assert "http_requests_refused_total" in {each.metric.name for each in running.service.metrics.snapshot()}


# Limits


async def test_past_the_limit_a_caller_is_told_when_to_come_again_and_others_are_served(tmp_path: Path) -> None:
    keys = written_keys(tmp_path / "keys", {"one": ("read",), "two": ("read",)})
    async with running_service(with_keys(tmp_path / "keys", limits__requests=3, limits__window_s=3600)) as running:
        for left in (2, 1, 0):
            async with running.client.get("/api/v1/stats", headers=bearing(keys["one"])) as answer:
                assert answer.status == 200
                assert answer.headers["RateLimit-Policy"] == '"default";q=3;w=3600'
                found = re.fullmatch(r'"default";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
                assert found
                assert int(found[1]) == left
                assert 3500 < int(found[2]) <= 3600
        async with running.client.get("/api/v1/inquiries", headers=bearing(keys["one"])) as answer:
            document = await problem_of(answer, 429)
            assert answer.headers["RateLimit"] == f'"default";r=0;t={answer.headers["Retry-After"]}'
        assert document["type"] == "/problems/too-many-requests"
        assert refused(running, "rate_limit") == 1
        async with running.client.get("/api/v1/stats", headers=bearing(keys["two"])) as answer:
            assert answer.status == 200
        for path in ("/api/v1/health", "/api/v1/health/live", "/docs"):
            async with running.client.get(path) as answer:
                assert answer.status == 200
                assert "RateLimit" not in answer.headers


async def test_two_keys_of_one_name_share_what_it_has(tmp_path: Path) -> None:
    old, new = (written_keys(tmp_path / "keys", {"one": ("read",)})["one"] for _ in range(2))
    async with running_service(with_keys(tmp_path / "keys", limits__requests=1)) as running:
        found = []
        for key in (old, new):
            async with running.client.get("/api/v1/stats", headers=bearing(key)) as answer:
                found.append(answer.status)
    assert found == [200, 429]


async def test_without_keys_an_address_is_the_caller(tmp_path: Path) -> None:
    async with running_service({"limits.requests": 2}) as running:
        found = []
        for number in range(3):
            headers = {"X-Forwarded-For": f"10.0.0.{number}"}
            async with running.client.get("/api/v1/stats", headers=headers) as answer:
                found.append(answer.status)
        assert found == [200, 200, 429], "whoever calls could write any address into a header"


async def test_a_refused_upload_says_its_limits_too(tmp_path: Path) -> None:
    async with running_service({"limits.requests": 1}) as running:
        for wanted in (200, 429):
            headers = {"Content-Type": "application/x-ndjson"}
            async with running.client.post("/api/v1/inquiries/bulk", data=b"x\n", headers=headers) as answer:
                assert answer.status == wanted
                assert answer.headers["RateLimit"].startswith('"default";r=0;t=')


@pytest.mark.parametrize("charset", ["", ";charset=UTF-8"], ids=["the short way", "the plain way"])
async def test_one_senders_address_has_so_many_submits_and_others_are_served(charset: str) -> None:
    async with running_service({"limits.per_sender": 2, "limits.window_s": 3600}) as running:

        @asynccontextmanager
        async def asked(sender: str, call: str = "submit") -> AsyncIterator[aiohttp.ClientResponse]:
            body = json.dumps({"body": "Urgent!"} | ({"sender_email": sender} if sender else {}))
            headers = {"Content-Type": f"application/json{charset}"}
            async with running.client.post(f"/api/v1/inquiries/{call}", data=body, headers=headers) as answer:
                yield answer

        for sender in ("ana@example.org", "Ana@Example.org"):
            async with asked(sender) as answer:
                assert answer.status == 201
                assert "RateLimit" not in answer.headers, "how many others brought is nobody's business"
        async with asked("ANA@example.org") as answer:
            document = await problem_of(answer, 429)
            left = f'"sender";r=0;t={answer.headers["Retry-After"]}'
            assert (answer.headers["RateLimit-Policy"], answer.headers["RateLimit"]) == ('"sender";q=2;w=3600', left)
        assert "more than 2 submits with this sender_email within 3600 s" in str(document["detail"])
        assert refused(running, "sender_limit") == 1
        async with asked("ben@example.org") as answer:
            assert answer.status == 201
        async with asked("", "classify") as answer:
            assert answer.status == 200
        async with running.client.get("/api/v1/stats") as answer:
            assert (await answer.json())["total_inquiries"] == 3


async def test_the_lines_of_an_upload_count_for_their_senders() -> None:
    line = '{"body": "Urgent!", "sender_email": "%s@example.org"}\n'
    async with running_service({"limits.per_sender": 2}) as running:
        headers, lines = {"Content-Type": "application/x-ndjson"}, "".join(line % each for each in "aababb")
        async with running.client.post("/api/v1/inquiries/bulk", data=lines, headers=headers) as answer:
            found = [json.loads(line) for line in (await answer.read()).splitlines()]
    assert [each.get("status") for each in found] == [*["routed"] * 3, 429, "routed", 429]
    assert [each["line"] for each in found if each.get("status") == 429] == [4, 6]


async def test_who_is_past_both_limits_is_told_of_both() -> None:
    async with running_service({"limits.requests": 9, "limits.per_sender": 1}) as running:
        body = {"body": "Urgent!", "sender_email": "ana@example.org"}
        for status, policies in ((201, ["default"]), (429, ["default", "sender"])):
            async with running.client.post("/api/v1/inquiries/submit", json=body) as answer:
                assert answer.status == status
                for name in ("RateLimit", "RateLimit-Policy"):
                    assert re.findall(r'"(\w+)";', answer.headers[name]) == policies


# Pages of other origins

DESK: Final = "https://desk.example.org"
ASKED_BEFOREHAND: Final = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def test_a_page_of_another_origin_gets_no_leave_unless_it_is_named(running: Running) -> None:
    for origin in (DESK, "null", "http://localhost"):
        async with running.client.options(SUBMIT, headers={"Origin": origin, **ASKED_BEFOREHAND}) as answer:
            await problem_of(answer, 405)
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        async with running.client.get("/api/v1/health", headers={"Origin": origin}) as answer:
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_a_page_that_is_named_may_call_with_a_key(tmp_path: Path) -> None:
    keys = written_keys(tmp_path / "keys")
    async with running_service(with_keys(tmp_path / "keys", server__allowed_origins=[DESK])) as running:
        async with running.client.options(SUBMIT, headers={"Origin": DESK, **ASKED_BEFOREHAND}) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == DESK
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
        for headers, wanted in ((bearing(keys["submit"]), 201), ({}, 401)):
            async with running.client.post(SUBMIT, json=INQUIRY, headers={"Origin": DESK, **headers}) as answer:
                assert answer.status == wanted
                assert answer.headers["Access-Control-Allow-Origin"] == DESK
                assert "Origin" in answer.headers.getall("Vary")
        for origin in ("https://desk.example.org.evil.test", "http://desk.example.org", "null", ""):
            for method in ("OPTIONS", "GET"):
                headers = {"Origin": origin, **ASKED_BEFOREHAND}
                async with running.client.request(method, "/api/v1/stats", headers=headers) as answer:
                    assert "Access-Control-Allow-Origin" not in answer.headers
                    assert "Origin" in answer.headers.getall("Vary")


@pytest.mark.parametrize(
    "origin", ["*", "desk.example.org", "https://desk.example.org/", "null", "ftp://x", "http://["]
)
async def test_what_no_browser_calls_an_origin_stops_the_start(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"server\.allowed_origins"):
        async with running_service({"server.allowed_origins": [origin]}):
            pass


async def test_a_page_of_another_origin_can_change_nothing_with_an_empty_request() -> None:
    """A browser sends such a request without asking first; everything else needs a content type that it asks for."""
    async with running_service() as running:
        async with running.client.post(SUBMIT, json=INQUIRY) as answer:
            resolve = f"/api/v1/inquiries/{(await answer.json())['inquiry_id']}/resolve"
        for origin in ("https://evil.test", "null", "http://["):
            async with running.client.post(resolve, headers={"Origin": origin}) as answer:
                await problem_of(answer, 403)
        async with running.client.post(resolve, headers={"Origin": running.url}) as answer:
            assert answer.status == 200


# What is written down


def audited(lines: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in lines.records if record.name == AUDIT and hasattr(record, "action")]


async def test_each_change_leaves_a_line_that_says_who_what_and_what_came_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = written_keys(tmp_path / "keys", {"website": ("submit",), "ana": ("review",)})
    caplog.set_level(logging.INFO, AUDIT)
    async with running_service(with_keys(tmp_path / "keys")) as running:
        async with running.client.post(SUBMIT, json=INQUIRY, headers=bearing(keys["website"])) as answer:
            inquiry_id = (await answer.json())["inquiry_id"]
        assert audited(caplog) == []
        feedback = f"/api/v1/inquiries/{inquiry_id}/feedback"
        for key, body in (
            (keys["ana"], {"category": "billing", "reviewer": "a stranger"}),
            (keys["ana"], {"category": "nonsense"}),
            (keys["website"], {"category": "billing"}),
            ("nonsense", {"category": "billing"}),
        ):
            async with running.client.post(feedback, json=body, headers=bearing(key)):
                pass
    found = [(each["action"], each["caller"], each["status"], each["inquiry_id"]) for each in audited(caplog)]
    assert found == [
        ("give_feedback", "ana", 200, inquiry_id),
        ("give_feedback", "ana", 422, inquiry_id),
        ("give_feedback", "website", 403, inquiry_id),
        ("give_feedback", None, 401, inquiry_id),
    ]
    assert [each["message"].split(": ")[1] for each in audited(caplog)] == ["done", "refused", "refused", "refused"]
    assert audited(caplog)[0]["key_id"] == keys["ana"][4:12]
    for key in keys.values():
        assert key[13:] not in json.dumps([vars(record) for record in caplog.records], default=str)


async def test_every_route_that_changes_something_stored_is_audited_but_submitting() -> None:
    changing = {each.handler.__name__ for each in ENDPOINTS if each.method != "GET"}
    assert {each.handler.__name__ for each in ENDPOINTS if each.audited} == changing - {"submit", "bulk", "classify"}


# A port of its own


async def test_metrics_and_what_takes_admin_can_be_on_a_port_of_their_own(tmp_path: Path) -> None:
    keys = written_keys(tmp_path / "keys")
    settings = with_keys(tmp_path / "keys", server__admin_port=0)
    async with running_service(settings, plugins=[Routes()]) as running:
        assert running.admin_url
        async with aiohttp.ClientSession(running.admin_url, headers=bearing(keys["admin"])) as admin:
            for path, here, there in (
                ("/metrics", 404, 200),
                ("/api/v1/metrics", 404, 200),
                ("/unmarked", 404, 200),
                ("/marked", 200, 404),
                ("/api/v1/stats", 200, 404),
                ("/docs", 200, 404),
                ("/api/v1/health", 200, 200),
                ("/api/v1/health/live", 200, 200),
            ):
                async with running.client.get(path, headers=bearing(keys["admin"])) as answer:
                    assert answer.status == here, path
                async with admin.get(path) as answer:
                    assert answer.status == there, path
            async with admin.get("/metrics", headers=bearing(keys["read"])) as answer:
                assert answer.status == 403
            async with admin.get("/metrics") as answer:
                page = await answer.text()
    [line] = [
        each for each in page.splitlines() if "http_requests_total{" in each and "stats" in each and '"200"' in each
    ]
    assert line.split()[-1] in ("1", "1.0"), "what was asked on the other port"
