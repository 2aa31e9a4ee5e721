"""Litestar, whose own codec is msgspec, with a micro-batcher."""

from __future__ import annotations

from litestar import Litestar, post

from benchmarks.peers.micro_batcher import MicroBatcher
from benchmarks.peers.msgspec_bodies import ClassifyIn, VerdictOut
from benchmarks.peers.predictors import predictor

batcher = MicroBatcher(predictor())


@post("/classify", status_code=200)
async def classify(data: ClassifyIn) -> VerdictOut:
    return VerdictOut.of(await batcher.classify(data.text()))


app = Litestar([classify], openapi_config=None, logging_config=None)
