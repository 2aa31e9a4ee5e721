"""Processes that count down together are never given more than there is, whenever one of them is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from inquiry_svc import allowances
from inquiry_svc.allowances import Allowances, shared_memory

TAKE: str = """
import sys
from inquiry_svc.allowances import Allowances
shared = Allowances(int(sys.argv[1]))
taken = 0
print("ready", flush=True)
sys.stdin.readline()
while shared.take(7) >= 0:
    taken += 1
print(taken, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Memory:
    descriptor: int
    shared: Allowances


@pytest.fixture
def memory() -> Iterator[Memory]:
    descriptor = shared_memory()
    assert descriptor is not None
    yield Memory(descriptor, Allowances(descriptor))
    os.close(descriptor)


def takers(stack: ExitStack, memory: Memory, count: int) -> list[subprocess.Popen[str]]:
    """Processes that take whatever they get, once they are told to begin."""
    found = []
    for _ in range(count):
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", TAKE, str(memory.descriptor)],
                pass_fds=[memory.descriptor],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(process.kill)
        found.append(process)
    for process in found:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    return found


def begin(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()


def test_what_is_left_is_told_and_each_place_is_for_itself(memory: Memory) -> None:
    memory.shared.set(0, 2)
    memory.shared.set(allowances.PLACES - 1, 1)
    assert [memory.shared.take(place) for place in (0, 0, 0, allowances.PLACES - 1, 0, 1)] == [1, 0, -1, 0, -1, -1]
    memory.shared.set(0, 2**40)
    assert memory.shared.take(0) == allowances.MAX_COUNT - 1


def test_processes_at_once_are_given_exactly_what_there_is(memory: Memory) -> None:
    count = 400_000
    memory.shared.set(7, count)
    with ExitStack() as stack:
        processes = takers(stack, memory, 3)
        begin(processes)
        taken = [int(process.communicate()[0]) for process in processes]
    assert sum(taken) == count
    assert sum(each > 0 for each in taken) > 1, "they took turns"
    assert memory.shared.take(7) == -1


def test_a_killed_process_holds_nothing_and_what_is_left_is_given_to_the_others(memory: Memory) -> None:
    """It is killed somewhere among a hundred thousand steps, twenty times."""
    with ExitStack() as stack:
        for _ in range(20):
            count = 2**31 - 1
            memory.shared.set(7, count)
            [process] = takers(stack, memory, 1)
            begin([process])
            while (left := memory.shared.take(7)) > count - 20_000:
                pass
            process.kill()
            process.wait()
            after = memory.shared.take(7)
            assert after < left, "it took until it was killed"
            assert memory.shared.take(7) == after - 1, "nobody takes any more, and nobody waits"
