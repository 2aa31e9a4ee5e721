"""What monitoring/README.md says to type when something is missing, and the procedures, typed on a site that runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.serving import child_environ
from tests.acceptance.watched_site import Site, watched_site, with_tools
from tests.servers.prometheus import program

ROOT: Final = Path(__file__).parents[2]
MISSING: Final = (
    (ROOT / "monitoring/README.md").read_text().split("\n## When something is missing\n")[1].split("\n## ")[0]
)
PAGES: Final = {"README": MISSING} | {
    file.stem: file.read_text() for file in sorted((ROOT / "alerting/procedures").glob("*.md"))
}
NOT_HERE: Final = re.compile(
    r":3000|:9115|^(kubectl|psql|dmesg) |-m pytest"  # Grafana, the prober, a cluster, PostgreSQL, the kernel's log
    r"|^inquiry-svc (serve|dashboard|restore)|^p(kill|grep) "  # they serve, or end what serves
)
STEPS: Final = {
    page: [
        (title, "".join(typed))
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for title, command in re.findall(r"^# (.*)\n((?:[^#\n].*\n)+)", block, re.MULTILINE)
        if (typed := [line for line in command.splitlines(keepends=True) if not NOT_HERE.search(line)])
    ]
    for page, text in PAGES.items()
}
SAYS_NOTHING_WHEN_ALL_IS_WELL: Final = re.compile(r"ALERTS|awk '\$NF|\"level\":\"ERROR\"")

pytestmark = pytest.mark.xdist_group("doctor")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for tool in ("promtool", "amtool"):
        program(tool)
    if not shutil.which("jq") or not shutil.which("curl"):
        pytest.skip("no jq or no curl: apt-get install jq curl")
    with watched_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="module")
def folder(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the repository, as whoever started this site has it."""
    folder = tmp_path_factory.mktemp("repository")
    places = {name: ROOT / name for name in ("monitoring", "alerting", "plugins")}
    for name, place in {
        **places,
        "inquiry-data": site.data_dir,
        "inquiry-svc.log": site.folder / "service.log",
    }.items():
        (folder / name).symlink_to(place)
    run("inquiry-svc backup inquiries-1.sqlite3", site, folder)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_each_command_says_something_on_a_site_that_runs(page: str, site: Site, folder: Path) -> None:
    for title, command in STEPS[page]:
        silent = SAYS_NOTHING_WHEN_ALL_IS_WELL.search(command)
        code, said = run(command, site, folder)
        assert code == 0 or (silent and not said), f"{title}: {command}: {said}"
        assert said or silent, f"{title}: {command} said nothing"


def run(script: str, site: Site, folder: Path) -> tuple[int, str]:
    addresses = {8000: site.service, 9090: site.prometheus, 9093: site.alertmanager}
    for port, address in addresses.items():
        script = script.replace(f"http://127.0.0.1:{port}", address)
    path = with_tools().get("PATH", os.environ["PATH"])
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{path}",
        "INQUIRY_DOCTOR__URL": site.service,
        "INQUIRY_DOCTOR__PROMETHEUS": site.prometheus,
        "INQUIRY_DOCTOR__ALERTMANAGER": site.alertmanager,
    }
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=child_environ(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout


def test_most_commands_are_typed() -> None:
    assert {page: len(steps) for page, steps in STEPS.items() if len(steps) < 3} == {}
    assert sum(map(len, STEPS.values())) >= 35
