"""A fault wakes the right person with the right words, and no other; and when it is over, that is said too.

The real service with PostgreSQL and Redis, the shipped rules and routes in a real Prometheus and Alertmanager, twenty
times as fast, and real ends of the line for mail and for Slack: see `tests/alive`.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Final

import pytest

from tests.alive.episodes import Episode, HeldUp, live_through_all
from tests.alive.faults import FAULTS, TRUE_OF_THE_MACHINE
from tests.alive.timeline import timeline
from tests.house.test_alerts import ROOT
from tests.servers.prometheus import Program, program

pytestmark = [pytest.mark.alone, pytest.mark.timeout(2000)]

PROGRAMS: Final[tuple[Program, ...]] = ("prometheus", "alertmanager", "blackbox-exporter")
RUNBOOKS: Final = "https://runbooks.example.org/"


@pytest.fixture(scope="module")
def episodes(request: pytest.FixtureRequest) -> dict[str, Episode | BaseException]:
    """Of the faults that any test of this run asks for."""
    for name in PROGRAMS:
        program(name)
    asked = {item.callspec.params.get("episode") for item in request.session.items if hasattr(item, "callspec")}
    ended = asyncio.run(live_through_all([fault for fault in FAULTS if fault.name in asked]))
    print(timeline([each for each in ended.values() if isinstance(each, Episode)]))
    return ended


@pytest.fixture(params=[pytest.param(each.name, marks=[pytest.mark.soak] * each.is_long) for each in FAULTS])
def episode(request: pytest.FixtureRequest, episodes: dict[str, Episode | BaseException]) -> Episode:
    ended = episodes[request.param]
    if isinstance(ended, HeldUp):  # each time: that is the machine, in the gate as well
        pytest.skip(str(ended))
    if isinstance(ended, BaseException):
        raise ended
    return ended


def test_the_alert_fires_when_it_must_and_no_other_does(episode: Episode) -> None:
    assert episode.pending_at > episode.began_at - 1  # it is told in whole seconds
    assert episode.fired_at - episode.pending_at >= episode.for_s
    assert episode.late_s == 0
    assert episode.strangers == set()


def test_one_person_is_told_that_it_began_and_that_it_is_over(episode: Episode) -> None:
    where = ("slack", "#alerts") if episode.severity == "critical" else ("mail", "alerts@example.org")
    for status in ("FIRING", "RESOLVED"):
        assert [(each.channel, each.to) for each in episode.told(status, episode.fault.alert)] == [where]


def test_nobody_is_told_of_symptoms_or_of_what_has_nothing_to_do_with_it(episode: Episode) -> None:
    known = {episode.fault.alert, *episode.fault.may_come_too, *TRUE_OF_THE_MACHINE}
    assert {message.says[1] for message in episode.messages} <= known


@pytest.mark.parametrize("status", ["FIRING", "RESOLVED"])
def test_the_message_says_what_is_wrong_how_bad_where_and_what_to_do(episode: Episode, status: str) -> None:
    fault = episode.fault
    [message] = episode.told(status, fault.alert)
    assert message.title == f"[{status}] {fault.alert}"
    summary, description, *more = message.text.strip().splitlines()
    found = re.fullmatch(("It was: " if status == "RESOLVED" else "") + fault.description, description)
    assert found, description
    if status == "FIRING" and found.groups():
        assert fault.least <= float(found[1]) <= fault.most
    runbook = f"alerting/runbooks/{fault.alert}.md"
    assert (ROOT / runbook).is_file()
    where = f"Severity {episode.severity}, component {episode.component} of inquiry-svc"
    if message.channel == "slack":
        assert re.fullmatch(rf"\*{fault.summary}\*", summary)
        assert (more, message.link) == ([where], RUNBOOKS + runbook)
        return
    assert re.fullmatch(f"{status}: {fault.summary}", summary)
    assert more[1:] == [f"What to do: {RUNBOOKS}{runbook}"]
    until = r" until \d\d:\d\d:\d\d UTC" if status == "RESOLVED" else ""
    since = re.fullmatch(rf"{where}, since (.{{19}}) UTC{until}", more[0])
    assert since, more[0]
    assert abs(datetime.fromisoformat(f"{since[1]}+00:00").timestamp() - episode.fired_at) < 2
