"""A challenger that crosses a limit is taken down, by what the whole service has counted since it came."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from inquiry_svc.catalogue import (
    ALIAS_FEEDBACK,
    CANARY_ROLLBACKS,
    CANDIDATE_AGREEMENT,
    CANDIDATE_DURATION,
    CANDIDATE_TEXTS,
    OWN_METRICS,
)
from inquiry_svc.inquiries import AXES, Feedback, Model
from inquiry_svc.metrics import Metrics, Snapshot
from inquiry_svc.models.canary import Canary
from inquiry_svc.models.registry import Registry
from inquiry_svc.models.swapping import swapping
from inquiry_svc.settings import ModelsSettings
from inquiry_svc.testing.samples import sample_outcome, sample_verdict
from inquiry_svc.workers.link import to_numbers, to_snapshot
from inquiry_svc.workers.totals import Totals
from tests.model_folders import FolderModels, taken_in

WHO: Final[dict[str, Any]] = {"who": "ana", "why": "", "figures": {}}


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.plugin = FolderModels()
        self.registry = Registry(tmp_path)
        self.metrics = Metrics(OWN_METRICS)
        self._data_dir = tmp_path

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        opener = self.plugin.opener(self._data_dir, self.metrics)
        names = self.plugin.names(self._data_dir)
        self.challenger = taken_in(self.registry, "sales")
        self.registry.promote(self.challenger, "challenger", **WHO)
        async with swapping(names, opener, self.metrics, canary_share=0.1) as self.swapper:
            self.canary = Canary(self.swapper, self.registry, ModelsSettings(), self.metrics)
            yield self

    async def numbers(self) -> Snapshot:
        """As they come to a worker from its parent."""
        return to_snapshot(to_numbers(Totals().whole([self.metrics.snapshot()])))

    async def judge(self) -> None:
        await self.canary.judge(self.numbers)

    def count(self, *, classified: int = 0, failed: int = 0, slow: int = 0, agreed: int = 0, differed: int = 0) -> None:
        series = self.metrics.series
        series(CANDIDATE_TEXTS, alias="challenger", result="classified").inc(classified)
        series(CANDIDATE_TEXTS, alias="challenger", result="failed").inc(failed)
        for agrees, number in (("true", agreed), ("false", differed)):
            series(CANDIDATE_AGREEMENT, alias="challenger", axis="category", agrees=agrees).inc(number)
        for place in range(classified):
            series(CANDIDATE_DURATION, alias="challenger").observe(0.3 if place < slow else 0.25)

    def feedback(self, alias: str, axis: str, *, right: int, wrong: int) -> None:
        for correct, number in (("true", right), ("false", wrong)):
            self.metrics.series(ALIAS_FEEDBACK, alias=alias, axis=axis, correct=correct).inc(number)

    def taken_down(self) -> str | None:
        """Why it was; None while it is there."""
        aliases = self.registry.aliases()
        return None if aliases.challenger is not None else aliases.history[-1].why


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with Bench(tmp_path).running() as bench:
        yield bench


async def test_a_good_challenger_stays(bench: Bench) -> None:
    await bench.judge()
    bench.count(classified=1000, failed=2, slow=5, agreed=900, differed=50)
    for alias in ("champion", "challenger"):
        for axis in AXES:
            bench.feedback(alias, axis, right=70, wrong=30)
    await bench.judge()
    assert bench.taken_down() is None


@pytest.mark.parametrize(
    ("counts", "limit", "why"),
    [
        ({"classified": 1000, "failed": 50}, "errors", "it fails over 4.8% of the texts"),
        ({"classified": 1000, "slow": 50}, "latency", "5.0% of its calls take longer than models.max_p99_s, 0.25 s"),
        ({"agreed": 500, "differed": 500}, "agreement", "it agrees with the champion on 50.0% of the categories"),
    ],
)
async def test_one_that_crosses_a_limit_is_taken_down_with_an_entry_a_line_and_a_number(
    bench: Bench, caplog: pytest.LogCaptureFixture, counts: dict[str, int], limit: str, why: str
) -> None:
    await bench.judge()
    bench.count(**counts)
    await bench.judge()
    told = bench.taken_down()
    assert told is not None
    assert told.startswith(why)
    [*_, entry] = bench.registry.aliases().history
    assert (entry.what, entry.before, entry.after) == ("roll back", bench.challenger, None)
    assert entry.figures, "what was known of it"
    assert entry.who == "the canary's watch"
    assert f"challenger {bench.challenger} is taken down: {why}" in caplog.text
    assert bench.metrics.series(CANARY_ROLLBACKS, limit=limit).value == 1
    await bench.swapper.follow()
    assert bench.swapper.challenger is None
    await bench.judge()
    assert bench.metrics.series(CANARY_ROLLBACKS, limit=limit).value == 1


async def test_one_that_people_find_less_right_than_the_champion_is_taken_down(bench: Bench) -> None:
    await bench.judge()
    bench.feedback("champion", "urgency", right=180, wrong=20)
    bench.feedback("challenger", "urgency", right=20, wrong=29)
    await bench.judge()
    assert bench.taken_down() is None, "49 decide nothing"
    bench.feedback("challenger", "urgency", right=0, wrong=1)
    await bench.judge()
    assert bench.taken_down() == "urgency is right in 40.0%, the champion's in 90.0%, models.max_accuracy_loss is 2.0%"


async def test_what_was_counted_before_it_came_is_not_held_against_it(bench: Bench) -> None:
    bench.count(classified=1000, failed=1000, slow=1000, differed=1000)
    await bench.judge()
    bench.count(classified=300, agreed=300)
    await bench.judge()
    assert bench.taken_down() is None
    another = taken_in(bench.registry, "legal")
    bench.count(failed=1000)
    bench.registry.promote(another, "challenger", **WHO)
    await bench.swapper.follow()
    await bench.judge()
    assert bench.taken_down() is None, "those were the one's before"


async def test_what_was_counted_beside_another_champion_is_not_held_against_it(bench: Bench) -> None:
    await bench.judge()
    bench.count(agreed=500, differed=500)
    bench.registry.promote(taken_in(bench.registry, "legal"), "champion", **WHO)
    await bench.swapper.follow()
    await bench.judge()
    assert bench.taken_down() is None, "it differed from the one before"
    bench.count(agreed=500, differed=500)
    await bench.judge()
    assert bench.taken_down() is not None


async def test_a_challenger_that_somebody_replaced_meanwhile_is_left_to_them(bench: Bench) -> None:
    await bench.judge()
    bench.count(failed=1000)
    another = taken_in(bench.registry, "legal")
    bench.registry.promote(another, "challenger", **WHO)
    await bench.judge()
    assert bench.registry.aliases().challenger == another
    assert bench.metrics.series(CANARY_ROLLBACKS, limit="errors").value == 0


async def test_feedback_counts_for_whoever_answered_and_axis_by_axis(bench: Bench) -> None:
    line_up = bench.swapper.open_models.line_up
    assert line_up.challenger is not None
    said = Feedback("billing", None, "low", "ana", datetime.now(UTC))
    outcome = sample_outcome()
    for model in (line_up.champion.model, line_up.challenger.model, Model("keyword", "1", "0")):
        prediction = replace(outcome.prediction, model=model, verdict=sample_verdict("billing", "neutral", "high"))
        bench.canary.reviewed(replace(outcome, prediction=prediction, feedback=said))
    for alias in ("champion", "challenger"):
        found = {
            (axis, correct): bench.metrics.series(ALIAS_FEEDBACK, alias=alias, axis=axis, correct=correct).value
            for axis in AXES
            for correct in ("true", "false")
        }
        assert {key for key, count in found.items() if count} == {("category", "true"), ("urgency", "false")}
        assert sum(found.values()) == 2
