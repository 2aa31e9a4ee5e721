"""Answers PromQL from the last few scrapes: as much of the language as our panels use, and a refusal of the rest.

Unlike Prometheus it adds nothing for the time before the first and after the last scrape of a window: a rate is what
was counted between two scrapes by the time between them. A window that reaches back further than the scrapes do is
as long as they are.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import promql_parser as promql

from inquiry_svc.live.exposition import Labels, Scrape

Vector: TypeAlias = Mapping[Labels, float]

_STALE_AFTER_S: Final = 10.0
_SCRAPES_OF_A_WINDOW: Final = 12
"""At most so many of them are looked at: enough to see a restart of the service."""


class NotAnswered(Exception):
    """The query needs a Prometheus."""


def parse(query: str) -> promql.Expr:
    """Raises `ValueError`."""
    return promql.parse(query)


def evaluate(expression: promql.Expr, scrapes: Sequence[Scrape]) -> Vector:
    """At the moment of the last scrape. Raises `NotAnswered`."""
    found = _evaluate(expression, scrapes)
    return {(): found} if isinstance(found, float) else found


def _evaluate(expression: promql.Expr, scrapes: Sequence[Scrape]) -> Vector | float:
    match expression:
        case promql.NumberLiteral():
            return expression.val
        case promql.ParenExpr():
            return _evaluate(expression.expr, scrapes)
        case promql.VectorSelector():
            return _selected(expression, scrapes[-1])
        case promql.Call():
            return _call(expression, scrapes)
        case promql.AggregateExpr():
            return _aggregated(expression, scrapes)
        case promql.BinaryExpr():
            return _combined(expression, scrapes)
        case _:
            raise NotAnswered(f"{type(expression).__name__} is not understood here: {expression}")


def _selected(selector: promql.VectorSelector, scrape: Scrape) -> dict[Labels, float]:
    if selector.offset or selector.at or selector.name is None:
        raise NotAnswered(f"only series of this moment are known: {selector}")
    matchers = selector.matchers.matchers
    return {
        labels: value
        for labels, value in scrape.samples.get(selector.name, ())
        if all(_fits(matcher, dict(labels).get(matcher.name, "")) for matcher in matchers)
    }


def _fits(matcher: promql.Matcher, value: str) -> bool:
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        fits = matcher.value == value
    else:
        fits = re.fullmatch(matcher.value, value) is not None
    return fits != (matcher.op in (promql.MatchOp.NotEqual, promql.MatchOp.NotRe))


# Functions


def _call(call: promql.Call, scrapes: Sequence[Scrape]) -> Vector | float:
    match call.func.name:
        case "time":
            return scrapes[-1].at_s
        case "vector":
            return {(): _number(call.args[0], scrapes)}
        case "rate" | "increase":
            return _grown(call.args[0], scrapes, per_second=call.func.name == "rate")
        case "histogram_quantile":
            return _quantile(_number(call.args[0], scrapes), _vector(call.args[1], scrapes))
        case name:
            raise NotAnswered(f"{name} is not understood here")


def _grown(matrix: promql.MatrixSelector, scrapes: Sequence[Scrape], *, per_second: bool) -> Vector:
    since_s = scrapes[-1].at_s - matrix.range.total_seconds()
    window = [scrape for scrape in scrapes if scrape.at_s >= since_s]
    step = max(1, len(window) // _SCRAPES_OF_A_WINDOW)
    window = [*window[:-1:step], window[-1]]
    first: dict[Labels, float] = {}
    last: dict[Labels, tuple[float, float]] = {}
    grown: dict[Labels, float] = {}
    for scrape in window:
        for labels, value in _selected(matrix.vector_selector, scrape).items():
            if labels in last:
                before = last[labels][1]
                grown[labels] = grown.get(labels, 0.0) + (value - before if value >= before else value)
            else:
                first[labels] = scrape.at_s
            last[labels] = scrape.at_s, value
    fresh = {labels for labels, (at_s, _) in last.items() if at_s >= scrapes[-1].at_s - _STALE_AFTER_S}
    return {
        labels: amount / (last[labels][0] - first[labels]) if per_second else amount
        for labels, amount in grown.items()
        if labels in fresh
    }


def _quantile(share: float, buckets: Vector) -> Vector:
    """Between two bounds by straight line, as Prometheus does."""
    by_rest: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = float(dict(labels).get("le", "nan"))
        by_rest.setdefault(tuple(pair for pair in labels if pair[0] != "le"), []).append((bound, count))
    return {labels: _between(share, sorted(each)) for labels, each in by_rest.items()}


def _between(share: float, buckets: Sequence[tuple[float, float]]) -> float:
    total = buckets[-1][1]
    if total == 0 or not math.isinf(buckets[-1][0]) or len(buckets) < 2:
        return math.nan
    wanted, lower, below = share * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below) if count > below else bound
        lower, below = bound, count
    return lower


# Aggregations

_AGGREGATIONS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "sum": math.fsum,
    "min": min,
    "max": max,
    "count": len,
    "avg": lambda values: math.fsum(values) / len(values),
}


def _aggregated(aggregation: promql.AggregateExpr, scrapes: Sequence[Scrape]) -> Vector:
    vector, name = _vector(aggregation.expr, scrapes), str(aggregation.op)
    if name == "topk" and not aggregation.modifier:
        most = sorted(vector.items(), key=lambda item: -item[1])
        return dict(most[: int(_number(aggregation.param, scrapes))])
    if name not in _AGGREGATIONS or (aggregation.modifier and aggregation.modifier.type != promql.AggModifierType.By):
        raise NotAnswered(f"{name} is not understood here: {aggregation}")
    kept = aggregation.modifier.labels if aggregation.modifier else ()
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(_only(labels, kept), []).append(value)
    return {labels: float(_AGGREGATIONS[name](values)) for labels, values in groups.items()}


def _only(labels: Labels, names: Iterable[str]) -> Labels:
    return tuple(pair for pair in labels if pair[0] in names)


# Operators

_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else math.nan,
}


def _combined(pair: promql.BinaryExpr, scrapes: Sequence[Scrape]) -> Vector | float:
    left, right, name = _evaluate(pair.lhs, scrapes), _evaluate(pair.rhs, scrapes), str(pair.op)
    if name == "or" and not isinstance(left, float) and not isinstance(right, float):
        return {**right, **left}
    if name == ">" and not isinstance(left, float) and isinstance(right, float):
        return {labels: value for labels, value in left.items() if value > right}
    if name not in _ARITHMETIC:
        raise NotAnswered(f"{name} is not understood here: {pair}")
    compute = _ARITHMETIC[name]
    if isinstance(left, float) and isinstance(right, float):
        return compute(left, right)
    if isinstance(left, float):
        return {labels: compute(left, value) for labels, value in right.items()}  # type: ignore[union-attr]
    if isinstance(right, float):
        return {labels: compute(value, right) for labels, value in left.items()}
    matching = pair.modifier.matching if pair.modifier else None
    names = None if matching is None else matching.labels
    if matching is not None and matching.type != promql.LabelModifierType.Include:
        raise NotAnswered(f"ignoring is not understood here: {pair}")
    ones = {labels if names is None else _only(labels, names): value for labels, value in right.items()}
    found: dict[Labels, float] = {}
    for labels, value in left.items():
        key = labels if names is None else _only(labels, names)
        if key in ones:
            found[labels] = compute(value, ones[key])
    return found


def _vector(expression: Any, scrapes: Sequence[Scrape]) -> Vector:
    return evaluate(expression, scrapes)


def _number(expression: Any, scrapes: Sequence[Scrape]) -> float:
    found = _evaluate(expression, scrapes)
    if not isinstance(found, float):
        raise NotAnswered(f"a number is needed, not {expression}")
    return found
