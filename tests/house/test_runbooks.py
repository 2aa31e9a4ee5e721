"""Every alert has a page, and what it and the procedures say to type works on this service.

Commands of the machine and of Kubernetes are only parsed; all others are run, asked of a service, or checked against
the metrics. `tests/acceptance/test_monitoring_commands.py` types those of the procedures on a site that runs.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.cli import build_commands
from inquiry_svc.linting import external_series, lint_rules, own_series
from inquiry_svc.linting.series import Series
from inquiry_svc.plugins import asked, build_manager
from inquiry_svc.testing.running import Running, running_service
from tests.acceptance.serving import run_command
from tests.house.test_alerts import ALERTING, NAMES, ROOT, RULE_FILES
from tests.servers.prometheus import run_program

PAGES: Final = {file.stem: file for file in sorted((ALERTING / "runbooks").glob("*.md")) if file.stem != "README"}
PROCEDURES: Final = sorted((ALERTING / "procedures").glob("*.md"))


def commands(page: Path) -> Iterator[str]:
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        yield from (line for line in block.splitlines() if not line.startswith("#"))


COMMANDS: Final = sorted({command for page in [*PAGES.values(), *PROCEDURES] for command in commands(page)})
CALLS: Final = [each for each in COMMANDS if re.match(r"curl .*?[ ']http://127\.0\.0\.1:8000/", each)]
QUERIES: Final = [shlex.split(each)[-1] for each in COMMANDS if each.startswith("promtool query ")]
OWN: Final = sorted(
    {re.sub(r'"\$\(.*?\)"', "FILE", each).split(" | ")[0] for each in COMMANDS if each.startswith("inquiry-svc ")}
)
ALONE: Final = [each for each in OWN if not re.match("inquiry-svc (doctor|dashboard|serve|backup|restore)", each)]
"""These need nobody beside them, and end."""
CHECKS: Final = [each for each in COMMANDS if re.match(r"(promtool check|amtool check-config) ", each)]


@pytest.fixture(scope="module")
def series() -> dict[str, Series]:
    plugins = [metric for _, declared in asked(build_manager(), "register_metrics") for metric in declared]
    return own_series([*OWN_METRICS, *plugins]) | external_series(ALERTING / "external.yaml")


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with running_service() as running:
        yield running


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert list(PAGES) == NAMES


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_it_means_where_to_look_what_to_do_and_whom_to_ask(page: str) -> None:
    text = PAGES[page].read_text()
    assert re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE) == [
        *(page, "What it means", "First look", "Cure", "Escalate")
    ]
    assert list(commands(PAGES[page])), "say what to type"
    assert len(text.splitlines()) <= 45, "who was woken reads no more"


@pytest.mark.parametrize(
    "page",
    [*PAGES.values(), *PROCEDURES, ALERTING / "runbooks/README.md", *(ROOT / "monitoring").glob("*.md")],
    ids=lambda page: page.stem,
)
def test_a_link_leads_to_a_page_and_to_a_heading_that_is_there(page: Path) -> None:
    for link, _, heading in re.findall(r"\]\(([^)#:]+)(#([^)]+))?\)", page.read_text()):
        target = page.parent / link
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in {title.lower().replace(" ", "-") for title in titles}, link


@pytest.mark.parametrize("page", PROCEDURES, ids=lambda page: page.stem)
def test_a_procedure_is_found_from_the_runbooks_and_has_something_to_type(page: Path) -> None:
    assert f"(../procedures/{page.name})" in (ALERTING / "runbooks/README.md").read_text()
    assert list(commands(page))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_a_shell_can_read(command: str) -> None:
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_every_call_is_answered_by_the_service(running: Running) -> None:
    for call in CALLS:
        [url] = [word for word in shlex.split(call.split(" | ")[0]) if word.startswith("http://127.0.0.1:8000/")]
        async with running.client.get(url.removeprefix("http://127.0.0.1:8000")) as answer:
            assert answer.status == 200, call


@pytest.mark.parametrize("call", [each for each in CALLS if "/metrics | grep" in each])
def test_what_is_looked_for_among_the_metrics_exists(call: str, series: dict[str, Series]) -> None:
    [pattern] = re.findall(r"grep (?:-E )?'(\^[^']*)'", call)
    for name in re.fullmatch(r"\^\(?([\w|]+)\)?", pattern).group(1).split("|"):  # type: ignore[union-attr]
        assert [each for each in series if each.startswith(name)], name


def test_every_query_asks_for_what_exists(series: dict[str, Series]) -> None:
    files: dict[str, Any] = {str(file): yaml.safe_load(file.read_text()) for file in RULE_FILES}
    asked_for = [{"alert": query, "expr": query} for query in QUERIES]
    told = lint_rules({**files, "runbooks": {"groups": [{"rules": asked_for}]}}, series)
    assert [each for each in told if each.place.startswith("runbooks")] == []


@pytest.mark.parametrize("command", OWN)
def test_a_command_of_ours_has_these_options(command: str) -> None:
    done = CliRunner().invoke(build_commands(), [*shlex.split(command)[1:], "--help"])
    assert done.exit_code == 0, done.output


def test_an_option_or_a_command_that_we_have_not_would_be_found() -> None:
    for wrong in (["doctor", "--nightly"], ["doctors"], ["rules", "chek"]):
        assert CliRunner().invoke(build_commands(), [*wrong, "--help"]).exit_code == 2


@pytest.mark.parametrize("command", ALONE)
def test_a_command_of_ours_runs(command: str, tmp_path: Path) -> None:
    environ = {"INQUIRY_SERVER__DATA_DIR": str(tmp_path)}
    assert run_command("migrate", environ=environ)[0] == 0  # some look into a store
    code, out, err = run_command(*shlex.split(command)[1:], environ=environ)
    assert (code, err) == (0, "")
    assert out


@pytest.mark.parametrize("command", CHECKS)
def test_a_check_of_the_configuration_passes(command: str) -> None:
    name, *arguments = shlex.split(command)
    code, said = run_program(name, arguments, folder=ROOT)  # type: ignore[arg-type]
    assert code == 0, said


def test_a_log_line_is_written_as_the_pages_look_for_it() -> None:
    looked_for = {each for command in COMMANDS for each in re.findall(r"^grep '([^']*)' inquiry-svc\.log", command)}
    written = "".join(file.read_text() for file in (ROOT / "inquiry_svc").rglob("*.py"))
    words = {'"level":"ERROR"': "record.levelname", '"duration_s"': '"duration_s"', "failed in on_": "failed in %s"}
    assert [each for each in looked_for if words.get(each, each) not in written] == []
