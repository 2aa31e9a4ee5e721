"""The prober as it is shipped: it sees what a client would meet, and nothing is asked until an address is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.acceptance.altered_answers import altered_answers
from tests.acceptance.serving import serving
from tests.acceptance.watched_site import running
from tests.api_keys import written_keys
from tests.servers import free_port
from tests.servers.prometheus import program
from tests.servers.scraping import Prometheus, prometheus

SHIPPED: Final = Path(__file__).parents[2] / "monitoring/prometheus"
LIMIT_S: Final = 60.0


@asynccontextmanager
async def probing(url: str, folder: Path, config: Path = SHIPPED / "blackbox.yml") -> AsyncIterator[Prometheus]:
    """A Prometheus with the shipped job, and a prober, that ask this address while open."""
    port = free_port()
    command = [program("blackbox-exporter"), f"--config.file={config}"]
    targets = folder / "probes.yml"
    targets.write_text(yaml.safe_dump([{"targets": [f"{url}/api/v1/inquiries/classify"]}]))
    job = {**shipped_job(), "scrape_interval": "1s", "file_sd_configs": [{"files": [str(targets)]}]}
    job["relabel_configs"][-1]["replacement"] = f"127.0.0.1:{port}"
    with running([*command, f"--web.listen-address=127.0.0.1:{port}"], folder / "prober.log"):
        async with prometheus([job]) as server:
            yield server


def shipped_job() -> dict[str, Any]:
    content = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    [job] = [each for each in content["scrape_configs"] if each["job_name"] == "inquiry-svc-probe"]
    found: dict[str, Any] = job
    return found


async def await_success(server: Prometheus, value: float) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            if [each for _, each in await server.ask('probe_success{job="inquiry-svc-probe"}')] == [value]:
                return
            await asyncio.sleep(0.1)


async def test_with_a_key_of_its_own_it_is_let_in(tmp_path: Path) -> None:
    key = tmp_path / "prober-key"
    key.write_text(written_keys(tmp_path / "keys", {"prober": ("submit",)})["prober"])
    shipped = (SHIPPED / "blackbox.yml").read_text()
    assert "# authorization: {credentials_file: /etc/prometheus/prober-key}" in shipped
    config = shipped.replace("# authorization:", "authorization:").replace("/etc/prometheus/prober-key", str(key))
    (tmp_path / "blackbox.yml").write_text(config)
    environ = {"INQUIRY_AUTH__KEYS_FILE": str(tmp_path / "keys")}
    async with (
        serving(tmp_path / "data", environ=environ) as service,
        probing(service.url, tmp_path, tmp_path / "blackbox.yml") as server,
    ):
        await await_success(server, 1)


async def test_an_inquiry_from_outside_is_classified_and_a_service_that_is_killed_is_noticed(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as service, probing(service.url, tmp_path) as server:
        await await_success(server, 1)
        [(labels, _)] = await server.ask('probe_success{job="inquiry-svc-probe"}')
        assert labels["instance"] == f"{service.url}/api/v1/inquiries/classify"
        service.process.kill()
        await await_success(server, 0)


@pytest.mark.parametrize("answer", [b"{}", b"<p>We will be back soon.</p>"])
async def test_what_stands_before_the_service_and_answers_200_by_itself_is_noticed(
    answer: bytes, tmp_path: Path
) -> None:
    with altered_answers("", classify=lambda _: answer) as url:
        async with probing(url, tmp_path) as server:
            await await_success(server, 0)


def test_nothing_is_asked_until_an_address_is_named() -> None:
    assert yaml.safe_load((SHIPPED / "probes.yml").read_text()) == []
    assert shipped_job()["file_sd_configs"] == [{"files": ["probes.yml"]}]
