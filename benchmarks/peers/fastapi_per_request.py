"""FastAPI that classifies each request by itself, on the event loop."""

from __future__ import annotations

from fastapi import FastAPI

from benchmarks.peers.fastapi_bodies import ClassifyIn, VerdictOut
from benchmarks.peers.predictors import predictor

predict = predictor()
app = FastAPI()


@app.post("/classify")
async def classify(asked: ClassifyIn) -> VerdictOut:
    return VerdictOut.of(predict([asked.text()])[0])
