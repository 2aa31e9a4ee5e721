"""`inquiry-svc rules check`: what it finds, what it prints and how it exits."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import click
import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

import inquiry_svc_plugins.routers.rules as entry_point
from inquiry_svc_plugins.routers.rules import register_commands
from inquiry_svc_plugins.routers.rules.check import find_warnings, look_ahead
from inquiry_svc_plugins.routers.rules.loading import default_rules_yaml, load_rules, parse_rules
from inquiry_svc_plugins.routers.rules.priority import Labels, decide, every_combination
from inquiry_svc_plugins.routers.rules.schema import Rule, Rules, When


def run(*arguments: str) -> Result:
    commands = click.Group("inquiry-svc")
    register_commands(commands)
    return CliRunner().invoke(commands, ["rules", *arguments])


def with_rules(*rules: Rule) -> Rules:
    """The default file with other rules after its own five."""
    default = load_rules()
    return msgspec.structs.replace(default, rules=(*default.rules, *rules))


def only_rules(*rules: Rule) -> Rules:
    return msgspec.structs.replace(load_rules(), rules=rules)


def test_the_packaged_default_is_valid_and_without_warnings() -> None:
    result = run("check")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:3] == [
        "packaged default: valid, 5 rules, 14 consultants",
        "warnings: 0",
        "all label combinations: 10 of 72 would escalate (13.9%), 6 by a rule, 4 only by priority >= 90; "
        "average priority 60",
    ]
    assert "  escalation                6    8.3%" in result.stdout.splitlines()


def test_a_file_with_warnings_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    content = yaml.safe_load(default_rules_yaml())
    content["rules"].append({"name": "idle", "when": {"urgency": ["low"]}})
    content["business_hours"] |= {"opens": "09:00", "closes": "17:00"}
    file.write_text(yaml.safe_dump(content))
    result = run("check", str(file))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:3] == [
        f"{file}: valid, 6 rules, 14 consultants",
        "warning: rule 'idle' can never change anything: the rest of the file gives each of the 18 "
        "label combinations that it matches the same",
        "warnings: 1",
    ]


def test_an_invalid_file_exits_with_2_and_one_line(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("rules: []")
    for path in (str(file), str(tmp_path / "none.yaml"), str(tmp_path)):
        result = run("check", path)
        assert result.exit_code == 2
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"Error: rules file {path!r}")


def test_the_default_can_be_printed_and_is_read_back_as_it_was() -> None:
    result = run("default")
    assert result.exit_code == 0
    assert result.stdout_bytes == default_rules_yaml()
    assert parse_rules(result.stdout_bytes, "printed") == load_rules()


def test_a_rule_whose_department_others_always_decide_is_unreachable() -> None:
    late = Rule(name="late", when=When(urgency=("critical",), sentiment=("negative",)), department="legal", boost=30)
    warnings = find_warnings(with_rules(late))
    assert warnings == [
        "rule 'late' never decides the department (unreachable): for each of the 6 label combinations "
        "that it matches it is decided before, by critical-negative; move it up or narrow the others",
        "rules 'critical-negative' and 'late' conflict: escalation, legal; both match 6 label combinations "
        "(technical_support/negative/critical for one), and the first wins",
    ]


def test_a_rule_is_unreachable_behind_several_that_only_together_cover_it() -> None:
    warnings = find_warnings(
        only_rules(
            Rule(name="low", when=When(urgency=("low", "medium")), department="sales"),
            Rule(name="high", when=When(urgency=("high", "critical")), department="sales"),
            Rule(name="all", when=When(), department="sales", escalate=True),
        )
    )
    assert [line for line in warnings if "'all'" in line] == [
        "rule 'all' never decides the department (unreachable): for each of the 72 label combinations "
        "that it matches it is decided before, by low, high; move it up or narrow the others"
    ]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(name="idle", when=When(urgency=("low",)), reason="only words"),
        Rule(name="idle", when=When(urgency=("critical",), sentiment=("negative",)), boost=19),
        Rule(name="idle", when=When(category=("legal",), urgency=("high",), sentiment=("negative",)), boost=99),
        Rule(name="idle", when=When(urgency=("critical",), sentiment=("negative",)), escalate=True),
        Rule(name="idle", when=When(category=("billing",)), department="finance"),
    ],
    ids=["only a reason", "outdone", "over the limit anyway", "escalated anyway", "sent there anyway"],
)
def test_a_rule_that_can_never_change_anything_is_named(rule: Rule) -> None:
    assert any(line.startswith("rule 'idle' can never change anything") for line in find_warnings(with_rules(rule)))


@pytest.mark.parametrize(
    "rule",
    [
        Rule(name="busy", when=When(urgency=("low",)), boost=1),
        Rule(name="busy", when=When(urgency=("low",)), boost=-1),
        Rule(name="busy", when=When(urgency=("low",), category=("hr",), sentiment=("neutral",)), escalate=True),
        Rule(name="busy", when=When(category=("billing",)), department="legal"),
    ],
)
def test_a_rule_that_changes_something_is_not_accused(rule: Rule) -> None:
    assert not [line for line in find_warnings(with_rules(rule)) if "never" in line]


def test_rules_of_different_departments_conflict_only_where_both_match() -> None:
    billing = Rule(name="billing", when=When(category=("billing",)), department="sales")
    low = Rule(name="low", when=When(urgency=("low",)), department="hr")
    legal = Rule(name="legal", when=When(category=("legal",), urgency=("high",)), department="finance")
    conflicts = [line for line in find_warnings(only_rules(billing, low, legal)) if "conflict" in line]
    assert conflicts == [
        "rules 'billing' and 'low' conflict: sales, hr; both match 3 label combinations "
        "(billing/positive/low for one), and the first wins"
    ]


def test_sending_to_escalation_without_escalating_is_named() -> None:
    rule = Rule(name="quiet", when=When(category=("hr",), urgency=("low",)), department="escalation")
    assert find_warnings(with_rules(rule)) == [
        "rule 'quiet' sends to escalation but does not escalate: add `escalate: true`"
    ]


def test_departments_without_consultants_and_consultants_without_inquiries_are_named() -> None:
    default = load_rules()
    empty_desk = msgspec.structs.replace(default.consultants.finance, members=())
    desks = msgspec.structs.replace(default.consultants, finance=empty_desk)
    calm = msgspec.structs.replace(default, consultants=desks, rules=default.rules[1:])
    deserted = msgspec.structs.replace(desks, escalation=empty_desk)  # nobody there, and nothing sent there: fine
    assert find_warnings(msgspec.structs.replace(calm, consultants=deserted)) == [
        "department 'finance' has no consultants: its inquiries wait in its queue"
    ]
    assert find_warnings(calm) == [
        "department 'finance' has no consultants: its inquiries wait in its queue",
        "department 'escalation' gets no inquiries: Escalation Team A, Escalation Team B will have nothing to do",
    ]


def test_the_outlook_counts_each_inquiry() -> None:
    worst, calm = Labels("sales", "negative", "critical"), Labels("hr", "positive", "low")
    urgent = Labels("legal", "neutral", "critical")
    outlook = look_ahead(load_rules(), [worst, calm, calm, urgent])
    assert (outlook.total, outlook.escalated, outlook.escalated_by_rule) == (4, 2, 1)
    assert outlook.departments == {"hr": 2, "escalation": 1, "legal": 1}
    assert outlook.average_priority == pytest.approx((98 + 28 + 28 + 100) / 4)
    everything = list(every_combination())
    assert len(set(everything)) == len(everything) == 72


ROWS = b"""{"body": "x", "category": "sales", "sentiment": "negative", "urgency": "critical"}
{"body": "x", "category": "sales", "sentiment": null, "urgency": "low"}

{"body": "x", "category": "hr", "sentiment": "neutral", "urgency": "low"}
"""


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_labelled_rows_are_tried(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(ROWS) if name.endswith(".gz") else ROWS)
    result = run("check", "--data", str(file))
    assert result.exit_code == 0, result.output
    assert (
        f"{file} (1 rows lack a label): 1 of 2 would escalate (50.0%), 1 by a rule, "
        "0 only by priority >= 90; average priority 68"
    ) in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            b'{"category": "sales"}\n{"category": "zzz"}\n',
            "line 2: Invalid enum value 'zzz' - at `$.category`",
        ),
        (b"{}\nnot JSON\n", "line 2: JSON is malformed"),
        (b"[]\n", "line 1: Expected `object`, got `array`"),
    ],
)
def test_bad_rows_exit_with_2_and_name_their_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)
    result = run("check", "--data", str(file))
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert complaint in line


def test_data_that_cannot_be_read_exits_with_2_and_rows_without_labels_say_so(tmp_path: Path) -> None:
    for file, content in ((tmp_path / "none.jsonl", None), (tmp_path / "bad.gz", b"no gzip at all")):
        if content:
            file.write_bytes(content)
        result = run("check", "--data", str(file))
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
    unlabelled = tmp_path / "unlabelled.jsonl"
    unlabelled.write_text("{}\n")
    result = run("check", "--data", str(unlabelled))
    assert result.exit_code == 0
    assert "(1 rows lack a label): nothing to try the rules on" in result.stdout


def test_the_readme_example_gives_the_reasons_that_it_claims() -> None:
    readme = (Path(entry_point.__file__).parent / "README.md").read_text()
    ((added,), (reasons,)) = (re.findall(rf"```{kind}\n(.*?)```", readme, re.DOTALL) for kind in ("yaml", "text"))
    default = default_rules_yaml().decode()
    assert default.count("\nrules:\n") == 1
    rules = parse_rules(default.replace("\nrules:\n", f"\nrules:\n{added}").encode(), "README.md")
    assert decide(rules, Labels("billing", "negative", "medium")).reasons == tuple(reasons.splitlines())
    assert find_warnings(rules) == []
