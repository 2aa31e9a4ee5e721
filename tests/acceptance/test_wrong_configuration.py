"""A wrong configuration stops the start: exit code 2 and one line on standard error that says what to do."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from inquiry_svc.cli import run
from tests.acceptance.serving import install_plugin, run_command


@dataclass(frozen=True, slots=True)
class Start:
    """Tries `inquiry-svc serve` in this process, where nothing is to start."""

    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    folder: Path

    def refusal(self, *options: str) -> str:
        """The one line."""
        code = run(["serve", "--port", "0", "--data-dir", str(self.folder / "data"), *options])
        shown = self.capture.readouterr()
        assert code == 2, shown.err
        assert shown.out == ""
        line = shown.err.removesuffix("\n")
        assert line.startswith("inquiry-svc: ")
        assert "\n" not in line, "more than one line"
        assert "Traceback" not in line
        return line

    def refusal_of_file(self, toml: str) -> str:
        file = self.folder / "service.toml"
        file.write_text(toml)
        return self.refusal("--config", str(file))

    def install(self, name: str, source: str) -> None:
        self.monkeypatch.delitem(sys.modules, name, raising=False)
        install_plugin(self.folder, name, source)


@pytest.fixture
def start(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    monkeypatch.syspath_prepend(tmp_path)
    return Start(capfd, monkeypatch, tmp_path)


# Settings


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[server]\nprot = 1", "[server] has no key 'prot'; did you mean 'port'?"),
        ("[sevrer]\nport = 1", "section [sevrer] does not exist; did you mean 'server'?"),
        ("[store.sqlite]\nfile = 'x'", "[store.sqlite] has no key 'file'; known: "),
        ("[store]\nprovider = 'postgresql'", "store 'postgresql' is not installed; did you mean 'postgres'?"),
        ("[store]\nprovider = 'mariadb'", "store 'mariadb' is not installed; known: memory, postgres, "),
        ("[classifier]\nprovider = 'xgbost'", "classifier 'xgbost' is not installed; did you mean 'xgboost'?"),
        ("[batching]\nplaces = 0", "batching.places can't be 0"),
        ("server = [", "service.toml is not TOML: "),
    ],
)
def test_a_setting_that_does_not_exist_or_fit(start: Start, toml: str, told: str) -> None:
    assert told in start.refusal_of_file(toml)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("INQUIRY_BATCHING__PLACES", "many", "variable INQUIRY_BATCHING__PLACES: batching.places can't be 'many'"),
        ("INQUIRY_SERVER__PROT", "80", "did you mean 'port'?"),
        ("INQUIRY_STORE__TIMEOUT_S", "-1", "store.timeout_s can't be '-1'"),
        ("INQUIRY_LOGGING__LEVEL", "loud", "logging.level can't be 'loud'"),
    ],
)
def test_a_variable_that_does_not_exist_or_fit(
    start: Start, monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    assert told in start.refusal()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--workers", "0"), "server.workers can't be 0"),
        (("--prot", "80"), "No such option '--prot'"),
        (("--port", "eighty"), "'--port': 'eighty' is not a valid integer"),
        (("--port", "70000"), "server.port can't be 70000"),
        (("--host", "no.such.host.invalid"), "can't listen on no.such.host.invalid"),
        (("--config", "/no/such/file.toml"), "/no/such/file.toml: No such file or directory; name one"),
        (("surplus",), "unexpected extra argument"),
    ],
)
def test_an_option_that_does_not_exist_or_fit(start: Start, options: tuple[str, ...], told: str) -> None:
    assert told in start.refusal(*options)


# What the service stands on


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


def test_a_port_in_use(start: Start, taken_port: int) -> None:
    told = f"can't listen on 127.0.0.1 port {taken_port}: Address already in use; choose another with --port"
    assert told in start.refusal("--port", str(taken_port))


def test_a_port_that_another_service_is_about_to_listen_on(start: Start) -> None:
    """Two that start at once can both bind; the second to listen is refused."""
    with socket.socket() as starting:
        starting.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        starting.bind(("127.0.0.1", 0))
        port = str(starting.getsockname()[1])
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", int(port)))
            other.listen()
            assert "Address already in use" in start.refusal("--port", port)


def test_a_data_folder_that_cannot_be_written(start: Start) -> None:
    (start.folder / "file").write_text("not a folder")
    for folder in (start.folder / "file" / "data", Path("/proc/inquiry-data")):
        told = start.refusal("--data-dir", str(folder))
        assert f"data folder '{folder}' can't be written" in told
        assert "choose another with --data-dir" in told


def test_a_database_file_that_is_none(start: Start) -> None:
    (start.folder / "data").mkdir()
    (start.folder / "data" / "inquiries.sqlite3").write_text("certainly no database " * 100)
    assert "is no SQLite database" in start.refusal()


@pytest.mark.parametrize(
    "rules",
    [None, "- not\n- a mapping", "rules: [", "version: 1\nsurprise: 2", "priority: {urgency: {critical: high}}"],
    ids=["missing", "a list", "not YAML", "unknown key", "wrong type"],
)
def test_a_bad_rule_file(start: Start, rules: str | None) -> None:
    file = start.folder / "rules.yaml"
    if rules is not None:
        file.write_text(rules)
    assert "rules.yaml" in start.refusal_of_file(f"[router.rules]\nfile = {str(file)!r}")


# Plugins

IMPORTS = """
from contextlib import asynccontextmanager
from inquiry_svc.contracts import Provider
from inquiry_svc.hookspecs import hookimpl
"""
NEEDY = f"""{IMPORTS}
@asynccontextmanager
async def open_needy(settings, host):
    import no_such_library
    yield None

@hookimpl
def register_stores():
    return [Provider("needy", open_needy, extra="needy")]
"""


def test_an_extra_that_is_not_installed(start: Start) -> None:
    start.install("needy_plugin", NEEDY)
    told = start.refusal_of_file("[store]\nprovider = 'needy'")
    assert "store 'needy' needs no_such_library, which is not installed; pip install 'inquiry-svc[needy]'" in told


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "import no_such_library",
            r"plugin 'bad_plugin' .* can't be imported: .*no_such_library.*; repair or uninstall it",
        ),
        ("def", r"plugin 'bad_plugin' .* can't be imported: SyntaxError"),
        (f"{IMPORTS}@hookimpl\nasync def register_stores():\n    return []", r"async def; write a plain def"),
        (
            f"{IMPORTS}@hookimpl\ndef register_store():\n    return []",
            r"no hook 'register_store'; did you mean 'register_stores'",
        ),
        (
            f"{IMPORTS}@hookimpl\ndef register_stores():\n    return 1 / 0",
            r"failed in register_stores: ZeroDivisionError",
        ),
        (
            f"{IMPORTS}@hookimpl\ndef register_stores():\n    return [Provider('sqlite', None)]",
            r"'sqlite' is offered by two plugins",
        ),
        (
            f"{IMPORTS}@hookimpl\ndef register_commands(commands):\n    raise LookupError('x')",
            r"failed in register_commands: LookupError",
        ),
        (
            f"{IMPORTS}@hookimpl\ndef register_metrics():\n    raise LookupError('x')",
            r"failed in register_metrics: LookupError",
        ),
        (f"{IMPORTS}@hookimpl\ndef lifespan(service):\n    raise LookupError('x')", r"failed in lifespan: LookupError"),
    ],
    ids=["import", "syntax", "async", "misspelt", "raising", "doubled", "commands", "metrics", "lifespan"],
)
def test_a_plugin_that_breaks_the_rules(start: Start, source: str, told: str) -> None:
    start.install("bad_plugin", source)
    assert re.search(told, start.refusal())


def test_the_same_holds_for_a_process_of_its_own(tmp_path: Path) -> None:
    code, out, err = run_command("serve", "--data-dir", str(tmp_path), environ={"INQUIRY_SERVER__PROT": "1"})
    assert (code, out) == (2, "")
    assert err == "inquiry-svc: variable INQUIRY_SERVER__PROT: [server] has no key 'prot'; did you mean 'port'?\n"
    code, out, err = run_command("serve", "--port", "0", "--data-dir", "/proc/inquiry-data")
    assert (code, out, err.count("\n")) == (2, "", 1)
