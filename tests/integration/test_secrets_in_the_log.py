"""What the service was told in confidence is in no line of its most talkative log, while all that it uses dies."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

import pytest
from aiohttp import web

from inquiry_svc.logs import logging_to
from inquiry_svc.settings import LoggingSettings
from inquiry_svc.testing.running import Running, running_service
from tests.acceptance.serving import run_command
from tests.api_keys import bearing, with_keys, written_keys
from tests.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.servers import free_port
from tests.servers.otlp import collector
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.redis import RedisServer, redis_server

SUBMIT: Final = "/api/v1/inquiries/submit"
SECRETS: Final = {
    "postgres": "canary-pg-8f2a+/",
    "redis cache": "canary-cache-77d1+/",
    "redis stream": "canary-stream-31be+/",
    "otlp metrics": "canary-otlp-0c9e",
    "otlp traces": "canary-spans-54aa",
    "aws": "canary-aws-secret-e2d8",
    "aws session": "canary-aws-session-9b17",
    "client": "canary-client-key-aa31",
}
FAULTS: Final[tuple[Fault, ...]] = ("hang", "reset", "garbage", "none")


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def told_in(text: str) -> list[str]:
    return [name for name, secret in SECRETS.items() if secret in text or quote(secret, safe="") in text]


async def until_logged(log: io.StringIO, words: str, since: int, act: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(30):
        while words not in log.getvalue()[since:]:
            await act()
            await asyncio.sleep(0.05)


async def test_no_line_of_the_log_holds_a_password_whatever_dies(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    keys = written_keys(tmp_path / "keys")
    for name, secret in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", SECRETS["aws"]),
        ("AWS_SESSION_TOKEN", SECRETS["aws session"]),
    ):
        monkeypatch.setenv(name, secret)
    log, asked = io.StringIO(), list[str]()

    async def refuse(request: web.Request) -> web.Response:
        asked.append(str(request.headers))
        return web.Response(status=403, text=str(request.headers))

    cloud = web.Application()
    cloud.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(cloud, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with redis_server() as redis, logging_to(log, LoggingSettings(level="debug", format="json")):
            await redis.start()
            for user in ("cache", "stream"):
                secret = SECRETS[f"redis {user}"]
                assert await redis.ask("ACL", "SETUSER", user, "on", f">{secret}", "~*", "+@all") == b"+OK\r\n"
            async with (
                fault_proxy(postgres.port) as to_postgres,
                fault_proxy(redis.port) as to_redis,
                collector() as (collected, url),
            ):
                settings = {
                    **with_keys(tmp_path / "keys"),
                    "logging.requests": "all",
                    "store.provider": "postgres",
                    "store.postgres.url": f"postgresql://postgres:{quote(SECRETS['postgres'], safe='')}@127.0.0.1:"
                    f"{to_postgres.port}/postgres",
                    "cache.provider": "redis",
                    "cache.redis.url": redis_url("cache", to_redis.port),
                    "sources.providers": ("redis_stream",),
                    "sources.redis_stream.url": redis_url("stream", to_redis.port),
                    "sources.redis_stream.block_s": 0.1,
                    "exporters.providers": ("aioprometheus", "otlp", "cloudwatch"),
                    "exporters.otlp.url": url,
                    "exporters.otlp.headers": f"x-key={SECRETS['otlp metrics']}",
                    "exporters.otlp.period_s": 0.2,
                    "exporters.cloudwatch.through": "api",
                    "exporters.cloudwatch.region": "eu-central-1",
                    "exporters.cloudwatch.endpoint_url": f"http://127.0.0.1:{runner.addresses[0][1]}",
                    "exporters.cloudwatch.period_s": 0.2,
                    "tracing.provider": "otlp",
                    "tracing.otlp.url": url.replace("/v1/metrics", "/v1/traces"),
                    "tracing.otlp.headers": f"x-key={SECRETS['otlp traces']}",
                    "client.key": SECRETS["client"],
                }
                async with running_service(settings) as running:
                    await everything_dies(running, keys["submit"], log, redis, to_postgres, to_redis)
                    collected.status = 401
                    since = len(log.getvalue())
                    await until_logged(log, "otlp", since, lambda: submit(running, keys["submit"]))
    finally:
        await runner.cleanup()
    text = log.getvalue()
    assert any(SECRETS["aws session"] in each for each in asked), "AWS was not asked: this proves nothing"
    for said in ("postgres", "cache", "redis_stream", "otlp", "cloudwatch"):
        assert said in text.lower(), f"nothing was logged of {said}: this proves nothing"
    assert told_in(text) == []
    assert [name for name, key in keys.items() if key[13:] in text] == []
    assert all(json.loads(line) for line in text.splitlines())


def redis_url(user: str, port: int) -> str:
    return f"redis://{user}:{quote(SECRETS[f'redis {user}'], safe='')}@127.0.0.1:{port}/0"


async def submit(running: Running, key: str) -> int:
    inquiry = {"body": "My card was charged twice.", "sender_email": "ana@example.org"}
    async with running.client.post(SUBMIT, json=inquiry, headers=bearing(key)) as answer:
        return answer.status


async def everything_dies(
    running: Running,
    key: str,
    log: io.StringIO,
    redis: RedisServer,
    to_postgres: FaultProxy,
    to_redis: FaultProxy,
) -> None:
    assert await submit(running, key) == 201
    for proxy, others in ((to_postgres, {503, 201}), (to_redis, {201})):
        for fault in FAULTS:
            proxy.fault = fault
            for _ in range(4):
                assert await submit(running, key) in others
        port, proxy.server_port = proxy.server_port, free_port()
        proxy.fault = "reset"
        await submit(running, key)
        proxy.fault = "none"
        for _ in range(4):
            assert await submit(running, key) in others
        proxy.server_port = port
    for user in ("cache", "stream"):  # from now on each has the wrong password
        assert await redis.ask("ACL", "SETUSER", user, "resetpass", ">another") == b"+OK\r\n"
        await redis.ask("CLIENT", "KILL", "USER", user)
    since = len(log.getvalue())
    await until_logged(log, "redis", since, lambda: submit(running, key))


@pytest.mark.parametrize("command", ["doctor", "health", "config"])
def test_no_command_shows_the_key_that_it_asks_with(command: str) -> None:
    environ = {
        "INQUIRY_CLIENT__KEY": SECRETS["client"],
        "INQUIRY_LOGGING__LEVEL": "debug",
        "INQUIRY_DOCTOR__URL": f"http://127.0.0.1:{free_port()}",
        "INQUIRY_DOCTOR__TIMEOUT_S": "1",
        "INQUIRY_SERVER__PORT": str(free_port()),
    }
    _, out, err = run_command(command, environ=environ)
    assert out or err
    assert told_in(out + err) == []
