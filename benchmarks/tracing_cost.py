"""What traces cost: the CPU of a submit without them, with none of them recorded, with a tenth, with all.

    python -m benchmarks.tracing_cost

Each service is alone in its process; the rounds are short and interleaved, and the least of each is compared, since
what else the machine does can only add. The collector takes everything and lies with the load generator.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final

import click
import psutil
import uvloop

from benchmarks.__main__ import CORPUS
from benchmarks.load import closed_loop, request_bytes
from benchmarks.results_file import write_results
from benchmarks.servers import inquiry_server
from inquiry_svc.labelled import read_labelled

_CONNECTIONS: Final = 64
_RATIOS: Final[Mapping[str, float | None]] = {"none": None, "on, 0 %": 0.0, "on, 10 %": 0.1, "on, 100 %": 1.0}


@click.command()
@click.option("--seconds", default=1.5, show_default=True, help="Of one round of one service.")
@click.option("--rounds", default=20, show_default=True)
def main(seconds: float, rounds: int) -> None:
    """Measure, print, and write `results/tracing_cost.json`."""
    requests = _requests()
    found: dict[str, list[float]] = {name: [] for name in _RATIOS}
    with _collector() as url, ExitStack() as stack:
        services = {name: stack.enter_context(_service(ratio, url)) for name, ratio in _RATIOS.items()}
        for _ in range(rounds):
            for name, (address, process) in services.items():
                found[name].append(_cpu_us(address, process, requests, seconds))
    costs = {name: round(min(each), 1) for name, each in found.items()}
    write_results("tracing_cost", cpu_us_of_a_submit=costs)
    for name, cost in costs.items():
        click.echo(f"{name:10} {cost:6.1f} us  {cost / costs['none']:.2f}")


def _requests() -> list[bytes]:
    rows = read_labelled(sorted(CORPUS.glob("*.jsonl")))
    bodies = [{"subject": row.text.subject, "body": row.text.body, "sender_email": "ana@example.org"} for row in rows]
    return [request_bytes("/api/v1/inquiries/submit", json.dumps(body).encode()) for body in bodies]


@contextmanager
def _service(ratio: float | None, collector: str) -> Iterator[tuple[str, psutil.Process]]:
    tracing = {"PROVIDER": "otlp", "OTLP__URL": collector, "OTLP__SAMPLE_RATIO": str(ratio)}
    environment = {} if ratio is None else {f"INQUIRY_TRACING__{name}": value for name, value in tracing.items()}
    before = set(psutil.Process().children())
    with inquiry_server(environment) as url:
        [process] = set(psutil.Process().children()) - before
        yield url, process


def _cpu_us(url: str, process: psutil.Process, requests: list[bytes], seconds: float) -> float:
    """Of one request, all the threads of the process."""
    before_s = sum(process.cpu_times()[:2])
    with ThreadPoolExecutor(1) as thread:
        load = closed_loop(url, requests, connections=_CONNECTIONS, duration_s=seconds, warm_up_s=0.0)
        figures = thread.submit(uvloop.run, load).result()
    return (sum(process.cpu_times()[:2]) - before_s) * 1e6 / (figures.requests_per_s * seconds)


@contextmanager
def _collector() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Takes)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Takes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the library's)
        """Nothing."""


if __name__ == "__main__":
    main()
