"""A site as the repository sets it up: a service, with Prometheus and Alertmanager on the files of `monitoring`.

The files are copies in a folder of the test's own, with its addresses in them; they may be spoilt.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.acceptance.serving import COMMAND, child_environ, run_command
from tests.servers import free_port
from tests.servers.prometheus import BIN_VARIABLE, program

ROOT: Final = Path(__file__).parents[2]
PROMETHEUS_YML: Final = "monitoring/prometheus/prometheus.yml"
ALERTS_YML: Final = "monitoring/prometheus/alerts.yml"
ALERTMANAGER_YML: Final = "monitoring/alertmanager/alertmanager.yml"
LIMIT_S: Final = 60.0

Findings: TypeAlias = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Site:
    folder: Path
    service: str
    prometheus: str
    alertmanager: str

    @property
    def data_dir(self) -> Path:
        return self.folder / "inquiry-data"

    def doctor(self, *options: str, environ: Mapping[str, str] | None = None) -> tuple[int, Findings]:
        """Exit code and findings; a later option wins over this site's own."""
        arguments = [
            *("--json", "--url", self.service, "--prometheus", self.prometheus, "--alertmanager", self.alertmanager),
            *("--folder", str(self.folder), "--data-dir", str(self.data_dir), *options),
        ]
        code, out, err = run_command("doctor", *arguments, environ={**with_tools(), **(environ or {})})
        assert err == ""
        said = json.loads(out)
        assert said["wrong"] == sum(each["state"] == "wrong" for each in said["findings"])
        return code, said["findings"]

    def wrong(self, *options: str, environ: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
        """Check, what it says and the cure, of all that is wrong."""
        code, findings = self.doctor(*options, environ=environ)
        found = [(each["check"], each["says"], each["cure"]) for each in findings if each["state"] == "wrong"]
        assert code == (1 if found else 0)
        return found

    @contextmanager
    def spoilt(self, name: str, change: Callable[[str], str]) -> Iterator[None]:
        """The file is other while open."""
        file = self.folder / name
        before = file.read_text()
        after = change(before)
        assert after != before
        file.write_text(after)
        try:
            yield
        finally:
            file.write_text(before)

    def reload_prometheus(self) -> bool:
        """Whether it took its configuration."""
        try:
            with urllib.request.urlopen(f"{self.prometheus}/-/reload", b"", timeout=LIMIT_S):
                return True
        except urllib.error.HTTPError:
            return False

    def await_all_is_well(self) -> None:
        """Each target is up, and the alert that always fires is at Alertmanager."""
        targets = f"{self.prometheus}/api/v1/targets?state=active"
        await_(lambda: [each["health"] for each in ask(targets)["data"]["activeTargets"]] == ["up"] * 3)
        self.await_alertmanager()

    def await_alertmanager(self) -> None:
        """Prometheus looks for it anew after each reload, which takes 5 s."""
        await_(lambda: ask(f"{self.prometheus}/api/v1/alertmanagers")["data"]["activeAlertmanagers"])
        await_(lambda: ask(f"{self.alertmanager}/api/v2/alerts?filter=alertname=Watchdog"))


def with_tools() -> Mapping[str, str]:
    """What lets a child find promtool and amtool where the tests do."""
    folder = os.environ.get(BIN_VARIABLE)
    return {"PATH": f"{folder}:{os.environ['PATH']}"} if folder else {}


@contextmanager
def watched_site(folder: Path) -> Iterator[Site]:
    """All of it, while open, from the moment that the alert which always fires has arrived at Alertmanager."""
    names = ("service", "prometheus", "alertmanager")
    ports = {name: free_port() for name in names}
    site = Site(folder, *(f"http://127.0.0.1:{ports[name]}" for name in names))
    copy_files(folder, ports)
    commands = {
        "service": [COMMAND, "serve", f"--port={ports['service']}", f"--data-dir={site.data_dir}"],
        "alertmanager": [
            *(program("alertmanager"), f"--config.file={folder / ALERTMANAGER_YML}"),
            *(f"--storage.path={folder / 'alertmanager-data'}", "--cluster.listen-address="),
            f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
        ],
        "prometheus": [
            *(program("prometheus"), f"--config.file={folder / PROMETHEUS_YML}", "--web.enable-lifecycle"),
            *(f"--storage.tsdb.path={folder / 'prometheus-data'}", "--rules.alert.resend-delay=1s"),
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
        ],
    }
    with ExitStack() as stack:
        for name, command in commands.items():
            stack.enter_context(running(command, folder / f"{name}.log"))
        await_(lambda: ask(f"{site.service}/api/v1/health"))
        await_(lambda: ask(f"{site.alertmanager}/api/v2/status"))
        site.await_all_is_well()
        yield site


def copy_files(folder: Path, ports: Mapping[str, int]) -> None:
    secrets = folder / "secrets"
    secrets.mkdir()
    for name in ("smtp-password", "slack-webhook-url"):
        (secrets / name).write_text("http://127.0.0.1:9/\n")
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{ports['service']}",
        "127.0.0.1:9090": f"127.0.0.1:{ports['prometheus']}",
        "127.0.0.1:9093": f"127.0.0.1:{ports['alertmanager']}",
        "15s": "1s",
        "example.org": "support.test",
        "/etc/prometheus/secrets": str(secrets),
    }
    shutil.copytree(ROOT / "monitoring/grafana/dashboards", folder / "monitoring/grafana/dashboards")
    for name in (PROMETHEUS_YML, ALERTS_YML, ALERTMANAGER_YML, "alerting/external.yaml"):
        text = (ROOT / name).read_text()
        for before, after in () if name == ALERTS_YML else changes.items():
            text = text.replace(before, after)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=child_environ())
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


def ask(url: str, body: Any = None) -> Any:
    """The JSON that the address answers with; `body` is posted as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        content = answer.read()
        return json.loads(content) if content else None


def await_(true: Callable[[], Any]) -> None:
    give_up_at = time.monotonic() + LIMIT_S
    while True:
        try:
            if true():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        assert time.monotonic() < give_up_at, "it did not come true"
        time.sleep(0.05)
