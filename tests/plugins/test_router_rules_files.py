"""A rules file that can't be used is refused in one line: the file, the place in it, the value, the cure."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inquiry_svc.contracts import Host
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.metrics import Metrics
from inquiry_svc_plugins.routers.rules import RulesSettings, open_rules
from inquiry_svc_plugins.routers.rules.loading import (
    MAX_SIZE_BYTES,
    default_rules_yaml,
    load_rules,
    parse_rules,
)

DEFAULT = default_rules_yaml().decode()


def changed(old: str, new: str) -> str:
    """The default file with one change."""
    assert DEFAULT.count(old) == 1, old
    return DEFAULT.replace(old, new)


def refusal(content: str | bytes) -> str:
    """What is said of a file called my.yaml, without the prefix that they all share."""
    with pytest.raises(ConfigurationError) as refused:
        parse_rules(content.encode() if isinstance(content, str) else content, "my.yaml")
    line = str(refused.value)
    assert len(line.splitlines()) == 1
    assert line.startswith("rules file 'my.yaml'")
    return line.removeprefix("rules file 'my.yaml'").removeprefix(":").strip()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "    department: escalation\n",
            "    departmnt: escalation\n",
            "rules[0] has the unknown key 'departmnt': did you mean 'department'?",
        ),
        ("category: [billing]", "categories: [billing]",
         "rules[1].when has the unknown key 'categories': did you mean 'category'?"),
        ("category: [billing]", "category: [biling]",
         "rules[1].when.category[0] is 'biling': did you mean 'billing'?"),
        ("category: [billing]", "category: [zzz]",
         "rules[1].when.category[0] is 'zzz': use one of billing, hr, legal, product_feedback, sales, "
         "technical_support"),
        ("category: [billing]", "category: []",
         "rules[1].when.category is []: expected list of length >= 1"),
        ("category: [billing]", "category: billing",
         "rules[1].when.category is 'billing': expected list"),
        ("{category: [billing], urgency: [critical, high]}", "\n      category:",
         "rules[1].when.category is nothing: expected list"),
        ("billing: finance", "billing: finances",
         "departments.billing is 'finances': did you mean 'finance'?"),
        ("billing: finance", "biling: finance",
         "departments has the unknown key 'biling': did you mean 'billing'?"),
        ("    department: escalation\n", "    department: escalations\n",
         "rules[0].department is 'escalations': did you mean 'escalation'?"),
        ("  hr: hr\n", "", "departments has no 'hr': add it (the default rules show how)"),
        ("    critical: 40\n", "", "priority.urgency has no 'critical': add it (the default rules show how)"),
        ("critical: 40", "critical: forty", "priority.urgency.critical is 'forty': expected number"),
        ("critical: 40", "critical: 400", "priority.urgency.critical is 400: expected number <= 100.0"),
        ("critical: 40", "critical: .nan", "priority.urgency.critical is '.nan': expected number"),
        ("critical: 40", "critical: !!float .nan", "priority.urgency.critical is nan: expected number "
         ">= 0.0"),
        ("critical: 40", "critical: true", "priority.urgency.critical is True: expected number"),
        ("boost: 20", "boost: lots", "rules[0].boost is 'lots': expected number or nothing"),
        ("boost: 20", "boost: -101", "rules[0].boost is -101: expected number >= -100.0"),
        ("escalate: true", "escalate: 1", "rules[0].escalate is 1: expected true or false"),
        ("- name: billing-urgent", "- name: high-negative",
         "the rule 'high-negative' is there twice: give each a name of its own"),
        ("- name: billing-urgent", "- name: ''", "rules[1].name is '': expected text of length >= 1"),
        ("escalation_threshold: 90", "escalation_threshold: 900",
         "escalation_threshold is 900: expected number <= 100.0"),
        ("escalation_threshold: 90", "escalation_treshold: 90",
         "the top level has the unknown key 'escalation_treshold': did you mean 'escalation_threshold'?"),
        ("escalation_threshold: 90", "1: 90",
         "the top level has a key that is no text: put it in quotes or remove it"),
        ("    strategy: round_robin\n    members:\n      - {name: Sales Team A, capacity: 200}",
         "    strategy: robin\n    members:\n      - {name: Sales Team A, capacity: 200}",
         "consultants.sales.strategy is 'robin': did you mean 'round_robin'?"),
        ("{name: Sales Team A, capacity: 200}", "{name: Sales Team A, capacity: 0}",
         "consultants.sales.members[0].capacity is 0: expected whole number >= 1"),
        ("{name: Sales Team A, capacity: 200}", "{name: Sales Team A, capacity: 1.5}",
         "consultants.sales.members[0].capacity is 1.5: expected whole number"),
        ("{name: Sales Team A, capacity: 200}", "{name: Sales Team A}",
         "consultants.sales.members[0] has no 'capacity': add it (the default rules show how)"),
        ("{name: Sales Team A, capacity: 200}", "{name: Sales Team A, capacity: 200, skills: [' ']}",
         "consultants.sales.members[0]: a skill is blank: give a word or a phrase, or remove it"),
        ("{name: Sales Team A, capacity: 200}", "{name: Sales Team B, capacity: 200}",
         "consultants.sales: the member 'Sales Team B' is there twice: give each a name of its own"),
        ("critical: 15\n", "critical: 0\n",
         "response_targets_minutes.critical is 0: expected whole number >= 1"),
        ("low: 1440", "low: 1 day", "response_targets_minutes.low is '1 day': expected whole number"),
        ("time_zone: UTC ", "time_zone: Europe/Viena ",
         "business_hours: 'Europe/Viena' is no time zone: did you mean 'Europe/Vienna'?"),
        ("time_zone: UTC ", "time_zone: '!' ",
         "business_hours: '!' is no time zone: give an IANA name such as 'Europe/Vienna'"),
        ("time_zone: UTC ", "time_zone: ../../etc/passwd ",
         "business_hours: '../../etc/passwd' is no time zone: give an IANA name such as 'Europe/Vienna'"),
        ("days: [monday, tuesday", "days: [mon, tuesday",
         "business_hours.days[0] is 'mon': did you mean 'monday'?"),
        ("opens: 09:00", "opens: 9 am",
         "business_hours: '9 am' is not a time of day: write it as HH:MM, from 00:00 to 24:00"),
        ("closes: 17:00 ", "closes: 24:01 ",
         "business_hours: '24:01' is not a time of day: write it as HH:MM, from 00:00 to 24:00"),
        ("closes: 17:00 ", "closes: 09:00 ",
         "business_hours: closes 09:00 is not after opens 09:00: give hours of one day"),
        ("holidays: []", "holidays: [25.12.2026]",
         "business_hours.holidays[0] is '25.12.2026': give a date as YYYY-MM-DD"),
        ("round_the_clock: [critical]", "round_the_clock: [urgent]",
         "business_hours.round_the_clock[0] is 'urgent': use one of critical, high, low, medium"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_value_and_cure(old: str, new: str, line: str) -> None:
    assert refusal(changed(old, new)) == line


@pytest.mark.parametrize(
    ("content", "start"),
    [
        ("", "is empty: start from a copy of the default rules"),
        ("# nothing but a comment\n", "is empty: start from a copy of the default rules"),
        ("just words", "the top level is 'just words': expected mapping"),
        ("- a\n- b\n", "the top level is ['a', 'b']: expected mapping"),
        ("rules: [", ", line 2, column 1: did not find expected node content"),
        ("rules:\n\t- name: x\n", ", line 2, column 1: "),
        ("a: 1\n---\nb: 2\n", ", line 2, column 1: "),
        ("a: *nowhere\n", ", line 1, column 4: "),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            ", line 1, column 4: could not determine a constructor",
        ),
        (b"\xff\xfe\xff", "is not YAML ("),
        (b"a: \x80\n", "is not YAML ("),
        ("a: \0", "is not YAML ("),
        ("a: " + "9" * 5000, "is not YAML ("),
        (
            changed("boost: 20", "boost: 20\n    boost: 30"),
            ", line 53, column 5: the key 'boost' is there twice",
        ),
        (DEFAULT + "\nrules: []\n", ", line 132, column 1: the key 'rules' is there twice"),
        ("{[1, 2]: 3}", ", line 1, column 2: found unhashable key"),
    ],
    ids=range(16),
)
def test_what_is_no_yaml_is_named_with_its_line(content: str | bytes, start: str) -> None:
    assert refusal(content).startswith(start)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"rules file '.*none\.yaml' can't be read \(No such file"):
        load_rules(str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigurationError, match=r"can't be read \(Is a directory\)"):
        load_rules(str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"can't be read \(embedded null byte\)"):
        load_rules("a\0b")
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * (MAX_SIZE_BYTES + 1))
    with pytest.raises(ConfigurationError, match=f"is over {MAX_SIZE_BYTES} bytes"):
        load_rules(str(big))


async def test_a_file_of_ones_own_is_used_and_a_bad_one_stops_the_start(tmp_path: Path) -> None:
    file, host = tmp_path / "my.yaml", Host(tmp_path, Metrics())
    file.write_text(changed("escalation_threshold: 90", "escalation_threshold: 50"))
    async with open_rules(RulesSettings(file=str(file)), host):
        pass
    assert load_rules(str(file)).escalation_threshold == 50
    file.write_text("rules: []")
    with pytest.raises(ConfigurationError, match="the top level has no 'departments'"):
        async with open_rules(RulesSettings(file=str(file)), host):
            pytest.fail("opened with a bad file")


def test_times_and_dates_may_be_written_with_or_without_quotes() -> None:
    plain = changed("closes: 17:00 ", "closes: 17:30 ").replace("holidays: []", "holidays: [2026-12-25]")
    quoted = plain.replace("17:30", "'17:30'").replace("09:00", '"09:00"').replace("[2026-12-25]", "['2026-12-25']")
    assert parse_rules(plain.encode(), "plain") == parse_rules(quoted.encode(), "quoted")
    assert parse_rules(plain.encode(), "plain").business_hours.closes == "17:30"


def test_anchors_and_merge_keys_may_be_used() -> None:
    content = changed("{name: HR Team A, capacity: 200}", "&hr {name: HR Team A, capacity: 200}")
    content = content.replace("{name: HR Team B, capacity: 200}", "{<<: *hr, name: HR Team B}")
    members = parse_rules(content.encode(), "merged").consultants.hr.members
    assert [(member.name, member.capacity) for member in members] == [("HR Team A", 200), ("HR Team B", 200)]


@settings(max_examples=200)
@given(
    start=st.integers(0, len(DEFAULT)),
    length=st.integers(0, 30),
    inserted=st.text(max_size=8) | st.text("{}[]:-&*!|>'\"%@`#,? \n\t0aé\0", max_size=8),
)
def test_no_damage_to_the_file_brings_anything_but_one_line(start: int, length: int, inserted: str) -> None:
    damaged = DEFAULT[:start] + inserted + DEFAULT[start + length :]
    try:
        parse_rules(damaged.encode(errors="surrogatepass"), "my.yaml")
    except ConfigurationError as error:
        assert len(str(error).splitlines()) == 1
