"""FastAPI with a micro-batcher."""

from __future__ import annotations

from fastapi import FastAPI

from benchmarks.peers.fastapi_bodies import ClassifyIn, VerdictOut
from benchmarks.peers.micro_batcher import MicroBatcher
from benchmarks.peers.predictors import predictor

batcher = MicroBatcher(predictor())
app = FastAPI()


@app.post("/classify")
async def classify(asked: ClassifyIn) -> VerdictOut:
    return VerdictOut.of(await batcher.classify(asked.text()))
