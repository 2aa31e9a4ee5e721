"""`inquiry-svc doctor` on a site that is well, and on one where one thing is not: it is one line, with the cure."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from inquiry_svc.doctor import ROUTINES
from inquiry_svc.models.registry import Registry
from tests.acceptance.altered_answers import Alter, altered_answers
from tests.acceptance.serving import COMMAND, child_environ, install_plugin, run_command, serving
from tests.acceptance.watched_site import Site, watched_site
from tests.model_folders import FOLDERED, taken_in
from tests.servers import free_port

pytestmark = pytest.mark.xdist_group("doctor")

NOT_THERE: Final = f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with watched_site(tmp_path_factory.mktemp("site")) as site:
        yield site


# All is well


def test_a_site_that_is_well_is_told_of_line_by_line_and_is_exit_code_0(site: Site) -> None:
    code, findings = site.doctor()
    assert code == 0
    assert {each["state"] for each in findings} == {"ok"}
    assert [each["check"] for each in findings] == [
        *("health", "metrics", "model", "store", "disk", "clock"),
        *("scrape configuration", "rules", "alertmanager.yml", "dashboards"),
        *("prometheus", "targets", "loaded rules", "firing alerts", "notifications"),
        *("receivers", "watchdog", "silences"),
    ]


def test_a_person_reads_one_line_each_and_how_many_there_were_of_what(site: Site) -> None:
    options = ("--url", site.service, "--data-dir", str(site.data_dir), "--folder", str(site.folder))
    code, out, err = run_command("doctor", *options, "--prometheus", NOT_THERE, "--alertmanager", NOT_THERE)
    assert (code, err) == (1, "")
    *lines, last = out.splitlines()
    assert len(lines) == 10 + 2
    assert all(re.match(r"(ok|wrong)  +\w", line) for line in lines)
    assert next(line for line in lines if line.startswith("wrong")) == (
        f"wrong     prometheus            Prometheus does not answer at {NOT_THERE} (Connection refused), so that 6 "
        "checks are left out -> start it, or name its address with --prometheus"
    )
    assert last == "10 ok, 0 look, 2 wrong, 0 left out"


def test_it_is_coloured_on_a_terminal_alone(site: Site) -> None:
    command = [COMMAND, "doctor", "--url", site.service]
    assert "\x1b[" not in run_command(*command[1:])[1]
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(command, stdout=theirs, env=child_environ(), close_fds=True)
        os.close(theirs)
        shown = b""
        try:
            while part := terminal.read(4096):
                shown += part
        except OSError:  # Linux says so that the other side is closed
            pass
        process.wait(60)
    assert b"\x1b[32mok" in shown


# What is not there


def test_a_service_alone_is_looked_at_and_what_nobody_named_is_left_out(site: Site, tmp_path: Path) -> None:
    environ = {"INQUIRY_SERVER__PORT": site.service.rpartition(":")[2], "INQUIRY_SERVER__DATA_DIR": str(site.data_dir)}
    done = subprocess.run(
        [COMMAND, "doctor", "--json"],
        cwd=tmp_path,
        env=child_environ(environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    states = {each["check"]: each["state"] for each in json.loads(done.stdout)["findings"]}
    assert [name for name, state in states.items() if state == "ok"][:6] == [
        *("health", "metrics", "model", "store", "disk", "clock")
    ]
    assert states["files"] == "left out"
    # Another test, or a person, may run one at the usual address.
    assert states.get("prometheus") in ("left out", "ok")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--url", "inquiry-svc does not answer at {} (Connection refused), so that 4 checks are left out"),
        ("--prometheus", "Prometheus does not answer at {} (Connection refused), so that 6 checks are left out"),
        ("--alertmanager", "Alertmanager does not answer at {} (Connection refused), so that 3 checks are left out"),
    ],
)
def test_an_address_where_nobody_answers_is_one_line(site: Site, option: str, says: str) -> None:
    [(_, said, cure)] = site.wrong(option, NOT_THERE)
    assert said == says.format(NOT_THERE)
    assert cure == f"start it, or name its address with {option}"


def test_the_address_of_another_server_is_one_line(site: Site) -> None:
    [(_, said, cure)] = site.wrong("--url", site.prometheus)
    assert said == f"what answers at {site.prometheus} is no inquiry-svc, so that 4 checks are left out"
    assert cure == "name its address with --url"


def test_a_server_that_never_answers_is_one_line_and_holds_nobody_up(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        [(_, said, _)] = site.wrong("--alertmanager", url, environ={"INQUIRY_DOCTOR__TIMEOUT_S": "4"})
    assert said == f"Alertmanager does not answer at {url} (no answer in time), so that 3 checks are left out"


def test_a_page_that_does_not_come_in_time_is_one_line_that_names_it(site: Site) -> None:
    def late(page: bytes) -> bytes:
        time.sleep(3)
        return page

    with altered_answers(site.service, metrics=late) as url:
        found = site.wrong("--url", url, environ={"INQUIRY_DOCTOR__TIMEOUT_S": "4"})
    assert [said for _, said, _ in found] == [f"{url}/metrics can't be read: no answer in time"]


def test_a_service_that_listens_everywhere_is_asked_here() -> None:
    port = str(free_port())
    environ = {"INQUIRY_SERVER__HOST": "::", "INQUIRY_SERVER__PORT": port}
    assert f"inquiry-svc does not answer at http://[::1]:{port} (" in run_command("doctor", environ=environ)[1]


def test_a_folder_without_the_files_is_one_line(site: Site, tmp_path: Path) -> None:
    [(name, said, _)] = site.wrong("--folder", str(tmp_path))
    assert (name, said) == ("files", f"there is no folder monitoring in {tmp_path}, so that 4 checks are left out")


# The service


async def test_a_component_that_is_ill_is_one_line_with_its_runbook(site: Site, tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    async with serving(
        tmp_path, environ={"INQUIRY_CACHE__PROVIDER": "redis", "INQUIRY_CACHE__REDIS__URL": url}
    ) as service:
        assert site.wrong("--url", service.url, "--data-dir", str(tmp_path)) == [
            ("health", "cache (redis) is unhealthy", "see alerting/runbooks/CacheLost.md")
        ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda page: page + b"db_connections_active 1\n", "db_connections_active has the same series twice"),
        (lambda page: page + b'forged{a="x"y"} 1\n', r'line \d+ of /metrics can\'t be read: forged{a="x"y"} 1'),
        (lambda page: page + b"temperature NaN\n", "temperature is NaN, and so is every sum over it"),
        (lambda page: page + b'some_total{who="__overflow__"} 3\n', "some_total has reached 500 series"),
        (
            lambda page: page + b"".join(b'some_total{who="%d"} 3\n' % number for number in range(4_000)),
            r"\d+ samples are more than 5000",
        ),
    ],
)
def test_metrics_that_prometheus_would_refuse_or_spoil_are_one_line(site: Site, change: Alter, says: str) -> None:
    with altered_answers(site.service, metrics=change) as url:
        [(name, said, cure)] = site.wrong("--url", url)
    assert name == "metrics"
    assert re.fullmatch(says, said)
    assert cure


def test_another_model_than_the_one_installed_is_one_line(site: Site) -> None:
    digest = re.compile(rb'(model_name="xgboost",version="\d+",sha=")\w+')
    with altered_answers(site.service, metrics=lambda page: digest.sub(rb"\g<1>abc", page)) as url:
        [(name, said, _)] = site.wrong("--url", url)
    assert name == "model"
    assert re.fullmatch(r"the models served are xgboost abc, keyword \w+; the champion here is xgboost \w{32}", said)


async def test_the_champion_of_the_registry_is_the_model_that_is_wanted(site: Site, tmp_path: Path) -> None:
    plugin = (
        "from tests.model_folders import FolderModels\nregister_classifiers = FolderModels().register_classifiers\n"
    )
    install_plugin(tmp_path, "foldered", plugin)
    path = f"{tmp_path}:{Path(__file__).parents[2]}"
    environ = {"PYTHONPATH": path, "INQUIRY_CLASSIFIER__PROVIDER": FOLDERED}
    registry = Registry(tmp_path / "data")
    model = taken_in(registry, "sales")
    registry.promote(model, "champion", who="ana", why="a test", figures={})
    async with serving(tmp_path / "data", environ=environ) as service:
        options = ("--url", service.url, "--data-dir")
        assert site.wrong(*options, str(tmp_path / "data"), environ=environ) == []
        [(name, said, _)] = site.wrong(*options, str(tmp_path / "other"), environ=environ)
    assert name == "model"
    assert f"the models served are foldered {model.digest}" in said


@pytest.mark.parametrize(("ahead_s", "says"), [(3600, "(3599|360[01]) s ahead of"), (-90, "(89|9[01]) s behind")])
def test_a_clock_that_is_off_is_one_line(site: Site, ahead_s: int, says: str) -> None:
    with altered_answers(site.service, ahead_s=ahead_s) as url:
        [(name, said, cure)] = site.wrong("--url", url)
    assert name == "clock"
    assert re.fullmatch(f"the clock of service is {says} this one", said)
    assert cure == "have both set by NTP: see timedatectl"


def test_a_disk_that_is_fuller_than_wanted_is_one_line(site: Site) -> None:
    [(name, said, cure)] = site.wrong(environ={"INQUIRY_DOCTOR__MIN_FREE_BYTES": str(10**15)})
    assert name == "disk"
    assert re.fullmatch(r"[\d.]+ GiB are free for the data folder, fewer than 931322.6", said)
    assert cure == "make room: see alerting/runbooks/DiskSpaceLow.md"


def test_a_store_of_a_newer_release_is_one_line(site: Site, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "inquiries.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 99")
    [(name, said, _)] = site.wrong("--data-dir", str(tmp_path))
    assert name == "store"
    assert said.startswith("store 'sqlite' has schema 99, this release knows up to ")


def test_a_store_that_is_behind_is_one_line_with_the_command_that_mends_it(site: Site, tmp_path: Path) -> None:
    source = """
from inquiry_svc.contracts import Provider
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.upkeep import Schema, Upkeep

@hookimpl
def register_stores():
    return [Provider("old", None, upkeep=Upkeep(schema=lambda settings, host: Schema(3, 5)))]
"""
    install_plugin(tmp_path, "old", source)
    [(name, said, cure)] = site.wrong(environ={"PYTHONPATH": str(tmp_path), "INQUIRY_STORE__PROVIDER": "old"})
    assert (name, said) == ("store", "store 'old' has schema 3 of 5")
    assert "inquiry-svc migrate" in cure


def test_a_store_that_can_not_be_reached_is_one_line_and_no_password_is_shown(site: Site) -> None:
    url = f"postgresql://ana:secret@127.0.0.1:{free_port()}/inquiries"
    environ = {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": url}
    [(name, said, _)] = site.wrong(environ=environ)
    assert name == "store"
    assert said.startswith('store "postgres" can\'t be opened: ')
    assert "secret" not in said


# Its routines


def test_each_check_of_the_routines_says_something_of_a_site_that_has_just_begun(site: Site) -> None:
    code, findings = site.doctor("--daily", "--weekly", "--monthly")
    assert code == 0
    names = {check.name for routine in ROUTINES.values() for check in routine.checks}
    assert names <= {each["check"] for each in findings}
    assert [each for each in findings if "it failed over" in each["says"]] == []
    said = {each["check"]: each["says"] for each in findings}
    assert said["volume"] == "Prometheus has no data on it yet"
    assert "13 of 13 of kubernetes-cluster" in said["empty panels"]
    assert re.fullmatch(r"\d+ of \d+ alerts were never pending within the month", said["quiet alerts"])


def test_what_is_left_to_a_person_is_said_at_the_end(site: Site) -> None:
    options = ("--url", site.service, "--prometheus", site.prometheus, "--alertmanager", site.alertmanager)
    _, out, _ = run_command("doctor", *options, "--weekly")
    steps = [line.removeprefix("by hand   ") for line in out.splitlines() if line.startswith("by hand ")]
    assert steps == list(ROUTINES["weekly"].by_hand)


# Itself


def test_a_password_in_an_address_is_used_and_never_shown(site: Site) -> None:
    named = site.prometheus.replace("http://", "http://ana:secret@")
    code, findings = site.doctor("--prometheus", named)
    assert code == 0
    assert "secret" not in json.dumps(findings)
    with altered_answers(site.prometheus, password="ana:secret") as url:
        assert site.wrong("--prometheus", url)[0][1].startswith(f"what answers at {url} is no Prometheus")
        assert site.wrong("--prometheus", url.replace("http://", "http://ana:secret@")) == []


@pytest.mark.parametrize("address", ["prometheus:9090", "ftp://127.0.0.1", "http://", "http://[::1"])
def test_an_address_that_is_none_is_exit_code_2_and_one_line(address: str) -> None:
    code, out, err = run_command("doctor", "--prometheus", address)
    assert (code, out) == (2, "")
    assert err == f"inquiry-svc: doctor.prometheus can't be {address!r}: write http://host:port\n"


def test_a_plugin_that_raises_spoils_its_own_line_alone(site: Site, tmp_path: Path) -> None:
    source = """
from inquiry_svc.contracts import Provider
from inquiry_svc.hookspecs import hookimpl

def broken(settings, host):
    raise RuntimeError("as wanted")

@hookimpl
def register_classifiers():
    return [Provider("broken", broken)]
"""
    install_plugin(tmp_path, "broken", source)
    environ = {"PYTHONPATH": str(tmp_path), "INQUIRY_CLASSIFIER__PROVIDER": "broken"}
    [(name, said, _)] = site.wrong(environ=environ)
    assert (name, said) == ("model", "it failed over what it found (RuntimeError: as wanted)")


def test_without_the_libraries_of_alerts_what_needs_them_is_left_out(site: Site, tmp_path: Path) -> None:
    (tmp_path / "promql_parser.py").write_text("raise ModuleNotFoundError('no', name='promql_parser')\n")
    code, findings = site.doctor(environ={"PYTHONPATH": str(tmp_path)})
    left_out = [(each["check"], each["says"], each["cure"]) for each in findings if each["state"] == "left out"]
    assert code == 0
    cure = "pip install 'inquiry-svc[alerts]'"
    assert left_out == [("rules", "it needs promql_parser", cure), ("dashboards", "it needs promql_parser", cure)]


async def test_a_service_of_several_workers_is_well(site: Site, tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2") as service:
        assert site.wrong("--url", service.url, "--data-dir", str(tmp_path)) == []
