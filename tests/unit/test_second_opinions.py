"""Candidates are asked when nobody waits, and what they say is counted and goes nowhere else."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import uvloop

from inquiry_svc.catalogue import (
    CANDIDATE_AGREEMENT,
    CANDIDATE_CONFIDENCE,
    CANDIDATE_DURATION,
    CANDIDATE_TEXTS,
    OWN_METRICS,
    SECOND_OPINIONS,
)
from inquiry_svc.inquiries import Text, Verdict
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.open_models import LineUp, OpenModel, OpenModels
from inquiry_svc.models.second_opinions import SecondOpinions
from inquiry_svc.predicting import prediction_of
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import ReviewSettings
from inquiry_svc.testing.providers import FunctionClassifier
from inquiry_svc.testing.samples import sample_verdict

TEXTS = {bytes([number]): Text("", f"text {number}") for number in range(8)}


class Bench:
    def __init__(self) -> None:
        self.metrics = Metrics(OWN_METRICS)
        self.champion = OpenModel(FunctionClassifier(digest="1"), self.metrics)
        self.models = OpenModels(LineUp(self.champion))
        self.somebody_waits = False
        self.opinions = SecondOpinions(
            self.models, self.metrics, nobody_waits=lambda: not self.somebody_waits, timeout_s=0.05
        )

    def shadow(self, classify: Callable[[Text], Verdict], *, alias: str = "shadow") -> FunctionClassifier:
        async def each(texts: Sequence[Text]) -> Sequence[Verdict]:
            return list(map(classify, texts))

        classifier = FunctionClassifier(each, digest="2")
        model = OpenModel(classifier, self.metrics)
        self.models.line_up = LineUp(self.champion)
        setattr(self.models.line_up, alias, model)
        return classifier

    def answered(self, texts: dict[bytes, Text]) -> None:
        policy = ReviewPolicy(ReviewSettings())
        answers = {key: prediction_of(sample_verdict(), self.champion.model, policy, {}) for key in texts}
        self.opinions.ask_for(self.models.line_up, texts, answers)

    def told(self, result: str) -> float:
        return self.metrics.series(SECOND_OPINIONS, result=result).value

    def agreement(self, alias: str, axis: str) -> tuple[float, float]:
        return tuple(  # type: ignore[return-value]
            self.metrics.series(CANDIDATE_AGREEMENT, alias=alias, axis=axis, agrees=agrees).value
            for agrees in ("true", "false")
        )

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not reached():  # noqa: ASYNC110 (a task of the opinions' own)
                await asyncio.sleep(0.001)


async def test_a_shadow_is_asked_of_each_text_alone_and_compared() -> None:
    bench = Bench()
    shadow = bench.shadow(lambda text: sample_verdict("sales" if text.body == "text 3" else "billing", "neutral"))
    async with bench.opinions.running():
        bench.answered(TEXTS)
        await bench.until(lambda: bench.agreement("shadow", "urgency")[0] == 8)
    assert shadow.batches == [[text] for text in TEXTS.values()]
    assert [bench.agreement("shadow", axis) for axis in ("category", "sentiment")] == [(7, 1), (0, 8)]
    assert (bench.told("asked"), bench.told("dropped")) == (8, 0)
    assert bench.metrics.series(CANDIDATE_TEXTS, alias="shadow", result="classified").value == 8
    for metric in (CANDIDATE_CONFIDENCE, CANDIDATE_DURATION):
        assert bench.metrics.series(metric, alias="shadow").cumulative()[-1] == 8


async def test_a_challenger_is_compared_too_but_its_texts_and_times_are_those_of_its_own_share() -> None:
    bench = Bench()
    bench.shadow(lambda text: sample_verdict(), alias="challenger")
    async with bench.opinions.running():
        bench.answered(TEXTS)
        await bench.until(lambda: bench.agreement("challenger", "urgency")[0] == 8)
    assert bench.metrics.series(CANDIDATE_TEXTS, alias="challenger", result="classified").value == 0
    assert bench.metrics.series(CANDIDATE_DURATION, alias="challenger").cumulative()[-1] == 0


async def test_nobody_is_asked_while_somebody_waits() -> None:
    bench = Bench()
    shadow = bench.shadow(lambda text: sample_verdict())
    bench.somebody_waits = True
    async with bench.opinions.running():
        bench.answered(TEXTS)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert shadow.batches == []
        bench.somebody_waits = False
        await bench.until(lambda: len(shadow.batches) == 8)


async def test_somebody_who_comes_waits_for_one_text_at_most() -> None:
    bench = Bench()

    def and_somebody_comes(text: Text) -> Verdict:
        bench.somebody_waits = True
        return sample_verdict()

    shadow = bench.shadow(and_somebody_comes)
    async with bench.opinions.running():
        bench.answered(TEXTS)
        await bench.until(lambda: bool(shadow.batches))
        for _ in range(20):
            await asyncio.sleep(0.001)
    assert len(shadow.batches) == 1


def test_nobody_is_asked_before_a_request_that_has_arrived_but_is_not_read_yet() -> None:
    async def scene() -> None:
        bench, loop = Bench(), asyncio.get_running_loop()
        shadow = bench.shadow(lambda text: sample_verdict())
        ours, theirs = socket.socketpair()
        requests: list[asyncio.Task[None]] = []

        async def answer() -> None:
            bench.somebody_waits = True

        def read() -> None:
            ours.recv(1)
            requests.append(asyncio.create_task(answer()))

        loop.add_reader(ours, read)
        with ours, theirs:
            async with bench.opinions.running():
                for _ in range(20):
                    bench.somebody_waits = True
                    bench.answered(TEXTS)
                    await asyncio.sleep(0.001)
                    bench.somebody_waits = False
                    theirs.send(b"!")
                    time.sleep(0.01)  # noqa: ASYNC251 (the loop is busy, and the next look is due when it is not)
                    await asyncio.wait_for(_until_one_more(requests, len(requests)), 20)
            loop.remove_reader(ours)
        assert shadow.batches == []

    uvloop.run(scene())  # it wakes who sleeps before it reads


async def _until_one_more(requests: Sequence[object], before: int) -> None:
    while len(requests) == before:  # noqa: ASYNC110 (the loop reads it)
        await asyncio.sleep(0)


async def test_after_a_text_nobody_is_asked_for_much_longer_than_it_took() -> None:
    bench = Bench()
    asked_at_s: list[float] = []

    def slowly(text: Text) -> Verdict:
        asked_at_s.append(time.monotonic())
        time.sleep(0.005)
        return sample_verdict()

    bench.shadow(slowly)
    async with bench.opinions.running():
        bench.answered(TEXTS)
        await bench.until(lambda: len(asked_at_s) == 8)
    assert min(later - before for before, later in pairwise(asked_at_s)) >= 0.05


async def test_what_finds_no_place_is_dropped_and_counted() -> None:
    bench = Bench()
    shadow = bench.shadow(lambda text: sample_verdict())
    bench.somebody_waits = True
    many = {number.to_bytes(2, "big"): Text("", f"text {number}") for number in range(300)}
    async with bench.opinions.running():
        bench.answered(many)
        assert bench.told("dropped") == 44
        bench.answered(TEXTS)
        assert bench.told("dropped") == 52
        bench.somebody_waits = False
        await bench.until(lambda: len(shadow.batches) == 256)
    assert bench.told("asked") == 256


async def test_without_candidates_nothing_is_noted() -> None:
    bench = Bench()
    async with bench.opinions.running():
        bench.answered(TEXTS)
        bench.shadow(lambda text: sample_verdict())
        await asyncio.sleep(0.01)
    assert (bench.told("asked"), bench.told("dropped")) == (0, 0)


async def test_what_another_champion_answered_is_compared_with_nobody() -> None:
    bench = Bench()
    shadow = bench.shadow(lambda text: sample_verdict())
    bench.somebody_waits = True
    async with bench.opinions.running():
        bench.answered(TEXTS)
        assert bench.models.line_up.shadow is not None
        new = OpenModel(FunctionClassifier(digest="3"), bench.metrics)
        bench.models.line_up = LineUp(new, shadow=bench.models.line_up.shadow)
        bench.somebody_waits = False
        await bench.until(lambda: bench.told("dropped") == 8)
    assert shadow.batches == []


async def test_a_shadow_that_fails_hangs_or_is_cancelled_from_within_is_counted_and_the_next_text_is_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()

    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        if texts[0].body in ("text 1", "text 2"):
            raise ValueError("no")
        if texts[0].body == "text 3":
            await asyncio.Event().wait()
        if texts[0].body == "text 4":
            raise asyncio.CancelledError
        return [sample_verdict()]

    shadow = OpenModel(FunctionClassifier(classify, digest="2"), bench.metrics)
    bench.models.line_up = LineUp(bench.champion, shadow=shadow)
    async with bench.opinions.running():
        bench.answered(TEXTS)
        await bench.until(lambda: bench.agreement("shadow", "category")[0] == 4)
    assert bench.metrics.series(CANDIDATE_TEXTS, alias="shadow", result="failed").value == 4
    assert [record.message for record in caplog.records] == ["the shadow could not classify a text"], "said once"


async def test_a_shadow_that_fails_as_the_one_before_it_did_is_told_of_too(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    async def classify(texts: Sequence[Text]) -> Sequence[Verdict]:
        raise ValueError("no")

    failed = bench.metrics.series(CANDIDATE_TEXTS, alias="shadow", result="failed")
    async with bench.opinions.running():
        for models, digest in enumerate("23", start=1):
            shadow = OpenModel(FunctionClassifier(classify, digest=digest), bench.metrics)
            bench.models.line_up = LineUp(bench.champion, shadow=shadow)
            bench.answered(TEXTS)
            await bench.until(lambda seen=models: failed.value == 8 * seen)  # type: ignore[misc]
    assert [record.message for record in caplog.records] == ["the shadow could not classify a text"] * 2
