"""FastAPI that classifies, routes and stores each submission by itself: one INSERT, committed, in SQLite."""

from __future__ import annotations

import os
import sqlite3
from typing import Final

from fastapi import FastAPI

from benchmarks.peers.fastapi_bodies import SubmitIn, SubmittedOut
from benchmarks.peers.predictors import predictor
from benchmarks.peers.submissions import COLUMNS, TABLE, row_and_answer

FILE_VARIABLE: Final = "PEER_SQLITE_FILE"
INSERT: Final = f"INSERT INTO submissions VALUES ({', '.join('?' * COLUMNS)})"
predict = predictor()
app = FastAPI()
database = sqlite3.connect(os.environ[FILE_VARIABLE], isolation_level=None)
database.execute("PRAGMA journal_mode = WAL")
database.execute("PRAGMA synchronous = FULL")
database.execute(TABLE)


@app.post("/submit", status_code=201)
async def submit(asked: SubmitIn) -> SubmittedOut:
    row, answer = row_and_answer(asked, predict([asked.text()])[0])
    database.execute(INSERT, row)
    return answer
