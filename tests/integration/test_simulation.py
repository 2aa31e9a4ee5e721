"""Thousands of lives of the pipeline in virtual time, with misfortune at every await: see `tests/simulation`."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from inquiry_svc import pipeline
from inquiry_svc.batching import Batcher
from inquiry_svc.web.gate import Gate
from tests.simulation import virtual_time
from tests.simulation.lives import Broken, live

ROOT: Final = Path(__file__).parents[2]


@pytest.mark.parametrize("lives", [2_000, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(7000)])])
def test_whatever_befalls_the_providers_no_promise_is_broken(lives: int) -> None:
    first = random.randrange(2**32)
    print(f"seeds {first} to {first + lives - 1}")
    live_through(range(first, first + lives))


def live_through(seeds: Iterable[int]) -> None:
    for seed in seeds:
        live(seed)


def test_a_life_is_the_same_whenever_and_wherever_it_is_lived_again() -> None:
    seed = random.randrange(2**32)
    command = [sys.executable, "-m", "tests.simulation", str(seed)]
    environ = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    elsewhere = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()
    assert live(seed) == live(seed) == elsewhere[:-1]


async def _nobody(_: Batcher[Any, Any]) -> None:
    """A look at the deadlines that sees none."""


def _let_in_whoever(gate: Gate) -> None:
    gate._letting_in = None
    while gate._line and not gate._is_shut():
        gate.let_in(gate._line.pop())


FAULTS: Final[dict[str, tuple[Any, str, Callable[..., Any]]]] = {
    "any payload is the same": (pipeline, "_is_replay", lambda sent, stored: True),
    "nobody is told that it is late": (Batcher, "_tell_the_late", _nobody),
    "who has left is let in": (Gate, "_let_in_more", _let_in_whoever),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_found_again_by_its_seed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*FAULTS[fault])
    with pytest.raises(Broken) as found:
        live_through(range(1_000))
    last = str(found.value).splitlines()[-1]
    assert last.startswith("again: python -m tests.simulation ")
    with pytest.raises(Broken) as again:
        live(int(last.split()[-1]))
    assert str(again.value) == str(found.value)


def test_who_waits_for_ever_is_noticed_at_once() -> None:
    with pytest.raises(RuntimeError, match="everybody waits"):
        virtual_time.run(asyncio.Event().wait())


def test_hours_take_no_time() -> None:
    async def sleep() -> float:
        before = time.monotonic()
        await asyncio.sleep(86_400)
        return time.monotonic() - before

    assert virtual_time.run(sleep()) == pytest.approx(86_400)
