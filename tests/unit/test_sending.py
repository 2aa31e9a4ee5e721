"""Of several workers one at a time sends through an exporter, once a period; a death takes the turn away, no more."""

from __future__ import annotations

from typing import cast

from inquiry_svc.metrics import Family, Gauge, Snapshot
from inquiry_svc.workers.process import Worker
from inquiry_svc.workers.sending import Sending

ONE, OTHER = cast("Worker", "one"), cast("Worker", "other")
PERIOD_S = 10.0
LEVEL = Gauge("level", "Level.")


def numbers(level: float) -> Snapshot:
    return [Family(LEVEL, {(): level})]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_one_at_a_time_and_once_a_period_for_each_exporter() -> None:
    clock = Clock()
    sending = Sending(clock)
    assert sending.begin("a", ONE, PERIOD_S, last=False)
    assert not sending.begin("a", OTHER, PERIOD_S, last=True)
    assert sending.begin("b", OTHER, PERIOD_S, last=False), "another exporter has turns of its own"
    sending.end("a", ONE, sent=True)
    clock.now += 5
    assert not sending.begin("a", OTHER, PERIOD_S, last=False), "not due yet"
    clock.now += 4.1
    assert sending.begin("a", OTHER, PERIOD_S, last=False)


def test_the_last_turn_of_a_worker_is_always_due() -> None:
    sending = Sending(Clock())
    assert sending.begin("a", ONE, PERIOD_S, last=False)
    sending.end("a", ONE, sent=True)
    assert sending.begin("a", OTHER, PERIOD_S, last=True)


def test_only_what_was_sent_is_known_as_sent() -> None:
    clock = Clock()
    sending = Sending(clock)
    for level, sent, before in ((1, True, []), (2, False, numbers(1)), (3, True, numbers(1)), (4, True, numbers(3))):
        assert sending.begin("a", ONE, PERIOD_S, last=False)
        assert sending.note("a", numbers(level)) == before
        sending.end("a", ONE, sent=sent)
        clock.now += PERIOD_S


def test_a_death_frees_the_turn_and_nothing_counts_as_sent() -> None:
    clock = Clock()
    sending = Sending(clock)
    assert sending.begin("a", ONE, PERIOD_S, last=False)
    sending.note("a", numbers(1))
    sending.leave(ONE)
    clock.now += PERIOD_S
    assert sending.begin("a", OTHER, PERIOD_S, last=False)
    assert sending.note("a", numbers(2)) == []


def test_who_takes_too_long_loses_the_turn_and_has_no_say_any_more() -> None:
    clock = Clock()
    sending = Sending(clock)
    assert sending.begin("a", ONE, PERIOD_S, last=False)
    sending.note("a", numbers(1))
    clock.now += 14
    assert not sending.begin("a", OTHER, PERIOD_S, last=False)
    clock.now += 2
    assert sending.begin("a", OTHER, PERIOD_S, last=False)
    sending.note("a", numbers(2))
    sending.end("a", ONE, sent=True)
    assert not sending.is_free("a", ONE)
    sending.end("a", OTHER, sent=True)
    assert sending.note("a", numbers(3)) == numbers(2)
