"""FastAPI that classifies, routes and stores each submission by itself: one INSERT, committed, by asyncpg's pool."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from fastapi import FastAPI

from benchmarks.peers.fastapi_bodies import SubmitIn, SubmittedOut
from benchmarks.peers.predictors import predictor
from benchmarks.peers.submissions import COLUMNS, TABLE, row_and_answer

URL_VARIABLE: Final = "PEER_POSTGRES_URL"
INSERT: Final = f"INSERT INTO submissions VALUES ({', '.join(f'${place + 1}' for place in range(COLUMNS))})"
predict = predictor()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ[URL_VARIABLE], min_size=10, max_size=10) as app.state.pool:
        await app.state.pool.execute(TABLE)
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/submit", status_code=201)
async def submit(asked: SubmitIn) -> SubmittedOut:
    row, answer = row_and_answer(asked, predict([asked.text()])[0])
    await app.state.pool.execute(INSERT, *row)
    return answer
