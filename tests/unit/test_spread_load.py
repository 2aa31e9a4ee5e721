"""The benchmark of workers asks each of them over as many connections as the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import psutil
import pytest

from benchmarks.growth.points import started
from benchmarks.growth.workers import OnCores, opened_evenly, together
from benchmarks.load import Figures, request_bytes
from benchmarks.servers import constant_server

FORKED = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
"""With what is open; Python warns of it from 3.12 on where there are threads."""


@pytest.fixture
def pair() -> Iterator[OnCores]:
    """Two servers that share a port."""
    with ExitStack() as stack:
        first = started(stack, constant_server())
        second = started(stack, constant_server(urlsplit(first.url).port or 0))
        yield OnCores([first, second], [first.process, second.process])


def connected(server: psutil.Process) -> set[int]:
    """The ports from which it is."""
    return {met.raddr.port for met in server.net_connections("tcp") if met.raddr}


def test_connections_are_opened_until_each_worker_has_as_many(pair: OnCores) -> None:
    opened = opened_evenly(pair.servers[0].url, pair.workers, 8)
    for worker, ends in zip(pair.workers, opened, strict=True):
        assert {end.getsockname()[1] for end in ends} <= connected(worker)
        assert len(ends) == 8
        for end in ends:
            end.close()


@FORKED
def test_each_worker_is_asked(pair: OnCores) -> None:
    before_s = [server.cpu_s() for server in pair.servers]
    found = pair.asked([request_bytes("/", b"{}")], 4, 2.0)
    assert 0 < found.requests_per_s * 2.0 <= found.answered
    assert all(server.cpu_s() > spent_s for server, spent_s in zip(pair.servers, before_s, strict=True))


def test_rates_are_added_up_and_of_the_times_the_worst_is_told() -> None:
    found = together([Figures(100, 1, 4, 30), Figures(50, 2, 3, 20)])
    assert found == Figures(150, 2, 4, 50)


@FORKED
def test_an_answer_that_is_no_success_is_told(pair: OnCores) -> None:
    with pytest.raises(RuntimeError, match="404 Not Found"):
        pair.asked([request_bytes("/nowhere", b"{}")], 4, 0.2)
