"""FastAPI that classifies each request by itself, in its thread pool: its manual's way for work that blocks."""

from __future__ import annotations

from fastapi import FastAPI

from benchmarks.peers.fastapi_bodies import ClassifyIn, VerdictOut
from benchmarks.peers.predictors import predictor

predict = predictor()
app = FastAPI()


@app.post("/classify")
def classify(asked: ClassifyIn) -> VerdictOut:
    return VerdictOut.of(predict([asked.text()])[0])
