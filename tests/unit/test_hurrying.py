"""The rules that are tested in a hurry are those that ship, but for their durations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.alive.faults import FAULTS, NEVER_ALIVE
from tests.alive.hurrying import FACTOR, MONITORING, seconds, shipped, shortened
from tests.servers.prometheus import run_program

FILES = ("prometheus/alerts.yml", "prometheus/prometheus.yml", "alertmanager/alertmanager.yml")
ANY_DURATION = re.compile(r"(?<![\w.])(?:\d+(?:ms|[smhdwy]))+(?!\w)")


def leaves(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from leaves(value, f"{place}/{key}")
    else:
        yield place, content


def test_every_duration_is_shortened_and_nothing_else_is_touched() -> None:
    changed = 0
    for file in FILES:
        before, after = dict(leaves(yaml.safe_load((MONITORING / file).read_text()))), dict(leaves(shipped(file)))
        assert before.keys() == after.keys()
        for place, was in before.items():
            if after[place] == was:
                in_words = re.search(r"/(annotations|labels)/", place)
                assert in_words or not ANY_DURATION.search(str(was)), f"{place} is as long as before: {was}"
                continue
            changed += 1
            assert ANY_DURATION.sub("", str(was)) == re.sub(
                rf"\((\d[\d* ]*) / {FACTOR}\)", r"\1", ANY_DURATION.sub("", str(after[place]))
            )
            for long, short in zip(
                ANY_DURATION.findall(str(was)), ANY_DURATION.findall(str(after[place])), strict=True
            ):
                assert seconds(long) == FACTOR * seconds(short)
    assert changed > 150


def test_a_count_made_of_a_rate_is_one_of_the_short_window() -> None:
    assert shortened({"expr": "(\nsum(rate(bad[1h]))\n) * 3600\n"}) == {
        "expr": f"(\nsum(rate(bad[180000ms]))\n) * (3600 / {FACTOR})\n"
    }
    assert shortened({"expr": "predict_linear(free[6h], 24 * 60 * 60) < 0"}) == {
        "expr": f"predict_linear(free[1080000ms], (24 * 60 * 60 / {FACTOR})) < 0"
    }


def test_an_offset_is_a_duration_and_a_threshold_in_seconds_is_none() -> None:
    query = "max(age) > 3 * 24 * 60 * 60 or rate(x[7d] offset 1d)"
    assert shortened({"expr": query, "for": "1m30s", "labels": {"window": "1h"}}) == {
        "expr": "max(age) > 3 * 24 * 60 * 60 or rate(x[30240000ms] offset 4320000ms)",
        "for": "4500ms",
        "labels": {"window": "1h"},
    }


def test_every_alert_is_made_to_fire_by_a_fault_or_it_is_said_why_not() -> None:
    rules = [rule for group in shipped("prometheus/alerts.yml")["groups"] for rule in group["rules"]]
    made = {fault.alert for fault in FAULTS}
    assert len(made) == len(FAULTS)
    assert not made & NEVER_ALIVE.keys()
    assert made | NEVER_ALIVE.keys() == {rule["alert"] for rule in rules if "alert" in rule}


def test_prometheus_and_alertmanager_take_what_is_shortened(tmp_path: Path) -> None:
    for file, program, arguments in (
        ("prometheus/alerts.yml", "promtool", ("check", "rules")),
        ("alertmanager/alertmanager.yml", "amtool", ("check-config",)),
    ):
        written = tmp_path / Path(file).name
        written.write_text(yaml.safe_dump(shipped(file)))
        code, said = run_program(program, [*arguments, written], folder=tmp_path)  # type: ignore[arg-type]
        assert code == 0, said
