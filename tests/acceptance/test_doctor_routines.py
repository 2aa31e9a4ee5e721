"""`doctor --daily`, `--weekly`, `--monthly`: each question asked of a month that was well and of one that was not."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from inquiry_svc.doctor.questions import Question
from inquiry_svc.doctor.routines import DAILY, MONTHLY, WEEKLY
from tests.acceptance.altered_answers import altered_answers
from tests.acceptance.serving import run_command
from tests.acceptance.watched_site import Findings, Site, ask, await_, running
from tests.servers import free_port
from tests.servers.prometheus import program, run_program

pytestmark = pytest.mark.xdist_group("doctor")

QUESTIONS: Final = [*DAILY, *WEEKLY, *MONTHLY]
ALL: Final = ("--daily", "--weekly", "--monthly")

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
GIB: Final = 1024.0**3

Story: TypeAlias = Mapping[str, Callable[[float], float | None]]
"""What each series was so many seconds ago; None where it was not there."""


def rising(a_day: float) -> Callable[[float], float]:
    """A counter, or a gauge that does nothing else."""
    return lambda ago_s: 1e6 - a_day * ago_s / DAY


def always(value: float) -> Callable[[float], float]:
    return lambda ago_s: value


def since(change_s: float, before: float, after: float) -> Callable[[float], float]:
    return lambda ago_s: before if ago_s > change_s else after


OURS: Final = 'job="inquiry-svc",instance="a:8000"'
KPI: Final = 'job="inquiry-svc",service="inquiry-svc",kpi'

WELL: Final[Story] = {
    f'system_health_status{{{OURS},component="cache"}}': always(1),
    f"worker_restarts_total{{{OURS}}}": always(3),
    'slo:sli_error:ratio_rate1d{job="inquiry-svc",slo="availability"}': always(0.0001),
    'slo:objective:ratio{slo="availability"}': always(0.999),
    'slo:error_budget:remaining30d{job="inquiry-svc",slo="availability"}': always(0.9),
    f'kpi:value{{{KPI}="K1",measure="response_time"}}': always(0.2),
    'kpi:objective{service="inquiry-svc",kpi="K1",measure="response_time"}': always(2),
    f'kpi:value{{{KPI}="K7",measure="confidence",model_name="xgboost"}}': always(0.84),
    f'kpi:events{{{KPI}="K7",measure="confidence",model_name="xgboost"}}': always(5000),
    'kpi:objective{service="inquiry-svc",kpi="K7",measure="confidence"}': always(0.7),
    # Missed, but on three cases: not told of.
    f'kpi:value{{{KPI}="K10",measure="satisfaction"}}': always(4.0),
    f'kpi:events{{{KPI}="K10",measure="satisfaction"}}': always(3),
    'kpi:objective{service="inquiry-svc",kpi="K10",measure="satisfaction"}': always(4),
    f'classifier_fallbacks_total{{{OURS},reason="error"}}': always(0),
    f"texts_received_total{{{OURS}}}": rising(28_800),
    f"inquiries_refused_total{{{OURS}}}": always(0),
    f'batch_queue_depth{{{OURS},stage="store"}}': always(20),
    f"review_queue_oldest_age_seconds{{{OURS}}}": always(5 * HOUR),
    f'notices_set_aside{{{OURS},notifier="webhook"}}': always(0),
    'alertmanager_notifications_failed_total{job="alertmanager",integration="email"}': always(2),
    f'inquiries_processed_total{{{OURS},status="success"}}': rising(10_000),
    f"data_dir_free_bytes{{{OURS}}}": always(80 * GIB),
    f"process_cpu_seconds_total{{{OURS}}}": rising(0.2 * DAY),
    f"workers_running{{{OURS}}}": always(1),
    f'db_connections{{{OURS},kind="reader",state="active"}}': always(1),
    f'db_connections{{{OURS},kind="reader",state="max"}}': always(6),
    f"process_resident_memory_bytes{{{OURS}}}": always(150 * 1024**2),
    f"scrape_samples_scraped{{{OURS}}}": always(1250),
}

ILL: Final[Story] = {
    **WELL,
    f'system_health_status{{{OURS},component="cache"}}': lambda ago_s: float(not 2 * HOUR < ago_s < 4.4 * HOUR),
    f"worker_restarts_total{{{OURS}}}": rising(4),
    'slo:sli_error:ratio_rate1d{job="inquiry-svc",slo="availability"}': always(0.01),
    'slo:error_budget:remaining30d{job="inquiry-svc",slo="availability"}': always(-0.2),
    'ALERTS{alertname="HighLatency",alertstate="firing",severity="warning"}': (
        lambda ago_s: 1 if ago_s < 20 * HOUR else None
    ),
    'ALERTS{alertname="Watchdog",alertstate="firing",severity="none"}': always(1),
    'ALERTS_FOR_STATE{alertname="HighLatency",severity="warning"}': lambda ago_s: 1e9 - ago_s // (4 * HOUR),
    f'kpi:value{{{KPI}="K1",measure="response_time"}}': since(WEEK, 1.5, 3),
    f'kpi:value{{{KPI}="K7",measure="confidence",model_name="xgboost"}}': since(WEEK, 0.8, 0.56),
    f'kpi:value{{{KPI}="K10",measure="satisfaction"}}': always(4.0),
    f'classifier_fallbacks_total{{{OURS},reason="error"}}': rising(1440),
    f"inquiries_refused_total{{{OURS}}}": rising(100),
    f'batch_queue_depth{{{OURS},stage="store"}}': lambda ago_s: 900 if 3 * HOUR < ago_s < 4 * HOUR else 0,
    f"review_queue_oldest_age_seconds{{{OURS}}}": always(30 * HOUR),
    f'notices_set_aside{{{OURS},notifier="webhook"}}': always(2),
    'alertmanager_notifications_failed_total{job="alertmanager",integration="email"}': rising(1),
    f'inquiries_processed_total{{{OURS},status="success"}}': (
        lambda ago_s: 1e7 - 1_000 * ago_s / DAY - 1_000 * min(ago_s, WEEK) / DAY
    ),
    f"data_dir_free_bytes{{{OURS}}}": lambda ago_s: 20 * GIB + 0.65 * GIB * ago_s / DAY,
    f"process_cpu_seconds_total{{{OURS}}}": rising(0.95 * DAY),
    f'db_connections{{{OURS},kind="reader",state="active"}}': lambda ago_s: 6 if 2 * DAY < ago_s < 3 * DAY else 1,
    f"process_resident_memory_bytes{{{OURS}}}": lambda ago_s: 1024**3 - 500 * 1024**2 * ago_s / WEEK,
    f"scrape_samples_scraped{{{OURS}}}": lambda ago_s: 2500 if ago_s < 2 * DAY else 1250,
}

TOLD: Final = {
    "components": "cache was well for 90.00% of the day",
    "dead workers": "4 workers died within the day and were started again",
    "errors": "1.000% of the day's requests met a fault of the service",
    "error budgets": "availability: -20% of the budget of 30 days is left",
    "budget burn": "availability: the day burnt its budget at 10.00 times the pace that it may",
    "alerts of the day": r"HighLatency fired for (1200|11\d\d) min of the day",
    "key figures, at most": "K1 response_time: 150% of what it may be",
    "key figures, at least": "K7 confidence: 80.0% of what it should be",
    "fallback": "5.00% of the day's texts were answered by the fallback classifier",
    "refusals": "100 texts were refused within the day because every place was taken",
    "queue": "up to 900 items waited within the day to store",
    "reviews": "the inquiry that waits longest for a person has waited for 30.0 h",
    "notices": "2 notices that webhook could not deliver wait for a person",
    "noisy alerts": r"HighLatency fired for (20\.0|19\.\d) h of the week",
    "flapping alerts": r"HighLatency came and went 4[0-2] times within the week",
    "lost notifications": "7 notifications by email failed within the week",
    "rising figures": "K1 response_time: 2.00 times the week before",
    "falling figures": "K7 confidence: 0.70 times the week before",
    "volume": "2.00 times as many inquiries as in the week before",
    "disk in a month": "at the pace of the week 0.5 GiB are free on a:8000 in 30 days",
    "processors": "a worker of a:8000 used up to 95% of a core",
    "database connections": "up to 100% of the connections of a:8000 were at work",
    "memory": "memory of a:8000 grows by 500 MiB a week",
    "series": "the service has 2.00 times the series of a week ago",
    "objectives, at most": "K1 response_time: for 99 % of the month at 150% of what it may be, or less",
    "objectives, at least": "K7 confidence: for 99 % of the month at 80.0% of what it should be, or more",
    "disk in half a year": "at the pace of the month -97.0 GiB are free on a:8000 in 180 days",
    "series of the month": "the service has 2.00 times the series of a month ago",
}


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Findings]:
    with told_of(WELL, tmp_path_factory.mktemp("well")) as findings:
        yield findings


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Findings]:
    with told_of(ILL, tmp_path_factory.mktemp("ill")) as findings:
        yield findings


@contextmanager
def told_of(story: Story, folder: Path) -> Iterator[Findings]:
    """What the doctor finds in a Prometheus that remembers this."""
    write_history(story, folder)
    port = free_port()
    command = [
        *(
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
        ),
        *("--storage.tsdb.retention.time=1y", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    with running(command, folder / "log"):
        nobody, prometheus = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{port}"
        site = Site(folder, nobody, prometheus, nobody)
        await_(lambda: ask(f"{prometheus}/api/v1/query?query=up"))
        yield site.doctor(*ALL)[1]


def write_history(story: Story, folder: Path) -> None:
    """32 days until an hour from now, so that however slow the machine is, the last sample is never stale."""
    now = int(time.time())
    with (folder / "history").open("w") as file:
        for series, value in story.items():
            for at in range(now - 32 * 86_400, now + 3600, 240):
                found = value(now - at)
                if found is not None:
                    file.write(f"{series} {found!r} {at}\n")
        file.write("# EOF\n")
    options = ["tsdb", "create-blocks-from", "--max-block-duration=2000h", "openmetrics", "history", "data", "-q"]
    code, said = run_program("promtool", options, folder=folder)
    assert code == 0, said
    (folder / "prometheus.yml").write_text("global: {}\n")


@pytest.mark.parametrize("name", [each.name for each in QUESTIONS])
def test_a_figure_that_is_well_is_ok(well: Findings, name: str) -> None:
    [finding] = [each for each in well if each["check"] == name]
    assert finding["state"] == "ok", finding


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_figure_past_its_limit_is_told_of_with_the_cure(ill: Findings, question: Question) -> None:
    [finding] = [each for each in ill if each["check"] == question.name]
    told = TOLD[question.name]
    assert finding["state"] == question.state
    assert finding["says"] == told or re.fullmatch(told, finding["says"])
    assert finding["cure"]
    for page in re.findall(r"(?:alerting|docs)/[\w/-]+\.md", finding["cure"]):
        assert (Path(__file__).parents[2] / page).exists()


def test_each_question_has_its_figure_here() -> None:
    assert list(TOLD) == [each.name for each in QUESTIONS]


# Backups


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Of which nothing runs."""
    nobody = f"http://127.0.0.1:{free_port()}"
    return Site(tmp_path, nobody, nobody, nobody)


def backup_findings(site: Site, pattern: str = "") -> dict[str, tuple[str, str]]:
    """State and words of both checks."""
    _, findings = site.doctor("--daily", "--monthly", environ={"INQUIRY_DOCTOR__BACKUPS": pattern})
    return {each["check"]: (each["state"], each["says"]) for each in findings if "backup" in each["check"]}


@pytest.fixture
def backup(site: Site) -> Path:
    file = site.folder / "inquiries-1.sqlite3"
    for command in (("migrate",), ("backup", str(file))):
        code, _, err = run_command(*command, "--data-dir", str(site.data_dir))
        assert (code, err) == (0, "")
    return file


def test_a_new_backup_is_well_and_read_in_full_once_a_month(site: Site, backup: Path) -> None:
    found = backup_findings(site, f"{site.folder}/inquiries-*.sqlite3")
    tables = ("inquiries", "predictions", "routing_decisions", "feedback", "reviews", "notices", "idempotency_keys")
    assert found == {
        "backup": ("ok", f"the newest backup, {backup}, is 0.0 h old"),
        "restorable backup": ("ok", f"{backup} is whole: {', '.join(f'0 {table}' for table in tables)}"),
    }


def test_an_old_backup_is_told_of(site: Site, backup: Path) -> None:
    os.utime(backup, (time.time() - 50 * HOUR,) * 2)
    state, says = backup_findings(site, str(backup))["backup"]
    assert (state, says) == ("wrong", f"the newest backup, {backup}, is 50.0 h old")


def test_a_damaged_backup_is_told_of_though_it_is_new(site: Site, backup: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    backup.write_bytes(content)
    found = backup_findings(site, str(backup))
    assert found["backup"][0] == "ok"
    assert found["restorable backup"][0] == "wrong"
    assert "damaged" in found["restorable backup"][1]


def test_no_backup_at_all_is_wrong_and_no_place_for_them_is_said(site: Site) -> None:
    pattern = f"{site.folder}/inquiries-*.sqlite3"
    assert backup_findings(site, pattern) == {"backup": ("wrong", f"there is no backup {pattern}")}
    assert {state for state, _ in backup_findings(site).values()} == {"left out"}


# A certificate


@pytest.mark.parametrize(("days", "state"), [(60, "ok"), (5, "wrong")])
def test_a_certificate_that_runs_out_soon_is_told_of(site: Site, days: int, state: str, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("no openssl: apt-get install openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-days", str(days), "-out", certificate, "-keyout", key),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with altered_answers("", tls=context, health=lambda _: b'{"version": "1", "components": {}}') as url:
        environ = {"SSL_CERT_FILE": str(certificate)}
        _, findings = site.doctor("--url", url, "--weekly", environ=environ)
    [finding] = [each for each in findings if each["check"] == "certificate"]
    assert finding["state"] == state
    assert finding["says"] == f"the certificate of {url.removeprefix('https://')} lasts {days - 1} more days"
