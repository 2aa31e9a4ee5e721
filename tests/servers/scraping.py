"""A real Prometheus for a test, on a port and in a folder of its own, that scrapes once a second; killed at the end."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp
import yaml

from tests.servers import free_port
from tests.servers.prometheus import program

START_LIMIT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    address: str
    """Host and port."""
    client: aiohttp.ClientSession

    async def ask(self, query: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and value of each series of the answer at this moment."""
        async with self.client.get("/api/v1/query", params={"query": query}) as answer:
            content = await answer.json()
        assert content["status"] == "success", f"{query}: {content}"
        return [(each["metric"], float(each["value"][1])) for each in content["data"]["result"]]


@asynccontextmanager
async def prometheus(
    scrape_configs: Sequence[Mapping[str, Any]],
    rule_groups: Sequence[Mapping[str, Any]] = (),
    *,
    options: Sequence[str] = (),
) -> AsyncIterator[Prometheus]:
    """Scrape and judge the rules while open, from the moment that it is ready."""
    with TemporaryDirectory(prefix="inquiry-svc-prometheus-") as name:
        folder, port = Path(name), free_port()
        every_second = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = {"global": every_second, "scrape_configs": list(scrape_configs), "rule_files": ["rules.yml"]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{**g, "interval": "1s"} for g in rule_groups]}))
        log = (folder / "log").open("wb")
        process = subprocess.Popen(  # noqa: ASYNC220 (quick)
            [
                program("prometheus"),
                *(f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
                f"--web.listen-address=127.0.0.1:{port}",
                *options,
            ],
            stdout=log,
            stderr=log,
        )
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
                await _ready(client, process, folder / "log")
                yield Prometheus(f"127.0.0.1:{port}", client)
        finally:
            process.kill()
            process.wait(10)
            log.close()


async def _ready(client: aiohttp.ClientSession, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(START_LIMIT_S):
        while True:
            try:
                async with client.get("/-/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            assert process.poll() is None, log.read_text()  # noqa: ASYNC240 (quick)
            await asyncio.sleep(0.02)
