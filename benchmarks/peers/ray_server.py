"""Ray Serve: one replica behind its HTTP proxy, with its own batching."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from benchmarks.peers.predictors import answer, predictor
from inquiry_svc.inquiries import Text


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0})
class Triage:
    def __init__(self) -> None:
        self.predict = predictor()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0)
    async def classify(self, texts: list[Text]) -> list[dict[str, Any]]:
        return [answer(verdict) for verdict in self.predict(texts)]

    async def __call__(self, request: Request) -> JSONResponse:
        asked = await request.json()
        return JSONResponse(await self.classify(Text(asked["subject"], asked["body"])))


if __name__ == "__main__":
    ray.init("local", num_cpus=1, include_dashboard=False, _node_ip_address="127.0.0.1", _temp_dir=str(Path.home()))
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(sys.argv[1])}, logging_config={"enable_access_log": False}
    )
    serve.run(Triage.bind(), route_prefix="/classify")  # type: ignore[attr-defined]
    threading.Event().wait()
