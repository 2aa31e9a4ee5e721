"""MLServer: a runtime of one's own behind its adaptive batching. Texts and answers are tensors, by the V2 protocol."""

from __future__ import annotations

from itertools import chain

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.predictors import predictor
from inquiry_svc.inquiries import AXES, Text


class Triage(MLModel):
    async def load(self) -> bool:
        self.predict_texts = predictor()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        subjects, bodies = (StringCodec.decode_input(each) for each in payload.inputs)
        verdicts = self.predict_texts([Text(*both) for both in zip(subjects, bodies, strict=True)])
        found = {axis: [getattr(verdict, axis) for verdict in verdicts] for axis in AXES}
        outputs = (
            (
                StringCodec.encode_output(f"{axis}_label", [each.label for each in labels]),
                NumpyCodec.encode_output(f"{axis}_confidence", np.array([each.confidence for each in labels])),
            )
            for axis, labels in found.items()
        )
        return InferenceResponse(model_name=self.name, outputs=list(chain.from_iterable(outputs)))
