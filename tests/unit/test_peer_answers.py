"""The benchmark of peers compares answers: whoever says something else than the reference has no figures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from benchmarks.peers.catalogue import Server
from benchmarks.peers.checking import TOLERANCE, WrongAnswer, check
from benchmarks.peers.micro_batcher import MAX_BATCH, MicroBatcher
from benchmarks.peers.predictors import VARIABLE, answer, predictor
from benchmarks.peers.processes import Running
from inquiry_svc.inquiries import AXES, Text, Verdict
from inquiry_svc.testing.samples import sample_verdict
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL
from inquiry_svc_plugins.classifiers.xgboost.model import load_model

TEXTS: Final = [Text(f"Invoice {n}", f"I was charged {n} times for order {n}, please refund me.") for n in range(100)]
Alter = Callable[[dict[str, Any]], None]


def more_sure_by(share: float) -> Alter:
    def alter(found: dict[str, Any]) -> None:
        found["urgency"]["confidence"] += share

    return alter


def of_another_label(found: dict[str, Any]) -> None:
    found["sentiment"]["label"] = "indifferent"


async def asked(alter: Alter, *, status: int = 200) -> None:
    """Check a server that says what is expected, altered for the last text."""
    expected = [sample_verdict() for _ in TEXTS]

    async def classify(request: web.Request) -> web.Response:
        found = answer(sample_verdict())
        if (await request.json())["body"] == TEXTS[-1].body:
            alter(found)
        return web.json_response(found, status=status)

    app = web.Application()
    app.router.add_post("/classify", classify)
    async with TestServer(app) as server:
        running = Running(Server("one of them", "ours", (), ""), str(server.make_url("")).rstrip("/"), psutil.Process())
        await check(running, TEXTS, expected, connections=8)


async def test_an_answer_within_the_tolerance_is_right() -> None:
    await asked(more_sure_by(TOLERANCE / 2))


@pytest.mark.parametrize(
    "alter", [more_sure_by(TOLERANCE * 2), more_sure_by(float("nan")), of_another_label], ids=["surer", "nan", "label"]
)
async def test_one_wrong_answer_among_a_hundred_is_found(alter: Alter) -> None:
    with pytest.raises(WrongAnswer, match="one of them says"):
        await asked(alter)


async def test_a_refusal_is_no_answer() -> None:
    with pytest.raises(WrongAnswer, match="answered 503"):
        await asked(more_sure_by(0), status=503)


@pytest.mark.parametrize("name", ["stock", "ours"])
def test_each_predictor_of_the_peers_answers_as_the_reference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, name)
    found, expected = predictor()(TEXTS), load_model(PACKAGED_MODEL).verdicts(TEXTS)
    for ours, wanted in zip(found, expected, strict=True):
        for axis in AXES:
            assert getattr(ours, axis).label == getattr(wanted, axis).label
            assert getattr(ours, axis).confidence == pytest.approx(getattr(wanted, axis).confidence, abs=1e-5)


async def test_those_who_come_together_are_answered_together_each_with_its_own() -> None:
    sizes: list[int] = []

    def predict(texts: Sequence[Text]) -> list[Verdict]:
        sizes.append(len(texts))
        return [replace(sample_verdict(), evidence=float(text.subject.split()[1])) for text in texts]

    batcher = MicroBatcher(predict)
    found = await asyncio.gather(*(batcher.classify(text) for text in TEXTS))
    assert [verdict.evidence for verdict in found] == list(range(100))
    assert sizes == [MAX_BATCH, 100 - MAX_BATCH]
