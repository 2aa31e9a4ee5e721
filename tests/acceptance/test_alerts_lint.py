"""`inquiry-svc alerts lint` as people and scripts use it: what it prints, where, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.serving import child_environ, install_plugin, run_command

GOOD = """
groups:
  - name: some
    rules:
      - alert: Some
        expr: sum by (job) (rate(http_requests_total{status="500"}[5m])) > 1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(GOOD)
    return file


def test_rules_about_what_exists_are_exit_code_0(file: Path) -> None:
    assert run_command("alerts", "lint", str(file)) == (0, "1 files, 0 complaints\n", "")


def test_a_rule_about_what_does_not_exist_is_named_with_the_cure_and_exit_code_1(file: Path) -> None:
    file.write_text(GOOD.replace('status="500"', 'stat="500"'))
    code, out, err = run_command("alerts", "lint", str(file))
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        f"{file}: Some: http_requests_total has no label stat; did you mean 'status'?",
        "1 files, 1 complaints",
    ]


def test_metrics_of_plugins_are_known(file: Path, tmp_path: Path) -> None:
    source = """
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.metrics import Counter

@hookimpl
def register_metrics():
    return [Counter("mine_total", "Help.", {"kind": ("a", "b")})]
"""
    file.write_text(GOOD.replace('http_requests_total{status="500"}', 'mine_total{kind="a"}'))
    assert run_command("alerts", "lint", str(file))[0] == 1
    install_plugin(tmp_path, "mine", source)
    environ = {"PYTHONPATH": str(tmp_path)}
    assert run_command("alerts", "lint", str(file), environ=environ) == (0, "1 files, 0 complaints\n", "")


def test_metrics_of_others_are_known_from_a_file(file: Path, tmp_path: Path) -> None:
    file.write_text(GOOD.replace("http_requests_total", "theirs_total"))
    assert run_command("alerts", "lint", str(file))[0] == 1
    external = tmp_path / "external.yaml"
    external.write_text("theirs_total: [status]\n")
    assert run_command("alerts", "lint", "--external", str(external), str(file))[0] == 0


def test_placeholders_are_refused_in_production_only(file: Path, tmp_path: Path) -> None:
    receivers = tmp_path / "alertmanager.yml"
    receivers.write_text("receivers: [{name: mail, email_configs: [{to: alerts@example.org}]}]\n")
    assert run_command("alerts", "lint", str(file), str(receivers))[:2] == (0, "2 files, 0 complaints\n")
    code, out, _ = run_command("alerts", "lint", "--production", str(file), str(receivers))
    assert code == 1
    assert out.splitlines()[0] == f"{receivers}: example.org is a placeholder; put in what is yours"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read: No such file or directory; name a rule file"),
        ("a: [", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
    ],
)
def test_a_file_that_is_none_is_exit_code_2_and_one_line(
    content: str | bytes | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = run_command("alerts", "lint", str(file))
    assert (code, out) == (2, "")
    assert err.startswith(f"inquiry-svc: {file} ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_without_its_library_it_says_how_to_get_it(file: Path, tmp_path: Path) -> None:
    (tmp_path / "promql_parser.py").write_text("raise ModuleNotFoundError('no', name='promql_parser')\n")
    environ = child_environ({"PYTHONPATH": str(tmp_path)})
    code, out, err = run_command("alerts", "lint", str(file), environ=environ)
    assert (code, out) == (2, "")
    assert err == "inquiry-svc: alerts lint needs promql_parser; install it with pip install 'inquiry-svc[alerts]'\n"
