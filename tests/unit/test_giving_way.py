"""Work beside those who answer pauses for much longer than it works; each thread keeps its own time."""

from __future__ import annotations

import threading
import time

from inquiry_svc.giving_way import PAUSES, Pauses


def work(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def test_after_each_step_there_is_a_pause_many_times_as_long() -> None:
    pause, started_s = Pauses(), time.monotonic()
    pause()
    for _ in range(4):
        work(0.002)
        pause()
    assert time.monotonic() - started_s >= 4 * 0.002 * (1 + PAUSES)


def test_what_a_thread_did_between_two_readings_is_no_step() -> None:
    pause = Pauses()
    pause()
    work(0.5)
    started_s = time.monotonic()
    pause()
    assert time.monotonic() - started_s < 0.5 * PAUSES / 2


def test_what_a_thread_did_before_it_first_paused_and_what_others_do_is_not_counted() -> None:
    pause = Pauses()
    pause()
    work(0.2)

    def elsewhere() -> None:
        work(0.2)
        pause()
        pause()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(0.2 * PAUSES)
    assert not thread.is_alive(), "it pauses for what is not a step of its own"
