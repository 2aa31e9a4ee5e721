"""What the live page computes from scrapes, on numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from inquiry_svc.live.exposition import Labels, Scrape, failed_scrape, read_scrape
from inquiry_svc.live.promql import NotAnswered, evaluate, parse

TARGET = {"job": "inquiry-svc"}


def scrapes(*pages: str, every_s: float = 2.0) -> list[Scrape]:
    return [read_scrape(page, number * every_s, TARGET) for number, page in enumerate(pages)]


def answer(query: str, given: Sequence[Scrape]) -> dict[str, float]:
    """By the labels' values, without the job."""

    def key(labels: Labels) -> str:
        return ",".join(value for name, value in labels if name != "job")

    return {key(labels): value for labels, value in evaluate(parse(query), given).items()}


GROWING = scrapes('n{a="x"} 0\nn{a="y"} 5\n', 'n{a="x"} 10\nn{a="y"} 5\n', 'n{a="x"} 40\nn{a="y"} 9\n')


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("n", {"x": 40, "y": 9}),
        ('n{a="x"}', {"x": 40}),
        ('n{a!="x"}', {"y": 9}),
        ('n{a=~"x|z"}', {"x": 40}),
        ('n{a!~"x|z"}', {"y": 9}),
        ('n{b=""}', {"x": 40, "y": 9}),
        ("rate(n[10s])", {"x": 10, "y": 1}),
        ("rate(n[2s])", {"x": 15, "y": 2}),
        ("increase(n[1h])", {"x": 40, "y": 4}),
        ("sum(rate(n[10s]))", {"": 11}),
        ("sum by (a) (n)", {"x": 40, "y": 9}),
        ("max(n)", {"": 40}),
        ("min(n)", {"": 9}),
        ("avg(n)", {"": 24.5}),
        ("count(n)", {"": 2}),
        ("topk(1, n)", {"x": 40}),
        ("60 * n", {"x": 2400, "y": 540}),
        ("n / 2", {"x": 20, "y": 4.5}),
        ("n - n", {"x": 0, "y": 0}),
        ("n > 10", {"x": 40}),
        ("n / on () group_left () sum(n)", {"x": 40 / 49, "y": 9 / 49}),
        ("sum(nothing) or vector(0)", {"": 0}),
        ("sum(n) or vector(0)", {"": 49}),
        ("time() - n", {"x": -36, "y": -5}),
        ("(sum(nothing) or vector(0)) / (sum(n) > 0)", {"": 0}),
        ("sum(n) / (sum(n) > 100)", {}),
    ],
)
def test_a_query_has_its_answer(query: str, wanted: dict[str, float]) -> None:
    assert answer(query, GROWING) == pytest.approx(wanted)


def test_a_service_that_started_again_has_counted_what_it_shows() -> None:
    assert answer("increase(n[1h])", scrapes("n 10", "n 14", "n 3", "n 5")) == {"": 4 + 3 + 2}


def test_a_long_window_is_looked_at_here_and_there_and_counts_the_same() -> None:
    pages = [f"n {number}" for number in range(200)]
    assert answer("increase(n[1h])", scrapes(*pages)) == {"": 199}
    assert answer("rate(n[1h])", scrapes(*pages)) == {"": 0.5}


def test_one_scrape_is_no_rate() -> None:
    assert answer("rate(n[1h])", scrapes("n 10")) == {}


def test_a_series_that_is_gone_is_not_shown_for_long() -> None:
    before = scrapes("n 1", "n 2", "n 3")
    gone = [failed_scrape(6.0 + 2 * number, TARGET) for number in range(10)]
    assert answer("rate(n[1h])", [*before, *gone[:2]]) == {"": 0.5}
    assert answer("rate(n[1h])", [*before, *gone]) == {}
    assert answer("avg(up)", [*before, *gone[:1]]) == {"": 0}


def test_a_quantile_lies_between_two_bounds() -> None:
    page = 'b{le="1"} 10\nb{le="2"} 30\nb{le="+Inf"} 40\n'
    assert answer("histogram_quantile(0.5, sum by (le) (b))", scrapes(page)) == {"": 1.5}
    assert answer("histogram_quantile(0.25, sum by (le) (b))", scrapes(page)) == {"": 1}
    assert answer("histogram_quantile(0.99, sum by (le) (b))", scrapes(page)) == {"": 2}, "the last bound there is"
    [nothing] = answer("histogram_quantile(0.5, sum by (le) (b * 0))", scrapes(page)).values()
    assert math.isnan(nothing)


@pytest.mark.parametrize(
    "query",
    [
        "n offset 5m",
        "avg_over_time(n[5m])",
        "sum without (a) (n)",
        "stddev(n)",
        "n == 1",
        "n / ignoring (a) n",
        "-n",
        "max_over_time(n[5m:1m])",
    ],
)
def test_what_is_not_understood_is_refused_and_not_answered_wrongly(query: str) -> None:
    with pytest.raises(NotAnswered):
        answer(query, GROWING)


def test_labels_are_read_as_they_were_before_they_were_escaped() -> None:
    [scrape] = scrapes('# HELP n A "help".\n# TYPE n gauge\nn{a="say \\"}\\"",b="x\\\\n\\ny"} 1e3\n\nbroken\n')
    [(labels, value)] = scrape.samples["n"]
    assert (dict(labels), value) == ({"a": 'say "}"', "b": "x\\n\ny", "job": "inquiry-svc"}, 1000)
