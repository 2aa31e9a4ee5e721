"""A real Prometheus for a test, on a port and in a folder of its own; killed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import yaml

from tests.servers import free_port
from tests.servers.prometheus import running_program


@dataclass(frozen=True, slots=True)
class Prometheus:
    address: str
    """Host and port."""
    client: aiohttp.ClientSession

    async def ask(self, query: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and value of each series of the answer at this moment."""
        return [(each["metric"], float(each["value"][1])) for each in await self._result(query)]

    async def evaluated_at(self, series: str) -> list[tuple[Mapping[str, str], list[float]]]:
        """Labels of each series of the last hour, and when it had a sample, on the clock of `time.time`."""
        found = await self._result(f"{series}[1h]")
        return [(each["metric"], [float(at) for at, _ in each["values"]]) for each in found]

    async def _result(self, query: str) -> list[Any]:
        async with self.client.get("/api/v1/query", params={"query": query}) as answer:
            content = await answer.json()
        assert content["status"] == "success", f"{query}: {content}"
        result: list[Any] = content["data"]["result"]
        return result


@asynccontextmanager
async def prometheus(
    scrape_configs: Sequence[Mapping[str, Any]],
    rule_groups: Sequence[Mapping[str, Any]] = (),
    *,
    options: Sequence[str] = (),
) -> AsyncIterator[Prometheus]:
    """Scrape and judge the rules once a second while open, from the moment that it is ready."""
    every_second = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = {"global": every_second, "scrape_configs": list(scrape_configs), "rule_files": ["rules.yml"]}
    rules = {"groups": [{**group, "interval": "1s"} for group in rule_groups]}
    async with configured_prometheus(config, {"rules.yml": rules}, options=options) as server:
        yield server


@asynccontextmanager
async def configured_prometheus(
    config: Mapping[str, Any],
    rule_files: Mapping[str, Any],
    port: int | None = None,
    *,
    options: Sequence[str] = (),
) -> AsyncIterator[Prometheus]:
    """The same with a configuration of its own, which names the rule files."""
    port = port or free_port()
    with TemporaryDirectory(prefix="inquiry-svc-prometheus-") as name:
        folder = Path(name)
        for file, content in {"prometheus.yml": config, **rule_files}.items():
            (folder / file).write_text(yaml.safe_dump(content))
        # It finds the Alertmanager after 5 s; what it sent before, it sends again after this, not after 1 minute.
        started_with = (
            "--rules.alert.resend-delay=5s",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            *options,
        )
        async with running_program("prometheus", *started_with, port=port, folder=folder) as client:
            yield Prometheus(f"127.0.0.1:{port}", client)
