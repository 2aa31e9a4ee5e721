"""compose.yaml follows its specification, hardens every service, and names nothing that is not in the tree."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from inquiry_svc.api_keys import read_keys
from tests.deployment import DEPLOY, ROOT, VERSION, compose, seconds, settings_there, written_secrets
from tests.servers.prometheus import run_program

COMPOSE: Final = compose()
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = SERVICES["inquiry-svc"]


def test_it_follows_the_compose_specification() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_it_runs_what_belongs_to_the_service() -> None:
    others = {"console", "postgres", "redis", "prometheus", "alertmanager", "grafana", "jaeger"}
    assert SERVICES.keys() >= {"inquiry-svc", *others}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_limited_asked_for_its_health_and_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+", service["image"])
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "pid", "ipc", "network_mode", "cap_add"} & service.keys()
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service.get("healthcheck") or service is OURS  # its image has one


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_published_on_this_machine_alone_and_for_a_browser(name: str) -> None:
    published = SERVICES[name].get("ports", [])
    assert [each for each in published if not each.startswith("127.0.0.1:")] == []
    assert not published or name in ("inquiry-svc", "console", "grafana", "jaeger")


def test_stores_are_reached_by_the_service_alone() -> None:
    assert COMPOSE["networks"]["data"]["internal"] is True
    assert {name for name, each in SERVICES.items() if "data" in each["networks"]} == {
        "inquiry-svc",
        "postgres",
        "redis",
    }


def test_every_secret_is_written_by_chance_read_from_a_file_and_used(tmp_path: Path) -> None:
    written, again = (written_secrets(tmp_path / name) for name in ("one", "two"))
    for_people = {"admin-key"}
    assert COMPOSE["secrets"] == {name: {"file": f"secrets/{name}"} for name in written.keys() - for_people}
    used = [
        each if isinstance(each, str) else each["source"]
        for service in SERVICES.values()
        for each in service.get("secrets", [])
    ]
    assert sorted(used) == sorted(written.keys() - for_people)
    made_up = written.keys() - {"smtp-password", "slack-webhook-url"}
    assert [name for name in made_up if written[name].read_text() == again[name].read_text()] == []
    variables = [name for each in SERVICES.values() for name in each.get("environment", {})]
    assert [name for name in variables if re.search("PASSWORD|SECRET|TOKEN|KEY", name) and "_FILE" not in name] == []


def test_secrets_stay_as_they_are_and_nobody_else_comes_near(tmp_path: Path) -> None:
    before = {
        name: file.read_text() for name, file in written_secrets(tmp_path / "secrets", SMTP_PASSWORD="a b").items()
    }
    after = {name: file.read_text() for name, file in written_secrets(tmp_path / "secrets").items()}
    assert before == after
    assert after["smtp-password"] == "a b"
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "secrets").iterdir()} == {0o644}


def test_secrets_are_never_committed() -> None:
    ignored = subprocess.run(["git", "check-ignore", "deploy/secrets/x"], cwd=ROOT, capture_output=True, check=False)
    assert ignored.returncode == 0


def test_every_file_that_is_mounted_exists() -> None:
    sources = [each.split(":")[0] for service in SERVICES.values() for each in service.get("volumes", [])]
    assert [each for each in sources if each.startswith(".") and not (DEPLOY / each).exists()] == []
    assert {each for each in sources if not each.startswith(".")} == COMPOSE["volumes"].keys()


def test_the_services_variables_are_settings_and_lead_to_the_stores_here(tmp_path: Path) -> None:
    mounted = {f"/run/secrets/{name}": file for name, file in written_secrets(tmp_path / "secrets").items()}
    settings = settings_there(OURS["environment"], mounted)
    assert (settings.store.provider, settings.cache.provider) == ("postgres", "redis")
    assert "@postgres:5432/inquiries" in settings.of_providers["store", "postgres"].url
    assert "@redis:6379/0" in settings.of_providers["cache", "redis"].url
    assert not settings.auth.anyone_may_call
    assert {key.name: set(key.scopes) for key in read_keys(Path(settings.auth.keys_file)).by_id.values()} == {
        "admin": {"admin"},
        "prometheus": {"metrics"},
        "console": {"submit", "read", "review"},
    }
    assert OURS["ports"] == [f"127.0.0.1:8000:{settings.server.port}"]
    assert OURS["volumes"] == [f"service:{settings.server.data_dir}"]
    assert OURS["image"] == f"inquiry-svc:{VERSION}"
    assert seconds(OURS["stop_grace_period"]) > settings.server.announce_stop_s + settings.server.stop_timeout_s + 2


def test_each_key_that_is_written_fits_its_line(tmp_path: Path) -> None:
    written = written_secrets(tmp_path / "secrets")
    ring = read_keys(written["api-keys"])
    for name in ("admin", "prometheus", "console"):
        found = ring.find(written[f"{name}-key"].read_text())
        assert found is not None
        assert found.name == name


def test_the_console_asks_the_service_and_is_asked_where_it_listens(tmp_path: Path) -> None:
    console, written = SERVICES["console"], written_secrets(tmp_path / "secrets")
    there = settings_there(
        console["environment"], {f"/run/secrets/{name}": written[name] for name in console["secrets"]}
    )
    assert there.client.key == written["console-key"].read_text()
    settings = there.console
    assert settings.url == f"http://inquiry-svc:{settings_there({}, {}).server.port}"
    assert set(console["networks"]) & set(OURS["networks"])
    assert console["ports"] == [f"127.0.0.1:8501:{settings.port}"]
    assert f"http://127.0.0.1:{settings.port}/_stcore/health" in console["healthcheck"]["test"][-1]
    assert console["image"] == f"inquiry-svc-console:{VERSION}"
    assert (ROOT / f"requirements/{console['build']['args']['DEPENDENCIES']}.lock").exists()


def test_prometheus_is_configured_as_on_one_machine_but_for_its_key_and_the_names_of_its_targets() -> None:
    here, there = (
        yaml.safe_load((ROOT / name).read_text())
        for name in ("deploy/compose/prometheus.yml", "monitoring/prometheus/prometheus.yml")
    )
    there["scrape_configs"] = [job for job in there["scrape_configs"] if job["job_name"] != "inquiry-svc-probe"]
    keys = [job.pop("authorization") for job in here["scrape_configs"] if job["job_name"] == "inquiry-svc"]
    assert keys == [{"credentials_file": "secrets/prometheus-key"}]
    assert _without_hosts(here) == _without_hosts(there)
    targets = re.findall(r"targets: \[(\S+):(\d+)\]", (DEPLOY / "compose/prometheus.yml").read_text())
    assert {host for host, _ in targets} <= SERVICES.keys() | {"127.0.0.1"}


def _without_hosts(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_hosts(each) for key, each in value.items()}
        case list():
            return [_without_hosts(each) for each in value]
        case _:
            return re.sub(r"^[\w.-]+(?=:\d+$)", "host", str(value))


def test_prometheus_finds_its_files_where_they_are_mounted(tmp_path: Path) -> None:
    for source, target, *_ in (each.split(":") for each in SERVICES["prometheus"]["volumes"]):
        if source.startswith("."):
            (tmp_path / target[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(DEPLOY / source, tmp_path / target[1:])
    for each in SERVICES["prometheus"]["secrets"]:
        (tmp_path / each["target"][1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each["target"][1:]).write_text("inq_")
    file = re.sub("^--config.file=/", "", SERVICES["prometheus"]["command"][0])
    code, said = run_program("promtool", ["check", "config", "--lint=all", "--lint-fatal", file], folder=tmp_path)
    assert code == 0, said
    assert "rules found" in said


def test_alertmanager_finds_its_secrets_where_they_are_mounted() -> None:
    wanted = set(re.findall(r"_file: (/\S+)", (ROOT / "alerting/alertmanager.yml").read_text()))
    assert {each["target"] for each in SERVICES["alertmanager"]["secrets"]} == wanted
