"""The contract suite of exporters, tried on exporters that are broken on purpose: each must fail it where it is broken.

As with stores, the suite over all of them runs once, in a process in which pytest is told to collect it.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import pytest

from inquiry_svc.metrics import Snapshot
from inquiry_svc.testing.exporters import ExporterContract, OpenReceiver, Receiver, Sample, sample_key
from inquiry_svc_plugins.exporters.changes import changes


class Adding:
    """A receiver with its exporter in one: sound."""

    adds_up = True
    knows_infinity = False

    def __init__(self) -> None:
        self.known: dict[Sample, float] = {}

    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        for change in changes(snapshot, sent):
            labels = {name: text if name == "le" else self.written(text) for name, text in change.labels.items()}
            key = sample_key(change.name, labels)
            self.known[key] = change.value + (0 if change.is_level else self.known.get(key, 0.0))

    async def understood(self) -> Mapping[Sample, float]:
        return self.known

    def written(self, text: str) -> str:
        return text


class SendsTotalsToWhoAddsUp(Adding):
    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        await super().tell(snapshot, [])


class AsksItselfWhatItSent(Adding):
    """Right until a worker dies over a push that failed."""

    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        await super().tell(snapshot, getattr(self, "last", []))
        self.last = snapshot
        if not sent and any(family.values for family in snapshot):
            self.last = []


class LosesTheRestOfALongPage(Adding):
    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        await super().tell(snapshot, sent)
        self.known = dict(list(self.known.items())[:500])


class CutsLongLabels(Adding):
    def written(self, text: str) -> str:
        return text[:200]


class SplitsAtNewlines(Adding):
    async def understood(self) -> Mapping[Sample, float]:
        forged: dict[Sample, float] = {("forged_total", ()): 1.0} if "forged" in str(self.known) else {}
        return {**self.known, **forged}


class DropsAllOverOneThatIsNotFinite(Adding):
    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        numbers = [value for family in snapshot for value in family.values.values() if isinstance(value, float)]
        if all(map(math.isfinite, numbers)):
            await super().tell(snapshot, sent)


class CannotWriteSurrogates(Adding):
    async def tell(self, snapshot: Snapshot, sent: Snapshot) -> None:
        for family in snapshot:
            for labels in family.values:
                "".join(labels).encode()
        await super().tell(snapshot, sent)


class RoundsSums(Adding):
    async def understood(self) -> Mapping[Sample, float]:
        return {key: float(round(value)) if key[0].endswith("_sum") else value for key, value in self.known.items()}


class LeavesOutInfinity(Adding):
    async def understood(self) -> Mapping[Sample, float]:
        return {key: value for key, value in self.known.items() if dict(key[1]).get("le") != "inf"}


class SaysSomethingOfNothing(Adding):
    async def understood(self) -> Mapping[Sample, float]:
        return self.known or {("up", ()): 1.0}


BROKEN: Final = {
    SendsTotalsToWhoAddsUp: "test_what_was_not_sent_once_is_sent_the_next_time",
    AsksItselfWhatItSent: "test_what_was_not_sent_once_is_sent_the_next_time",
    LosesTheRestOfALongPage: "test_thousands_of_series_all_arrive",
    CutsLongLabels: "test_hostile_label_values_forge_nothing_and_stay_apart",
    SplitsAtNewlines: "test_hostile_label_values_forge_nothing_and_stay_apart",
    DropsAllOverOneThatIsNotFinite: "test_a_number_that_is_not_finite_costs_no_other",
    CannotWriteSurrogates: "test_text_that_utf_8_cannot_write_costs_no_other_number",
    RoundsSums: "test_workers_that_die_and_come_again_take_nothing_along",
    LeavesOutInfinity: "test_what_arrives_is_what_was_counted",
    SaysSomethingOfNothing: "test_an_empty_snapshot_tells_nothing",
}
"""Each broken exporter, and the test that must fail over it."""


class BrokenExporters(ExporterContract):
    @pytest.fixture(params=[Adding, *BROKEN], ids=lambda broken: broken.__name__)
    def open_receiver(self, request: pytest.FixtureRequest) -> OpenReceiver:
        @asynccontextmanager
        async def receiving() -> AsyncIterator[Receiver]:
            receiver: Receiver = request.param()
            yield receiver

        return receiving


@pytest.fixture(scope="module")
def failed() -> set[tuple[str, str]]:
    """Each failure of the suite above: the test and the broken exporter."""
    options = ["-q", "--tb=no", "-rf", "-n0", "-p", "no:cacheprovider", "-o", "python_classes=Broken"]
    # One is enough for the slowest test, which tries many values.
    choice = "BrokenExporters and (not what_was_counted or LeavesOutInfinity or Adding)"
    command = [sys.executable, "-m", "pytest", *options, __file__, "-k", choice]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    return set(re.findall(r"^FAILED \S+::(test_\w+)\[(\w+)\]", run.stdout, re.MULTILINE))


@pytest.mark.parametrize(("broken", "test"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", "in"))
def test_the_suite_fails_over(failed: set[tuple[str, str]], broken: type[Adding], test: str) -> None:
    assert (test, broken.__name__) in failed


def test_one_that_is_sound_fails_nothing(failed: set[tuple[str, str]]) -> None:
    assert [test for test, broken in failed if broken == Adding.__name__] == []


def test_each_test_of_the_suite_fails_over_some_broken_exporter(failed: set[tuple[str, str]]) -> None:
    assert {test for test, _ in failed} == {name for name in dir(ExporterContract) if name.startswith("test_")}
