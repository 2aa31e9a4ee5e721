"""BentoML: its own adaptive batching, one worker. A request to a batched method is a list, here of one text."""

from __future__ import annotations

from typing import Any

import bentoml
from pydantic import BaseModel

from benchmarks.peers.predictors import answer, predictor
from inquiry_svc.inquiries import Text


class TextIn(BaseModel):
    subject: str
    body: str


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 256}, logging={"access": {"enabled": False}})
class Triage:
    def __init__(self) -> None:
        self.predict = predictor()

    @bentoml.api(route="/classify", batchable=True, max_batch_size=64, max_latency_ms=1000)
    def classify(self, texts: list[TextIn]) -> list[dict[str, Any]]:
        return [answer(verdict) for verdict in self.predict([Text(each.subject, each.body) for each in texts])]
