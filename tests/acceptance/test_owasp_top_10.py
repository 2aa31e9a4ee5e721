"""The ten risks of the OWASP API Security Top 10 (2023), each tried on a running service as an attacker would.

Every part is named for its risk. What holds for other reasons has tests elsewhere; here it is attacked.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import socket
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from inquiry_svc.api_keys import SCOPES
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.testing.problems import problem_of
from inquiry_svc.testing.providers import Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.web.routes import ENDPOINTS
from tests.api_keys import bearing, with_keys, written_keys

API: Final = "/api/v1"
SUBMIT: Final = f"{API}/inquiries/submit"
SECRET: Final = "the body that nobody else may see"
INQUIRY: Final = {
    "subject": "Invoice",
    "body": f"{SECRET}; my card was charged twice.",
    "sender_email": "quiet.sender@example.org",
}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("owasp")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    return written_keys(folder / "keys")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(folder: Path, keys: Mapping[str, str]) -> AsyncIterator[Running]:
    async with running_service(with_keys(folder / "keys")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inquiry_id(running: Running, keys: Mapping[str, str]) -> str:
    """Of one that is stored."""
    async with running.client.post(SUBMIT, json=INQUIRY, headers=bearing(keys["submit"])) as answer:
        assert answer.status == 201
        return str((await answer.json())["inquiry_id"])


# API1: Broken Object Level Authorization. Inquiries belong to the team, not to a key: what is held apart is who may see
# them at all, and a review is its claimant's.


async def test_api1_whoever_submits_can_read_no_inquiry_not_even_by_its_id(
    running: Running, keys: Mapping[str, str], inquiry_id: str
) -> None:
    for name in ("submit", "metrics", "review"):
        for path in ("", "/explain", "?include_all_scores=true", "/", "/../" + inquiry_id):
            url = f"{API}/inquiries/{inquiry_id}{path}"
            async with running.client.get(url, headers=bearing(keys[name])) as answer:
                assert answer.status in (403, 404), url
                assert SECRET not in await answer.text()


async def test_api1_ids_near_a_known_one_lead_nowhere(
    running: Running, keys: Mapping[str, str], inquiry_id: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, known = random.Random(seed), uuid.UUID(inquiry_id).int
    for guess in [
        *(known + step for step in range(-20, 21) if step),
        *(known ^ (1 << rng.randrange(74)) for _ in range(50)),
    ]:
        async with running.client.get(
            f"{API}/inquiries/{uuid.UUID(int=guess)}", headers=bearing(keys["read"])
        ) as answer:
            await problem_of(answer, 404)


async def test_api1_another_callers_idempotency_key_gives_nothing_away(
    running: Running, keys: Mapping[str, str]
) -> None:
    theirs = {**bearing(keys["submit"]), "Idempotency-Key": "order-1"}
    async with running.client.post(SUBMIT, json=INQUIRY, headers=theirs) as answer:
        assert answer.status == 201
    guessed = {**INQUIRY, "body": "What was it that they wrote?"}
    async with running.client.post(SUBMIT, json=guessed, headers=theirs) as answer:
        document = await problem_of(answer, 422)
    assert SECRET not in json.dumps(document)


async def test_api1_what_one_reviewer_holds_another_can_neither_take_nor_decide(
    keys: Mapping[str, str], folder: Path
) -> None:
    settings = with_keys(folder / "keys", review__below_confidence=1.0)
    async with running_service(settings) as running:
        async with running.client.post(SUBMIT, json=INQUIRY, headers=bearing(keys["submit"])) as answer:
            review = f"{API}/reviews/{(await answer.json())['inquiry_id']}"
        for reviewer, action, more, wanted in (
            ("ana", "claim", {}, 200),
            ("bob", "claim", {}, 409),
            ("bob", "release", {}, 409),
            ("bob", "skip", {}, 409),
            ("bob", "decide", {"category": "billing"}, 409),
            ("ana", "decide", {"category": "billing"}, 200),
        ):
            body = {"reviewer": reviewer, **more}
            async with running.client.post(f"{review}/{action}", json=body, headers=bearing(keys["review"])) as answer:
                assert answer.status == wanted, (reviewer, action)


# API2: Broken Authentication.


async def test_api2_nothing_but_the_whole_key_in_its_header_opens(
    running: Running, keys: Mapping[str, str], folder: Path
) -> None:
    key = keys["read"]
    kept = next(line for line in (folder / "keys").read_text().splitlines() if line.startswith("read "))
    digest = kept.split("sha256:")[1].strip()
    wrong = [
        *("", " ", "null", "undefined", "*", "true", "[]", "{}", "' OR '1'='1", "admin", "read", "%00", "../keys"),
        *(key[:-1], key + "0", key.upper(), key[::-1], key[:13], key[13:], key.replace("_", "-"), f"{key}\t{key}"),
        *(digest, f"sha256:{digest}", f"inq_{key[4:12]}_{digest}", kept, keys["admin"][:13] + key[13:]),
        *(f"{key},{key}", f'"{key}"', f"Basic {key}", "a" * 7000),
    ]
    for each in wrong:
        for headers in (
            bearing(each),
            {"X-API-Key": each},
            {"Authorization": each},
            {"Authorization": f"Basic {each}"},
        ):
            async with running.client.get(f"{API}/stats", headers=headers) as answer:
                await problem_of(answer, 401)
    for where in (f"?key={key}", f"?api_key={key}", f"?access_token={key}", f"#{key}"):
        async with running.client.get(f"{API}/stats{where}", cookies={"Authorization": f"Bearer {key}"}) as answer:
            assert answer.status == 401


async def test_api2_ten_thousand_guesses_open_nothing_and_lock_nobody_out(
    running: Running, keys: Mapping[str, str]
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    async def guess() -> int:
        known_id = keys[rng.choice(SCOPES)][:13]  # ids stand in logs
        async with running.client.get(
            f"{API}/stats", headers=bearing(known_id + f"{rng.getrandbits(256):064x}")
        ) as answer:
            return answer.status

    for _ in range(100):
        assert set(await asyncio.gather(*(guess() for _ in range(100)))) == {401}
    async with running.client.get(f"{API}/stats", headers=bearing(keys["read"])) as answer:
        assert answer.status == 200


async def test_api2_no_answer_and_no_line_of_the_log_holds_a_key(
    running: Running, keys: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    seen = []
    for path in (f"{API}/stats", f"{API}/inquiries/x", "/nowhere", f"{API}/health", "/metrics"):
        for key in keys.values():
            async with running.client.get(path, headers={**bearing(key), "X-API-Key": key}) as answer:
                seen.append(await answer.text() + str(answer.headers))
    seen += [json.dumps(vars(record), default=str) for record in caplog.records]
    assert [key for key in keys.values() if any(key[13:] in each for each in seen)] == []


# API3: Broken Object Property Level Authorization.


async def test_api3_a_caller_can_set_no_field_that_is_the_services(
    running: Running, keys: Mapping[str, str], inquiry_id: str
) -> None:
    """What is not the caller's to say is refused or passed over, never believed."""
    stored_at = f"{API}/inquiries/{inquiry_id}"
    async with running.client.get(stored_at, headers=bearing(keys["read"])) as answer:
        before = await answer.json()
    forged: dict[str, Any] = {
        "inquiry_id": inquiry_id,
        "status": "resolved",
        "needs_review": True,
        "processed_at": "2001-01-01T00:00:00Z",
        "resolved_at": "2001-01-01T00:00:00Z",
        "degraded": ["forged"],
        "category": {"label": "legal", "confidence": 1.0},
        "urgency": {"label": "critical", "confidence": 1.0},
        "routing": {"department": "escalation", "escalated": True},
        "model": {"name": "forged"},
        "scopes": ["admin"],
        "feedback": {"category": "legal"},
        "review_reasons": ["audit"],
        "__proto__": {"status": "resolved"},
    }
    for field, value in forged.items():
        async with running.client.post(
            SUBMIT, json={**INQUIRY, field: value}, headers=bearing(keys["submit"])
        ) as answer:
            assert answer.status in (201, 422)
            if answer.status == 201:
                assert (await answer.json()).get(field) != value
        url = f"{stored_at}/feedback"
        if field not in ("category", "urgency"):
            async with running.client.post(url, json={field: value}, headers=bearing(keys["review"])) as answer:
                await problem_of(answer, 422)
    async with running.client.get(stored_at, headers=bearing(keys["read"])) as answer:
        assert await answer.json() == before


async def test_api3_what_needs_no_reading_shows_nothing_that_was_written(
    running: Running, keys: Mapping[str, str], inquiry_id: str
) -> None:
    written = (SECRET, "quiet.sender", inquiry_id)
    async with running.client.get(f"{API}/inquiries/{inquiry_id}", headers=bearing(keys["read"])) as answer:
        text = await answer.text()
    assert [word for word in written if word not in text] == [], "what is not there to be seen proves nothing"
    for path, key in (
        ("/metrics", "metrics"),
        (f"{API}/stats", "read"),
        (f"{API}/health", "submit"),
        (f"{API}/openapi.json", "submit"),
    ):
        async with running.client.get(path, headers=bearing(keys[key])) as answer:
            text = await answer.text()
        assert answer.status == 200
        assert [word for word in written if word in text] == []


# API4: Unrestricted Resource Consumption.


async def test_api4_what_is_too_large_deep_or_long_is_refused_before_it_costs(
    running: Running, keys: Mapping[str, str]
) -> None:
    headers = {**bearing(keys["submit"]), "Content-Type": "application/json"}
    bomb = gzip.compress(b'{"body": "' + b"a" * 200_000_000 + b'"}')
    for raw, more, wanted in (
        (b'{"body": "' + b"a" * 5_000_000 + b'"}', {}, {413}),
        (bomb, {"Content-Encoding": "gzip"}, {400, 413}),
        (b"[" * 500_000, {}, {400, 413}),
        (b'{"metadata": ' + b'{"a": ' * 10_000 + b"1" + b"}" * 10_001, {}, {400, 413, 422}),
        (b'{"body": "x", "sender_email": "' + b"a@" * 20_000 + b'"}', {}, {413, 422}),
    ):
        async with running.client.post(SUBMIT, data=io.BytesIO(raw), headers={**headers, **more}) as answer:
            assert answer.status in wanted, raw[:40]
    for query in ("limit=1000000", "limit=-1", "limit=1e9", f"cursor={'a' * 5000}"):
        async with running.client.get(f"{API}/inquiries?{query}", headers=bearing(keys["read"])) as answer:
            await problem_of(answer, 422)
    async with running.client.get(f"{API}/stats?days=999999999", headers=bearing(keys["read"])) as answer:
        await problem_of(answer, 422)


async def test_api4_a_flood_by_one_key_is_cut_off_and_costs_the_others_nothing(
    keys: Mapping[str, str], folder: Path
) -> None:
    async with running_service(with_keys(folder / "keys", limits__requests=50, limits__window_s=3600)) as running:

        async def ask(name: str) -> int:
            async with running.client.get(f"{API}/stats", headers=bearing(keys[name])) as answer:
                return answer.status

        flood = await asyncio.gather(*(ask("read") for _ in range(500)))
        assert (flood.count(200), flood.count(429)) == (50, 450)
        assert await ask("admin") == 200


# API5: Broken Function Level Authorization.


async def test_api5_no_spelling_of_a_path_and_no_header_leads_around_a_scope(
    running: Running, keys: Mapping[str, str], inquiry_id: str
) -> None:
    base = URL(running.url)
    spellings = [
        *("/api/v1/stats", "//api/v1/stats", "/api/v1//stats", "/api/v1/stats/", "/API/V1/STATS", "/api/v1/stats%2f"),
        *("/api/v1/./stats", "/api/v1/health/../stats", "/api/v1/health/%2e%2e/stats", "/api/v1/health/..%2fstats"),
        *(
            "/api/v1/%73tats",
            "/api/v1/stats;x=1",
            "/api/v1/stats%00",
            "/api/v1/stats.json",
            "/api/v1/stats?x",
            "/metrics/",
        ),
        *("/docs/../metrics", "/docs/..%2f..%2fmetrics", "/api/v1/health?/api/v1/stats", "/%61pi/v1/stats"),
    ]
    lying = {
        "X-HTTP-Method-Override": "GET",
        "X-Method-Override": "GET",
        "X-Original-URL": "/api/v1/health",
        "X-Rewrite-URL": "/api/v1/health",
        "X-Forwarded-For": "127.0.0.1",
        "X-Real-IP": "127.0.0.1",
        "X-Forwarded-Host": "localhost",
        "Host": "localhost",
        "Forwarded": "for=127.0.0.1",
        "X-Scope": "admin",
        "X-Forwarded-User": "admin",
        "X-Remote-User": "admin",
        "X-Scopes": "admin",
    }
    for spelled in spellings:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "CONNECT-ISH"):
            for key in ({}, bearing(keys["submit"])):
                url = URL(f"{base}{spelled}".replace(f"{base}/", f"{base}/", 1), encoded=True)
                async with running.client.request(
                    method, url, headers={**lying, **key}, allow_redirects=False
                ) as answer:
                    text = await answer.text()
                    is_health = answer.status == 200 and spelled.startswith("/api/v1/health?")
                    assert is_health or answer.status in (400, 401, 403, 404, 405), (method, spelled)
                    assert "total_inquiries" not in text


async def test_api5_review_and_administration_are_closed_to_whoever_submits(
    running: Running, keys: Mapping[str, str], inquiry_id: str
) -> None:
    for endpoint in ENDPOINTS:
        if endpoint.scope in ("review", "read", "metrics"):
            path = endpoint.path.replace("{inquiry_id}", inquiry_id)
            body = {"reviewer": "x", "category": "legal", "limit": 1}
            async with running.client.request(
                endpoint.method, path, json=body, headers=bearing(keys["submit"])
            ) as answer:
                await problem_of(answer, 403)
    async with running.client.get(f"{API}/inquiries/{inquiry_id}", headers=bearing(keys["read"])) as answer:
        found = await answer.json()
    assert (found["feedback"], found["resolved_at"]) == (None, None)


# API6: Unrestricted Access to Sensitive Business Flows. Flooding the team with inquiries, and hoarding its reviews.


async def test_api6_a_robot_can_neither_flood_the_team_nor_get_around_its_limit(
    keys: Mapping[str, str], folder: Path
) -> None:
    async with running_service(with_keys(folder / "keys", limits__requests=20, limits__window_s=3600)) as running:
        found = []
        for number in range(30):  # anew each time, with another address and agent
            async with (
                aiohttp.ClientSession(running.url) as fresh,
                fresh.post(
                    [SUBMIT, f"{API}/inquiries/classify"][number % 2],
                    json=INQUIRY if number % 2 == 0 else {"body": "x"},
                    headers={
                        **bearing(keys["submit"]),
                        "User-Agent": str(number),
                        "X-Forwarded-For": f"10.0.0.{number}",
                    },
                ) as answer,
            ):
                found.append(answer.status)
        assert [status in (200, 201) for status in found] == [True] * 20 + [False] * 10
        assert found[20:] == [429] * 10
        async with running.client.get(f"{API}/stats", headers=bearing(keys["read"])) as answer:
            assert (await answer.json())["total_inquiries"] == 10


async def test_api6_a_reviewer_can_not_claim_the_whole_queue_at_once(keys: Mapping[str, str], folder: Path) -> None:
    async with running_service(with_keys(folder / "keys", review__below_confidence=1.0)) as running:
        for _ in range(60):
            async with running.client.post(SUBMIT, json=INQUIRY, headers=bearing(keys["submit"])) as answer:
                assert answer.status == 201
        claim = f"{API}/reviews/claim"
        for limit, wanted in ((51, 422), (10**9, 422), (50, 200)):
            body = {"reviewer": "hoarder", "limit": limit}
            async with running.client.post(claim, json=body, headers=bearing(keys["review"])) as answer:
                assert answer.status == wanted
        body = {"reviewer": "ana", "limit": 50}
        async with running.client.post(claim, json=body, headers=bearing(keys["review"])) as answer:
            assert len((await answer.json())["items"]) == 10


# API7: Server Side Request Forgery.


async def test_api7_no_address_in_whatever_is_sent_is_ever_called(running: Running, keys: Mapping[str, str]) -> None:
    called = []

    async def take_call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(take_call, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/latest/meta-data"
        sent: dict[str, Any] = {
            "subject": url,
            "body": f'<img src="{url}"> {url} ${{jndi:ldap://127.0.0.1:{port}/a}}',
            "sender_name": url,
            "sender_email": f"ana@[127.0.0.1]:{port}",
            "metadata": {"url": url, "webhook": url, "callback": url},
        }
        headers = {
            **bearing(keys["admin"]),
            "Host": f"127.0.0.1:{port}",
            "X-Forwarded-Host": f"127.0.0.1:{port}",
            "Referer": url,
            "Origin": url,
        }
        for body in (sent, {**sent, "sender_email": "ana@example.org"}):
            async with running.client.post(SUBMIT, json=body, headers=headers) as answer:
                status, text = answer.status, await answer.text()
        assert status == 201, text
        for path in (
            f"{API}/inquiries?url={url}",
            f"{API}/inquiries?cursor={url}",
            f"/docs?url={url}",
            f"/docs?configUrl={url}",
        ):
            async with running.client.get(path, headers=headers) as answer:
                await answer.read()
    assert called == []


# API8: Security Misconfiguration.


@pytest.mark.parametrize("path", [f"{API}/stats", f"{API}/health", "/docs", "/metrics", "/nowhere", SUBMIT])
async def test_api8_every_answer_is_marked_for_browsers_and_tells_no_version(
    running: Running, keys: Mapping[str, str], path: str
) -> None:
    async with running.client.get(path, headers=bearing(keys["admin"])) as answer:
        headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"] == "inquiry-svc"
        assert not {"X-Powered-By", "Via", "Access-Control-Allow-Origin", "Set-Cookie"} & headers.keys()


async def health_of(url: str) -> int:
    async with aiohttp.ClientSession(url) as client, client.get(f"{API}/health/live") as answer:
        return answer.status


async def test_api8_an_address_that_others_reach_is_refused_without_keys(folder: Path, keys: Mapping[str, str]) -> None:
    for host in ("0.0.0.0", "::"):
        if host == "::" and not socket.has_ipv6:
            continue
        with pytest.raises(ConfigurationError, match="can be reached from elsewhere and there are no API keys"):
            async with running_service({"server.host": host}):
                pass
    with pytest.raises(ConfigurationError, match="admin_host"):
        async with running_service({"server.admin_host": "0.0.0.0", "server.admin_port": 0}):
            pass
    for more in ({"auth.anyone_may_call": True}, with_keys(folder / "keys")):
        async with running_service({"server.host": "0.0.0.0", **more}) as open_to_others:
            url = open_to_others.url.replace("0.0.0.0", "127.0.0.1")
            assert (await health_of(url)) == 200
    with pytest.raises(ConfigurationError, match="both set"):
        async with running_service({"auth.anyone_may_call": True, **with_keys(folder / "keys")}):
            pass


async def test_api8_a_fault_tells_nothing_and_files_are_not_to_be_had(
    running: Running, keys: Mapping[str, str]
) -> None:
    base = URL(running.url)
    for path in (
        "/docs/../../keys",
        "/docs/..%2f..%2fkeys",
        "/docs/%2e%2e/%2e%2e/etc/passwd",
        "/.git/config",
        "/.env",
        "/static/../keys",
    ):
        async with running.client.get(URL(f"{base}{path}", encoded=True), headers=bearing(keys["admin"])) as answer:
            await problem_of(answer, 404)
    for raw in (
        b'{"body": NaN}',
        b"\xff\xfe",
        b'{"body": "\\ud800", "sender_email": "ana@example.org"}',
        b"<?xml version='1.0'?>",
    ):
        headers = {**bearing(keys["submit"]), "Content-Type": "application/json"}
        async with running.client.post(SUBMIT, data=raw, headers=headers) as answer:
            text = await answer.text()
        assert answer.status in (400, 422)
        assert [word for word in ("Traceback", 'File "', ".py", "msgspec", "aiohttp") if word in text] == []


# API9: Improper Inventory Management.


async def test_api9_the_document_holds_every_route_there_is_and_nothing_older_answers(
    running: Running, keys: Mapping[str, str]
) -> None:
    async with running.client.get(f"{API}/openapi.json") as answer:
        document = await answer.json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            url = path.replace("{inquiry_id}", "01a21482-a654-72cd-b233-a80edd837d83")
            async with running.client.request(method, url) as answer:
                assert (answer.status == 401) == bool(operation["security"]), "what it says of keys is what holds"
    for prefix in (
        "/api",
        "/api/v0",
        "/api/v2",
        "/v1",
        "/internal",
        "/debug",
        "/admin",
        "/actuator",
        "/swagger",
        "/graphql",
        "/console",
    ):
        for rest in ("", "/stats", "/health", "/inquiries", "/metrics", "/env"):
            async with running.client.get(prefix + rest, headers=bearing(keys["admin"])) as answer:
                await problem_of(answer, 404)


# API10: Unsafe Consumption of APIs. What the service is told by what it asks: here its cache, and callers' headers.


class LyingCache:
    """Gives back what nobody put, for every text."""

    def __init__(self) -> None:
        self.asked = 0
        self.lies = [b"", b"null", b'{"category": "legal"}', b"\x80" * 100, b"[" * 10_000, SECRET.encode()]

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        self.asked += len(keys)
        return [self.lies[self.asked % len(self.lies)] for _ in keys]

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        self.lies += list(values.values())  # those of other texts, too

    async def check(self) -> None:
        """It is always well, it says."""


async def test_api10_a_cache_that_lies_changes_no_answer(folder: Path, keys: Mapping[str, str]) -> None:
    cache = LyingCache()
    texts = [
        "My card was charged twice.",
        "I was dismissed, and ask for my rights.",
        "The app crashes.",
        "How much is it?",
    ] * 5

    async def answers(running: Running) -> list[Any]:
        found = []
        for text in texts:
            async with running.client.post(
                f"{API}/inquiries/classify", json={"body": text}, headers=bearing(keys["submit"])
            ) as answer:
                assert answer.status == 200
                found.append(await answer.json())
        return found

    async with running_service(with_keys(folder / "keys")) as honest:
        wanted = await answers(honest)
    lied_to = with_keys(folder / "keys", cache__provider="given")
    async with running_service(lied_to, plugins=[Offering(cache=cache)]) as running:
        assert await answers(running) == wanted
    assert cache.asked == len(texts)


async def test_api10_a_callers_headers_go_nowhere_that_they_could_do_harm(
    running: Running, keys: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    address = urlsplit(running.url)
    for given in (b'x"} 1\\n# HELP y', b"{{7*7}}", b"%s%n", b"a" * 200, b"\x1b[31mred", b"${jndi:ldap://x/a}"):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        lines = [
            b"GET /nowhere HTTP/1.1",
            b"Host: x",
            b"Connection: close",
            b"X-Request-ID: " + given,
            b"traceparent: " + given,
        ]
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
        async with asyncio.timeout(10):
            told = await reader.read()
        writer.close()
        assert told.split(b" ")[1] in (b"404", b"400")
    async with running.client.get("/metrics", headers=bearing(keys["metrics"])) as answer:
        page = await answer.text()
    assert not [word for word in ("jndi", "7*7", "[31m", "HELP y") if word in page]
    assert not [record for record in caplog.records if "\x1b" in record.getMessage()]


async def test_every_risk_of_the_list_is_attacked() -> None:
    found = {name.split("_")[1] for name in globals() if name.startswith("test_api")}
    assert found == {f"api{number}" for number in range(1, 11)}
