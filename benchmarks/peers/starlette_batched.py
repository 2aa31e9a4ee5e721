"""Starlette with msgspec and a micro-batcher."""

from __future__ import annotations

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.micro_batcher import MicroBatcher
from benchmarks.peers.msgspec_bodies import ClassifyIn, VerdictOut
from benchmarks.peers.predictors import predictor

batcher = MicroBatcher(predictor())
decoder = msgspec.json.Decoder(ClassifyIn)
encoder = msgspec.json.Encoder()


async def classify(request: Request) -> Response:
    try:
        asked = decoder.decode(await request.body())
    except msgspec.ValidationError as error:
        return Response(encoder.encode({"detail": str(error)}), 422, media_type="application/json")
    verdict = await batcher.classify(asked.text())
    return Response(encoder.encode(VerdictOut.of(verdict)), media_type="application/json")


app = Starlette(routes=[Route("/classify", classify, methods=["POST"])])
