"""LitServe: its own batching, one worker process beside the one that listens."""

from __future__ import annotations

import sys
from typing import Any

import litserve

from benchmarks.peers.predictors import answer, predictor
from inquiry_svc.inquiries import Text, Verdict


class Triage(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.predict_texts = predictor()

    def decode_request(self, request: dict[str, str]) -> Text:
        return Text(request["subject"], request["body"])

    def batch(self, inputs: list[Text]) -> list[Text]:
        return inputs

    def predict(self, x: list[Text]) -> list[Verdict]:
        return list(self.predict_texts(x))

    def unbatch(self, output: list[Verdict]) -> list[Verdict]:
        return output

    def encode_response(self, output: Verdict) -> dict[str, Any]:
        return answer(output)


if __name__ == "__main__":
    api = Triage(max_batch_size=64, batch_timeout=0.002, api_path="/classify")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="error"
    )
