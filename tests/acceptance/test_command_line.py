"""The commands as people and scripts use them: what they print, where, and their exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inquiry_svc.cli import COMMANDS, run
from inquiry_svc.inquiries import AXES
from inquiry_svc.release import VERSION
from tests.acceptance.serving import COMMAND, child_environ, install_plugin, run_command

CHARGED = "My card was charged twice for March, please refund one of the payments."


def test_classify_prints_a_line_of_labels_and_confidences_for_each_text() -> None:
    code, out, err = run_command("classify", CHARGED, "How much is the annual plan?")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith("billing 0.")
    assert len(second.split("  ")) >= 3


def test_classify_reads_lines_and_writes_json() -> None:
    code, out, err = run_command("classify", "-", "--json", stdin=f"{CHARGED}\n\n  \nCafé at 5?")
    assert (code, err) == (0, "")
    answers: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == 2
    for answer in answers:
        assert answer.keys() == {
            "category",
            "sentiment",
            "urgency",
            "needs_review",
            "review_reasons",
            "degraded",
            "model",
            "scores",
        }
        for axis, labels in AXES.items():
            assert answer[axis]["label"] in labels
            assert 0 <= answer[axis]["confidence"] <= 1
    assert answers[0]["category"]["label"] == "billing"
    assert answers[0]["model"]["name"] == "xgboost"


def test_classify_with_another_classifier(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text("[classifier]\nprovider = 'keyword'\n")
    code, out, err = run_command("classify", "--config", str(file), "--json", CHARGED)
    assert (code, err) == (0, "")
    assert json.loads(out)["model"]["name"] == "keyword"


def test_classify_says_why_in_a_table() -> None:
    code, out, err = run_command("classify", "--explain", CHARGED, "\x1b[31mred\u202e\nlines\udce9")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("billing 0.")
    assert re.fullmatch(
        r"  category: billing 0\.\d\d over \w+ 0\.\d\d, margin \d+\.\d\d = base .*, words .*, surface .*, rest .*",
        lines[1],
    )
    assert [line for line in lines if re.fullmatch(r" +\+\d\.\d\d +[+-]\d\.\d\d  charged  \(body 12-19\)", line)]
    assert sum(line.startswith(tuple(f"  {axis}: " for axis in AXES)) for line in lines) == 6
    assert not {"\x1b", "\u202e", "\udce9"} & set(out)


def test_classify_reads_a_subject_besides() -> None:
    code, out, err = run_command("classify", "--json", "--explain", "--subject", "Charged twice", "Please see to it.")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer["category"]["label"] == "billing"
    assert answer["explanation"]["subject"] == "Charged twice"


def test_classify_says_whose_answer_it_is_that_it_gives_reasons_for() -> None:
    cascade = {"PROVIDER": "cascade", "CASCADE__SECOND": "keyword", "CASCADE__BELOW": "1"}
    environ = {f"INQUIRY_CLASSIFIER__{name}": value for name, value in cascade.items()}
    code, out, err = run_command("classify", "--explain", CHARGED, environ=environ)
    assert (code, err) == (0, "")
    by = [line for line in out.splitlines() if line.startswith("    by ")]
    said = r", \w+ \d\.\d\d \([+-]\d\.\d\d\)"
    assert re.fullmatch(rf"    by xgboost{said} and keyword{said}", by[0])
    assert re.fullmatch(rf"    by xgboost{said}", by[2]), "of urgency the second is not asked"


def test_classify_says_why_in_colour_on_a_terminal() -> None:
    ours, theirs = os.openpty()
    command = [COMMAND, "classify", "--explain", "URGENT: \x1b[5m the site is down, asap"]
    with subprocess.Popen(command, stdout=theirs, env=child_environ({"TERM": "xterm"})) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how the end of a terminal looks
            while read := os.read(ours, 65536):
                shown += read
    os.close(ours)
    assert process.returncode == 0
    out = shown.decode()
    assert "\x1b[32m" in out, "green: for the label"
    assert "\x1b[5m" not in out, "nothing of the text reaches the terminal as a command"
    assert "URGENT:  [5m the site is down, asap" in re.sub(r"\x1b\[\d+m", "", out)


def test_classify_says_why_in_json() -> None:
    code, out, err = run_command("classify", "--explain", "--json", CHARGED, "caf\udce9")
    assert (code, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert first["explanation"]["body"] == CHARGED
    assert second["explanation"]["body"] == "caf?"
    spans = {words["text"]: words["spans"] for words in first["explanation"]["category"]["words"]}
    assert spans["charged"] == [{"field": "body", "start": 12, "end": 19}]


def test_classify_says_when_the_classifier_cannot_say_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin(
        tmp_path,
        "silent_plugin",
        "from inquiry_svc.testing.providers import FunctionClassifier, Offering\n"
        "register_classifiers = Offering(classifier=FunctionClassifier()).register_classifiers\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("INQUIRY_CLASSIFIER__PROVIDER", "given")
    assert run(["classify", "x"]) == 0
    assert run(["classify", "--explain", "x"]) == 2
    told = "inquiry-svc: [classifier] provider 'function' can't say why; leave --explain out or choose another\n"
    assert capsys.readouterr().err == told


def test_evaluate_finds_review_thresholds_that_can_be_configured(tmp_path: Path) -> None:
    rows, file = tmp_path / "rows.jsonl", tmp_path / "service.toml"
    said = {"billing": CHARGED, "hr": "How many days of annual leave are left on my payslip?"}
    labelled = [{"body": body, "category": category} for category, body in said.items()]
    labelled.append({"body": said["hr"], "category": "legal"})
    rows.write_text("".join(json.dumps(row) + "\n" for row in labelled))
    keyword = {"INQUIRY_CLASSIFIER__PROVIDER": "keyword"}
    code, out, err = run_command("evaluate", str(rows), "--review-accuracy", "0.9", environ=keyword)
    assert (code, err) == (0, "")
    assert out.startswith("# 1 of 3 rows without review, 1 of them right\n[review.below_confidence]\n")
    file.write_text(out)
    code, out, err = run_command("evaluate", str(rows), "--json", "--config", str(file), environ=keyword)
    assert (code, err) == (0, "")
    found = json.loads(out)["category"]
    assert (found["needs_review_share"], found["accuracy_without_review"]) == (pytest.approx(2 / 3), 1.0)


def test_classify_takes_bytes_that_are_no_text() -> None:
    done = subprocess.run(
        [COMMAND, "classify", "-"], input=b"caf\xe9 \xff\n", env=child_environ(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_output_that_is_full_is_exit_code_1_and_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, "config"], stdout=full, stderr=subprocess.PIPE, env=child_environ(), check=False, text=True
        )
    assert (done.returncode, done.stderr) == (1, "inquiry-svc: No space left on device\n")


def test_a_reader_who_has_seen_enough_is_no_reason_to_complain() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [COMMAND, "config"], stdout=writing, stderr=subprocess.PIPE, env=child_environ(), check=False, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


# In this process, which is quicker


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["clasify", "x"], 2, "No such command 'clasify'. Did you mean 'classify'?"),
        (["classify"], 2, "Missing argument"),
        (["classify", " "], 2, "there is no text to classify; give one"),
        (["classify", "--jsn", "x"], 2, "No such option '--jsn'"),
        (["classify", "x", "--config", "/no/such/file"], 2, "/no/such/file: No such file or directory"),
        (["config", "check"], 2, "Missing argument 'FILE'"),
        (["config", "check", "/no/such/file"], 2, "/no/such/file: No such file or directory"),
        (["plugins", "surplus"], 2, "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    assert run(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("inquiry-svc: ")
    assert told in shown.err
    assert shown.err.count("\n") == 1


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"inquiry-svc, version {VERSION}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serve", "--help"], ["config", "--help"]])
def test_help_is_no_error(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Usage: inquiry-svc")
    assert shown.err == ""


def test_config_shows_each_value_with_its_origin_and_no_secret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_plugin(
        tmp_path,
        "vault_plugin",
        "from dataclasses import dataclass\n"
        "from inquiry_svc.contracts import Provider\n"
        "from inquiry_svc.hookspecs import hookimpl\n"
        "from inquiry_svc.settings import Secret\n"
        "@dataclass(frozen=True)\n"
        "class VaultSettings:\n"
        "    password: Secret = ''\n"
        "@hookimpl\n"
        "def register_stores():\n"
        "    return [Provider('vault', None, VaultSettings)]\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("INQUIRY_STORE__VAULT__PASSWORD", "hunter2")
    file = tmp_path / "service.toml"
    file.write_text("[server]\nport = 8123\n")
    assert run(["config", "--config", str(file)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "hunter2" not in shown.out
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in shown.out.splitlines()}
    assert rows["server.port"].split(maxsplit=1) == ["8123", str(file)]
    assert rows["store.vault.password"].split(maxsplit=1) == ["***", "variable INQUIRY_STORE__VAULT__PASSWORD"]
    assert rows["server.host"].split() == ["127.0.0.1", "default"]


def test_config_check_says_whether_a_file_is_valid(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text("[store]\ntimeout_s = 2\n")
    assert run(["config", "check", str(file)]) == 0
    assert capsys.readouterr() == (f"{file}: valid\n", "")
    file.write_text("[store]\ntimeout = 2\n")
    assert run(["config", "check", str(file)]) == 2
    told = f"inquiry-svc: {file}: [store] has no key 'timeout'; did you mean 'timeout_s'?\n"
    assert capsys.readouterr() == ("", told)


def test_plugins_lists_every_provider_and_marks_the_chosen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INQUIRY_CACHE__PROVIDER", "none")
    assert run(["plugins"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    header, *rows = [line.split() for line in shown.out.splitlines()]
    assert header == ["KIND", "NAME", "PLUGIN", "FROM", "CHOSEN"]
    found = {(kind, name): (origin, chosen) for kind, name, _, origin, chosen in rows}
    assert found["cache", "none"] == ("inquiry_svc_plugins.caches.none", "chosen")
    assert found["cache", "memory"][1] == "-"
    chosen = {pair for pair, (_, mark) in found.items() if mark == "chosen"}
    assert chosen >= {("classifier", "xgboost"), ("classifier", "keyword"), ("store", "sqlite"), ("router", "rules")}


def test_the_service_imports_no_command_but_its_own() -> None:
    code = (
        "import sys; from inquiry_svc.cli import COMMANDS, build_commands; build_commands('serve'); "
        "print([name for name, module in COMMANDS.items() if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "['serve']"


def test_every_command_is_listed_and_a_misspelt_one_is_told_the_nearest() -> None:
    _, out, _ = run_command("--help")
    listed = re.findall(r"^  (\w+)  ", out, re.MULTILINE)
    assert {*COMMANDS, "rules"} <= set(listed)
    code, _, err = run_command("serv")
    assert code == 2
    assert "Did you mean 'serve'?" in err
