"""Who is measured: how each is started, asked and read, and how it is tuned. One entry a server and predictor.

A peer's settings are those by which its manual makes it quick on one core.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from inquiry_svc.inquiries import AXES, Text

OUR_NAME: Final = "inquiry-svc"
OURS: Final = Path(sys.prefix)
VENVS: Final = Path(__file__).parents[2] / ".venv-peers"
CLASSIFY, ON_POSTGRES, ON_SQLITE = "classify", "submit, PostgreSQL", "submit, SQLite"

Answers: TypeAlias = dict[str, tuple[str, float]]
"""Of each axis the label and the confidence."""


def classify_body(text: Text) -> bytes:
    return json.dumps({"subject": text.subject, "body": text.body}).encode()


def plain_body(text: Text) -> bytes:
    """Also of those that submit: who doesn't ask for the sender leaves it alone."""
    return json.dumps({"subject": text.subject, "body": text.body, "sender_email": "ana@example.org"}).encode()


def plain_answers(found: Any) -> Answers:
    return {axis: (found[axis]["label"], found[axis]["confidence"]) for axis in AXES}


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    predictor: str
    """`stock` or `ours`, as `predictors.py` has them; empty for who needs none."""
    command: tuple[str, ...]
    """A program of its virtual environment and what it is given; `{port}` stands for the port."""
    settings: str
    """As the table says them."""
    question: str = CLASSIFY
    """Servers of one question are compared."""
    path: str = "/classify"
    body: Callable[[Text], bytes] = plain_body
    answers: Callable[[Any], Answers] | None = plain_answers
    """In the JSON of a response. Raises `LookupError` where it has none. None for who answers nothing."""
    venv: Path = VENVS / "servers"
    environment: Mapping[str, str] = field(default_factory=dict)

    def command_line(self, port: int) -> list[str]:
        program, *arguments = (word.format(port=port) for word in self.command)
        return [str(self.venv / "bin" / program), *arguments]


def constant() -> Server:
    command = ("python", "-m", "benchmarks.constant", "{port}")
    return Server("constant answer", "", command, "aiohttp, uvloop", path="/", answers=None, venv=OURS)


def ourselves(postgres_url: str, folder: Path) -> Iterator[Server]:
    """As shipped, but for the cache: every text is classified."""
    postgres = {"INQUIRY_STORE__PROVIDER": "postgres", "INQUIRY_STORE__POSTGRES__URL": postgres_url}
    for question, store in ((CLASSIFY, {}), (ON_SQLITE, {}), (ON_POSTGRES, postgres)):
        data_dir = str(folder / question.replace(" ", "-"))
        yield Server(
            OUR_NAME,
            "ours",
            ("inquiry-svc", "serve", "--port", "{port}", "--data-dir", data_dir),
            "as shipped, no cache",
            question,
            "/api/v1/inquiries/classify" if question == CLASSIFY else "/api/v1/inquiries/submit",
            body=classify_body if question == CLASSIFY else plain_body,
            venv=OURS,
            environment={"INQUIRY_CACHE__PROVIDER": "none", **store},
        )


def peers(postgres_url: Callable[[str], str], folder: Path) -> Iterator[Server]:
    """`postgres_url` is that of a database of this name."""
    for predictor in ("stock", "ours"):
        yield _on_uvicorn("FastAPI, each request", "fastapi_per_request", predictor)
        yield _on_uvicorn("FastAPI, each in a thread", "fastapi_threaded", predictor)
    for name, module in _BATCHED.items():
        yield _on_uvicorn(name, module, "ours")
        yield _on_granian(name, module, "ours")
    for predictor in ("stock", "ours"):
        yield from _model_servers(predictor)
    for predictor in ("stock", "ours"):
        url, file = postgres_url(predictor), str(folder / f"{predictor}.sqlite")
        yield _submitting("FastAPI, asyncpg", "fastapi_asyncpg", predictor, ON_POSTGRES, {"PEER_POSTGRES_URL": url})
        yield _submitting("FastAPI, sqlite3", "fastapi_sqlite", predictor, ON_SQLITE, {"PEER_SQLITE_FILE": file})


_BATCHED: Final = {
    "FastAPI, batcher": "fastapi_batched",
    "Starlette, batcher": "starlette_batched",
    "Litestar, batcher": "litestar_batched",
}
_UVICORN: Final = "uvloop, httptools, no access log, 1 worker"
_GRANIAN: Final = "uvloop, 1 worker, 1 runtime thread, no WebSockets"


def _on_uvicorn(name: str, module: str, predictor: str, **more: Any) -> Server:
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    command = ("uvicorn", f"benchmarks.peers.{module}:app", "--port", "{port}", *options)
    return Server(f"{name}, uvicorn", predictor, command, _UVICORN, **more)


def _on_granian(name: str, module: str, predictor: str) -> Server:
    options = ("--interface", "asgi", "--loop", "uvloop", "--workers", "1", "--runtime-threads", "1", "--no-ws")
    command = ("granian", *options, "--log-level", "warning", "--port", "{port}", f"benchmarks.peers.{module}:app")
    return Server(f"{name}, Granian", predictor, command, _GRANIAN)


def _submitting(name: str, module: str, predictor: str, question: str, environment: Mapping[str, str]) -> Server:
    return _on_uvicorn(name, module, predictor, question=question, path="/submit", environment=environment)


def _model_servers(predictor: str) -> Iterator[Server]:
    yield Server(
        "LitServe",
        predictor,
        ("python", "-m", "benchmarks.peers.litserve_server", "{port}"),
        "max_batch_size 64, batch_timeout 2 ms, fast_queue, 1 worker",
    )
    yield Server(
        "BentoML",
        predictor,
        ("bentoml", "serve", "benchmarks.peers.bentoml_server:Triage", "--host", "127.0.0.1", "--port", "{port}"),
        "batchable, max_batch_size 64, 1 worker, no access log",
        body=lambda text: b'{"texts":[' + plain_body(text) + b"]}",
        answers=lambda found: plain_answers(found[0]),
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    )
    yield Server(
        "MLServer",
        predictor,
        ("mlserver", "start", "benchmarks/peers/mlserver_model"),
        "max_batch_size 64, max_batch_time 2 ms, in its own process (parallel_workers 0)",
        path="/v2/models/triage/infer",
        body=_tensors,
        answers=_answers_of_tensors,
        venv=VENVS / "mlserver",
        environment={"MLSERVER_HTTP_PORT": "{port}", "MLSERVER_GRPC_PORT": "0"},
    )
    yield Server(
        "Ray Serve",
        predictor,
        ("python", "-m", "benchmarks.peers.ray_server", "{port}"),
        "serve.batch, max_batch_size 64, no wait, 1 replica, RAY_SERVE_THROUGHPUT_OPTIMIZED, no access log",
        environment={
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
        },
    )


def _tensors(text: Text) -> bytes:
    parts = {"subject": text.subject, "body": text.body}
    inputs = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [part]} for name, part in parts.items()]
    return json.dumps({"inputs": inputs}).encode()


def _answers_of_tensors(found: Any) -> Answers:
    tensors = {each["name"]: each["data"][0] for each in found["outputs"]}
    return {axis: (tensors[f"{axis}_label"], tensors[f"{axis}_confidence"]) for axis in AXES}
