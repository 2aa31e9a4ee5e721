"""A page of metrics is read as Prometheus reads it, and what it would refuse is refused."""

from __future__ import annotations

import subprocess

import pytest

from inquiry_svc.live.exposition import Sample, read_sample, read_scrape
from tests.servers.prometheus import program


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("up 1", Sample("up", (), 1)),
        ("job:up:sum 1.5e3", Sample("job:up:sum", (), 1500)),
        ("up{} 1", Sample("up", (), 1)),
        ('up{b="2",a="1"} -1', Sample("up", (("a", "1"), ("b", "2")), -1)),
        ('up{a="1",} 1', Sample("up", (("a", "1"),), 1)),
        (r'up{a="q\"b\\s\nn} 1 "} 1', Sample("up", (("a", 'q"b\\s\nn} 1 '),), 1)),
        ('up{a="\u2028é"} 1', Sample("up", (("a", "\u2028é"),), 1)),
        ('up{le="+Inf"} +Inf', Sample("up", (("le", "+Inf"),), float("inf"))),
        ("up 1 1700000000000", Sample("up", (), 1)),
        ("# HELP up Is it?", None),
        ("", None),
    ],
)
def test_a_line_is_read_as_prometheus_reads_it(line: str, sample: Sample | None) -> None:
    assert read_sample(line) == sample
    assert refused_by_promtool(line) is False


def test_an_exemplar_of_openmetrics_is_no_part_of_the_sample() -> None:
    line = 'wait_bucket{le="1"} 5 # {trace_id="a"} 0.3 1700000000.0'
    assert read_sample(line) == Sample("wait_bucket", (("le", "1"),), 5)


@pytest.mark.parametrize(
    "line",
    ["up", "up x", "1up 1", 'up{a="x"y"} 1', 'up{a="1"', "up{a=1} 1", 'up{1a="1"} 1', "up 1 soon", 'up{a="1"b="2"} 1'],
)
def test_a_line_that_prometheus_refuses_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"no sample|could not convert"):
        read_sample(line)
    assert refused_by_promtool(line) is True


def test_a_scrape_passes_over_what_is_no_sample() -> None:
    scrape = read_scrape('up{a="x"y"} 1\nlevel 2\nnonsense', 3.0, {"job": "ours"})
    assert scrape.samples == {"up": [((("job", "ours"),), 1.0)], "level": [((("job", "ours"),), 2.0)]}


def refused_by_promtool(line: str) -> bool:
    command = [program("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=f"{line}\n".encode(), capture_output=True, timeout=60, check=False)
    return done.returncode == 1  # 3: it can be read, and there is something to say about its style
