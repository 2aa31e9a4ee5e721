"""What the doctor asks for exists, and so does every page that it sends people to."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml

from inquiry_svc.doctor.checks import ALWAYS
from inquiry_svc.doctor.questions import Question
from inquiry_svc.doctor.routines import AT_LEAST, AT_MOST, DAILY, MONTHLY, ROUTINES, WEEKLY
from inquiry_svc.linting import external_series, lint_rules, own_series
from tests.house.test_alerts import ALERTING, NAMES, ROOT, RULE_FILES
from tests.house.test_dashboards import METRICS

QUESTIONS: Final = [*DAILY, *WEEKLY, *MONTHLY]
TEXT: Final = "".join(file.read_text() for file in sorted((ROOT / "inquiry_svc/doctor").glob("*.py")))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_question_speaks_of_what_exists_and_names_labels_of_its_answer(question: Question) -> None:
    shown = re.findall(r"{(\w+)", f"{question.says} {question.cure}")
    labels = " ".join(f"{{{{ $labels.{name} }}}}" for name in shown if name != "value")
    rule = {"alert": question.name, "expr": question.query, "annotations": {"says": labels}}
    files: dict[str, Any] = {str(file): yaml.safe_load(file.read_text()) for file in RULE_FILES}
    series = own_series(METRICS) | external_series(ALERTING / "external.yaml")
    told = lint_rules({**files, "doctor": {"groups": [{"rules": [rule]}]}}, series)
    assert [each.message for each in told if each.place.startswith("doctor")] == []


def test_a_question_has_one_limit_and_a_cure() -> None:
    assert [each.name for each in QUESTIONS if (each.above is None) == (each.below is None) or not each.cure] == []


def test_no_two_checks_share_a_name() -> None:
    names = [check.name for check in ALWAYS] + [check.name for each in ROUTINES.values() for check in each.checks]
    assert len(names) == len(set(names))


def test_key_figures_are_meant_the_way_that_the_objectives_say() -> None:
    kpis = yaml.safe_load((ALERTING / "slo.yaml").read_text())["kpis"]
    assert [each["kpi"] for each in kpis if "at_most" in each] == AT_MOST.split("|")
    assert [each["kpi"] for each in kpis if "at_least" in each] == ["K2", *AT_LEAST.split("|")]


def test_each_page_and_file_that_it_sends_people_to_exists() -> None:
    named = set(re.findall(r"(?:alerting|docs|monitoring)/[\w./-]+\w", TEXT))
    assert {"docs/backups.md", "monitoring/prometheus/alerts.yml"} <= named
    assert [path for path in named if not (ROOT / path.split("{")[0]).exists()] == []
    runbooks = re.findall(r"runbooks/(\w+)\.md", TEXT) + re.findall(r'"\w+": "([A-Z]\w+)"', TEXT)
    assert set(runbooks) <= set(NAMES)
