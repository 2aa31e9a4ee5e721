"""All that stands between a fault and a person: service, database, cache, Prometheus, Alertmanager and two inboxes.

And a receiver of webhooks, which the service tells of each inquiry.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.acceptance.serving import Serving, install_plugin, serving
from tests.alive import trouble
from tests.alive.hurrying import shipped
from tests.alive.traffic import Traffic
from tests.fault_proxy import FaultProxy
from tests.servers import free_port
from tests.servers.alertmanager import alertmanager
from tests.servers.inbox import PASSWORD, Inbox, inbox
from tests.servers.postgres import PostgresServer, postgres_server
from tests.servers.redis import RedisServer, redis_server
from tests.servers.scraping import Prometheus, configured_prometheus
from tests.servers.webhook import WebhookReceiver, told_of, webhook_receiver

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
_TARGETS: Final = "targets.yml"
_PROBES: Final = "probes.yml"


@dataclass(slots=True)
class Stack:
    folder: Path
    opened: AsyncExitStack
    """Closed with the stack, for what a fault needs beside it."""
    postgres: PostgresServer
    cache: RedisServer
    stream: RedisServer
    service: Serving
    start_service: Callable[..., Awaitable[Serving]]
    """Again, where it was before; or another one beside it, on a port of its own."""
    prometheus: Prometheus
    prober: str
    """Host and port where Prometheus looks for a prober."""
    inbox: Inbox
    traffic: Traffic
    receiver: WebhookReceiver
    """Is told of every inquiry."""
    environ: Mapping[str, str]
    """Of the service."""
    second: Serving | None = None
    way: FaultProxy | None = None
    """In front of the service, for those who take it."""
    _busy: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def scrape(self, *urls: str) -> None:
        """These, from now on."""
        _aim(self.folder / _TARGETS, [url.removeprefix("http://") for url in urls])

    def probe(self, *urls: str) -> None:
        _aim(self.folder / _PROBES, urls)

    def begin(self, *works: Coroutine[None, None, None]) -> None:
        """Have these done until `end`."""
        self._busy += [asyncio.create_task(work) for work in works]

    async def end(self) -> None:
        """Break off what was begun. Raises what went wrong in it."""
        busy, self._busy = self._busy, []
        for task in busy:
            task.cancel()
        for ended in await asyncio.gather(*busy, return_exceptions=True):
            if not isinstance(ended, asyncio.CancelledError | None):
                raise ended

    def make(self, wanted: trouble.Trouble) -> None:
        """What the plugin does from now on."""
        trouble.tell(self.folder, wanted)

    async def firing(self) -> set[str]:
        """The names of the alerts that fire now, whoever is told."""
        return {labels["alertname"] for labels, _ in await self.prometheus.ask('ALERTS{alertstate="firing"}')}


@asynccontextmanager
async def running_stack(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[Stack]:
    """Everything running, used by people and well. What it writes stays below `folder`, which exists.

    `settings` are variables of the environment of the service.
    """
    install_plugin(folder, "trouble", inspect.getsource(trouble))
    trouble.tell(folder, "none")
    async with AsyncExitStack() as opened:
        postgres = await asyncio.to_thread(opened.enter_context, postgres_server(migrated=True))
        cache, stream = opened.enter_context(redis_server()), opened.enter_context(redis_server())
        await asyncio.gather(cache.start(), stream.start())
        receiver = await opened.enter_async_context(webhook_receiver())
        environ = {
            "PYTHONPATH": str(folder),
            "INQUIRY_CLASSIFIER__PROVIDER": "troubled",
            "INQUIRY_CLASSIFIER__FALLBACK": "troubled_fallback",
            "INQUIRY_STORE__PROVIDER": "postgres",
            "INQUIRY_STORE__POSTGRES__URL": postgres.url(),
            "INQUIRY_CACHE__PROVIDER": "redis",
            "INQUIRY_CACHE__REDIS__URL": cache.url,
            "INQUIRY_SOURCES__PROVIDERS": "redis_stream",
            "INQUIRY_SOURCES__REDIS_STREAM__URL": stream.url,
            **told_of(receiver, "triaged"),
            **_PATIENT,
            **settings,
        }
        port, service_port = free_port(), free_port()

        async def start_service(data_dir: str = "data", port: int = service_port) -> Serving:
            options = ("--workers", "2", "--port", str(port))
            return await opened.enter_async_context(serving(folder / data_dir, *options, environ=environ))

        service = await start_service()
        found = await opened.enter_async_context(inbox())
        manager = await opened.enter_async_context(alertmanager(_alertmanager_config(found, folder)))
        prober = f"127.0.0.1:{free_port()}"
        addresses = {
            "127.0.0.1:9090": f"127.0.0.1:{port}",
            "127.0.0.1:9093": manager,
            "127.0.0.1:9115": prober,
            _PROBES: str(folder / _PROBES),
        }
        config = _at(addresses, shipped("prometheus/prometheus.yml"))
        # In a file, so that they can come and go.
        [scraped] = [each for each in config["scrape_configs"] if each["job_name"] == "inquiry-svc"]
        scraped["file_sd_configs"] = [{"files": [str(folder / _TARGETS)]}]
        assert scraped.pop("static_configs") == [{"targets": ["127.0.0.1:8000"]}]
        _aim(folder / _TARGETS, [service.url.removeprefix("http://")])
        rules = {name: shipped(f"prometheus/{name}") for name in config["rule_files"]}
        prometheus = await opened.enter_async_context(configured_prometheus(config, rules, port))
        traffic = Traffic(service.url)
        await opened.enter_async_context(traffic.running())
        stack = Stack(
            *(folder, opened, postgres, cache, stream, service, start_service),
            *(prometheus, prober, found, traffic, receiver, environ),
        )
        opened.push_async_callback(stack.end)
        yield stack


def _aim(file: Path, targets: Sequence[str]) -> None:
    """In one piece: Prometheus reads it as soon as it changes."""
    written = file.with_suffix(".new")
    written.write_text(yaml.safe_dump([{"targets": list(targets)}] if targets else []))
    written.rename(file)


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
