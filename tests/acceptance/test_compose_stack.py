"""The stack of compose.yaml, by its own commands, settings and secrets, in a network of its own, without an engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.image import ROOT
from tests.servers.prometheus import program

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("compose")]


@pytest.fixture(scope="module")
def seen() -> Any:
    program("prometheus")
    program("alertmanager")
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("a network of its own is root's to make, with unshare and ip (util-linux, iproute2)")
    with TemporaryDirectory(prefix="inquiry-svc-compose-") as name:
        Path(name).chmod(0o755)  # PostgreSQL is nobody
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", sys.executable]
        done = subprocess.run(
            [*command, "-m", "tests.compose_stack", name],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"},
            capture_output=True,
            text=True,
            timeout=380,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        yield {**json.loads(done.stdout.splitlines()[-1]), "ends": done.stderr}


def test_the_service_finds_its_stores_by_name_and_secret(seen: Any) -> None:
    assert seen["health"]["status"] == "healthy", seen["log"]
    components = {name: each["provider"] for name, each in seen["health"]["components"].items()}
    assert (components["database"], components["cache"]) == ("postgres", "redis")
    assert seen["health_check"] == 0
    assert seen["submitted"] == [201, 201, 401], "with the key that was written, in either header, and without one"


def test_redis_wants_its_password(seen: Any) -> None:
    assert seen["redis_without_password"].startswith("-NOAUTH")


def test_prometheus_reaches_everything_and_alertmanager_hears_of_it(seen: Any) -> None:
    assert seen["targets"] == {"inquiry-svc": "up", "prometheus": "up", "alertmanager": "up"}
    assert "Watchdog" in seen["alerts"]


def test_the_console_is_there(seen: Any) -> None:
    assert seen["console"] == "ok"


def test_everything_stops_when_told(seen: Any) -> None:
    for name in ("inquiry-svc", "console", "redis", "prometheus", "alertmanager"):
        assert f"{name} ended with 0" in seen["ends"]
