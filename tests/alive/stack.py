"""All that stands between a fault and a person: service, database, cache, Prometheus, Alertmanager and two inboxes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.acceptance.serving import Serving, install_plugin, serving
from tests.alive import trouble
from tests.alive.hurrying import shipped
from tests.alive.traffic import Traffic
from tests.servers import free_port
from tests.servers.alertmanager import alertmanager
from tests.servers.inbox import PASSWORD, Inbox, inbox
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.redis import redis_server
from tests.servers.scraping import Prometheus, configured_prometheus

_PATIENT: Final = {
    "INQUIRY_CACHE__TIMEOUT_S": "2",
    "INQUIRY_CACHE__REDIS__TIMEOUT_S": "2",
    "INQUIRY_CACHE__REDIS__SLOW_S": "2",
    "INQUIRY_CLASSIFIER__TIMEOUT_S": "8",
    "INQUIRY_STORE__TIMEOUT_S": "8",
    "INQUIRY_STORE__POSTGRES__STATEMENT_TIMEOUT_S": "7",
    "INQUIRY_BATCHING__DEADLINE_S": "9",
}
"""On a loaded machine nothing shall be out of reach but what was made so."""


@dataclass(slots=True)
class Stack:
    plugins: Path
    postgres: PostgresServer
    service: Serving
    start_service: Callable[[], Awaitable[Serving]]
    """Again, where it was before."""
    prometheus: Prometheus
    inbox: Inbox
    traffic: Traffic

    def make(self, wanted: trouble.Trouble) -> None:
        """What the plugin does from now on."""
        trouble.tell(self.plugins, wanted)

    async def firing(self) -> set[str]:
        """The names of the alerts that fire now, whoever is told."""
        return {labels["alertname"] for labels, _ in await self.prometheus.ask('ALERTS{alertstate="firing"}')}


@asynccontextmanager
async def running_stack(folder: Path) -> AsyncIterator[Stack]:
    """Everything running, used by people and well. What it writes stays below `folder`, which exists."""
    install_plugin(folder, "trouble", inspect.getsource(trouble))
    trouble.tell(folder, "none")
    async with AsyncExitStack() as opened:
        postgres = await asyncio.to_thread(opened.enter_context, postgres_server(migrated=True))
        redis = opened.enter_context(redis_server())
        await redis.start()
        environ = {
            "PYTHONPATH": str(folder),
            "INQUIRY_CLASSIFIER__PROVIDER": "troubled",
            "INQUIRY_STORE__PROVIDER": "postgres",
            "INQUIRY_STORE__POSTGRES__URL": postgres.url(),
            "INQUIRY_CACHE__PROVIDER": "redis",
            "INQUIRY_CACHE__REDIS__URL": redis.url,
            **_PATIENT,
        }
        port, service_port = free_port(), free_port()
        options = ("--workers", "2", "--port", str(service_port))

        async def start_service() -> Serving:
            return await opened.enter_async_context(serving(folder / "data", *options, environ=environ))

        service = await start_service()
        found = await opened.enter_async_context(inbox())
        manager = await opened.enter_async_context(alertmanager(_alertmanager_config(found, folder)))
        addresses = {
            "127.0.0.1:8000": f"127.0.0.1:{service_port}",
            "127.0.0.1:9090": f"127.0.0.1:{port}",
            "127.0.0.1:9093": manager,
        }
        config = _at(addresses, shipped("prometheus/prometheus.yml"))
        rules = {name: shipped(f"prometheus/{name}") for name in config["rule_files"]}
        prometheus = await opened.enter_async_context(configured_prometheus(config, rules, port))
        traffic = Traffic(service.url)
        await opened.enter_async_context(traffic.running())
        yield Stack(folder, postgres, service, start_service, prometheus, found, traffic)


def _at(addresses: Mapping[str, str], config: Any) -> Any:
    """The same configuration for other places."""
    text = yaml.safe_dump(config)
    for written, real in addresses.items():
        text = text.replace(written, real)
    return yaml.safe_load(text)


def _alertmanager_config(found: Inbox, folder: Path) -> dict[str, Any]:
    """As it ships but for the way out: no TLS to a mail server on this machine."""
    secrets = {"smtp_auth_password_file": PASSWORD, "slack_api_url_file": found.webhook_url}
    for name, secret in secrets.items():
        (folder / name).write_text(secret)
    config: dict[str, Any] = shipped("alertmanager/alertmanager.yml")
    config["global"] |= {name: str(folder / name) for name in secrets}
    config["global"] |= {"smtp_smarthost": f"127.0.0.1:{found.smtp_port}", "smtp_require_tls": False}
    return config
