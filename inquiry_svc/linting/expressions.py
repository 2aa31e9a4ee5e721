"""One PromQL expression, walked: what is wrong with it, and which labels its result carries.

A label or a threshold is only judged where it is known what may stand there. Behind a name that is unknown, anything
may: one mistake is told once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

import promql_parser as promql

from inquiry_svc.linting.series import Labels, Series
from inquiry_svc.plugins import did_you_mean

Find: TypeAlias = Callable[[str], Series | None]
"""The series of a name, of the registry or recorded; None when there is none."""

COMPARISONS: Final = {">", "<", ">=", "<=", "==", "!="}
_KEEP_ALL_LABELS: Final = {"topk", "bottomk", "limitk", "limit_ratio"}
_ABSENT: Final = {"absent", "absent_over_time"}


def parse(query: str) -> promql.Expr:
    """Raises `ValueError` that says what is wrong."""
    return promql.parse(query)


def complaints(expression: promql.Expr, find: Find) -> Iterator[str]:
    """Each thing in the expression that can't be as it is meant."""
    for part in _parts(expression):
        if isinstance(part, promql.VectorSelector):
            yield from _of_selector(part, find)
        elif isinstance(part, promql.AggregateExpr) and part.modifier:
            yield from _unknown(part.modifier.labels, carried(part.expr, find))
        elif isinstance(part, promql.BinaryExpr):
            yield from _of_matching(part, find)
            yield from _of_threshold(part, find)


def carried(expression: promql.Expr, find: Find) -> Labels | None:
    """The labels of the result; None when they can't be known."""
    match expression:
        case promql.VectorSelector():
            series = find(name_of(expression) or "")
            return None if series is None else series.labels
        case promql.MatrixSelector():
            return carried(expression.vector_selector, find)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return carried(expression.expr, find)
        case promql.AggregateExpr():
            return _carried_by_aggregation(expression, find)
        case promql.Call():
            return _carried_by_call(expression, find)
        case promql.BinaryExpr():
            return _carried_by_operator(expression, find)
        case _:
            return {}


def bounds(expression: promql.Expr, find: Find) -> tuple[float, ...] | None:
    """Of which values the expression, a quantile of a histogram, can say for certain whether it is past them."""
    match expression:
        case promql.ParenExpr():
            return bounds(expression.expr, find)
        case promql.VectorSelector():
            series, name = find(name_of(expression) or ""), name_of(expression) or ""
            return series.bounds if series and not name.endswith("_bucket") else None
        case promql.Call() if expression.func.name == "histogram_quantile":
            selected = (
                find(name_of(each) or "") for each in _parts(expression) if isinstance(each, promql.VectorSelector)
            )
            return next((series.bounds for series in selected if series and series.bounds), None)
        case promql.BinaryExpr() if str(expression.op) in "*/":
            inner, factor = bounds(expression.lhs, find), constant(expression.rhs)
            if inner is None or not factor:
                return None
            return tuple(bound * factor if str(expression.op) == "*" else bound / factor for bound in inner)
        case _:
            return None


def constant(expression: promql.Expr) -> float | None:
    """What it is when no series stands in it, such as 24 * 60."""
    match expression:
        case promql.NumberLiteral():
            return expression.val
        case promql.ParenExpr():
            return constant(expression.expr)
        case promql.UnaryExpr():
            inner = constant(expression.expr)
            return None if inner is None else -inner
        case promql.BinaryExpr() if str(expression.op) == "*":
            left, right = constant(expression.lhs), constant(expression.rhs)
            return None if left is None or right is None else left * right
        case _:
            return None


def name_of(selector: promql.VectorSelector) -> str | None:
    """The one name that it selects, if it is one."""
    by_matcher = [each.value for each in selector.matchers.matchers if _names_one(each)]
    return selector.name or next(iter(by_matcher), None)


def _names_one(matcher: promql.Matcher) -> bool:
    return matcher.name == "__name__" and matcher.op == promql.MatchOp.Equal


def _parts(expression: promql.Expr) -> list[promql.Expr]:
    found: list[promql.Expr] = []
    promql.walk(expression, pre_visit=lambda part: found.append(part))
    return found


# Selectors


def _of_selector(selector: promql.VectorSelector, find: Find) -> Iterator[str]:
    name = name_of(selector)
    if name is None:
        yield f"{selector} selects no metric by name; name one"
        return
    series = find(name)
    if series is None:
        yield f"unknown metric {name}"
        return
    for matcher in (*selector.matchers.matchers, *(each for some in selector.matchers.or_matchers for each in some)):
        if matcher.name == "__name__" or series.labels is None:
            continue
        if matcher.name not in series.labels:
            yield f"{name} has no label {matcher.name}; {did_you_mean(matcher.name, series.labels)}"
        elif matcher.name == "le" and series.bounds:
            yield from _of_bound(name, matcher, series.bounds)
        else:
            yield from _of_value(name, matcher, series.labels[matcher.name])


def _of_value(name: str, matcher: promql.Matcher, values: Sequence[str] | None) -> Iterator[str]:
    if values is not None and not any(_names(matcher, value) for value in values):
        yield f"{name}: {matcher} fits no value of the label; {did_you_mean(matcher.value, values)}"


def _of_bound(name: str, matcher: promql.Matcher, known: tuple[float, ...]) -> Iterator[str]:
    """An exporter may write a whole bound as 2 or as 2.0, so a matcher has to take both."""
    spellings = [("+Inf",), *({f"{bound:g}", f"{float(bound)}"} for bound in known)]
    taken = [[each for each in spelling if _names(matcher, each)] for spelling in spellings]
    if not any(taken):
        shown = ", ".join(f"{bound:g}" for bound in known)
        yield f"{name}: {matcher} is no bound of its buckets, which are {shown}"
    for some, spelling in zip(taken, spellings, strict=True):
        if some and len(some) < len(spelling):
            whole = min(spelling, key=len)
            yield f'{name}: {matcher} misses exporters that write the bound otherwise; say le=~"{whole}(\\\\.0)?"'


def _names(matcher: promql.Matcher, value: str) -> bool:
    """Whether the matcher speaks of this value, be it to take or to leave it out."""
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        return matcher.value == value
    try:
        return re.fullmatch(matcher.value, value) is not None
    except re.error:  # Go's expressions are not all Python's: not judged
        return True


# Labels


def _unknown(labels: Iterable[str], known: Labels | None) -> Iterator[str]:
    if known is not None:
        for label in labels:
            if label not in known:
                yield f"no label {label} on what it is taken of; {did_you_mean(label, known)}"


def _of_matching(operator: promql.BinaryExpr, find: Find) -> Iterator[str]:
    matching = operator.modifier.matching if operator.modifier else None
    if matching is None:
        return
    left, right = carried(operator.lhs, find), carried(operator.rhs, find)
    if matching.type == promql.LabelModifierType.Include:
        yield from _unknown(matching.labels, left)
        yield from _unknown(matching.labels, right)
    elif left is not None and right is not None:  # one of them has the label, so that there is something to ignore
        yield from _unknown(matching.labels, {**left, **right})


def _carried_by_aggregation(aggregation: promql.AggregateExpr, find: Find) -> Labels | None:
    inner, modifier = carried(aggregation.expr, find), aggregation.modifier
    if str(aggregation.op) in _KEEP_ALL_LABELS:
        return inner
    if modifier and modifier.type == promql.AggModifierType.Without:
        return None if inner is None else {key: inner[key] for key in inner if key not in modifier.labels}
    kept = {label: (inner or {}).get(label) for label in (modifier.labels if modifier else ())}
    added = [aggregation.param.val] if isinstance(aggregation.param, promql.StringLiteral) else []
    return {**kept, **dict.fromkeys(added)}


def _carried_by_call(call: promql.Call, find: Find) -> Labels | None:
    vectors = [each for each in call.args if _is_vector(each)]
    if not vectors:
        return {}
    if call.func.name in _ABSENT:
        selectors = [each for each in _parts(vectors[0]) if isinstance(each, promql.VectorSelector)]
        matchers = selectors[0].matchers.matchers if selectors else []
        return {each.name: (each.value,) for each in matchers if each.op == promql.MatchOp.Equal}
    inner = carried(vectors[0], find)
    if inner is None or call.func.return_type == promql.ValueType.Scalar:
        return inner and {}
    if call.func.name == "histogram_quantile":
        return {label: values for label, values in inner.items() if label != "le"}
    if call.func.name in ("label_replace", "label_join"):
        return {**inner, call.args[1].val: None}
    return inner


def _carried_by_operator(operator: promql.BinaryExpr, find: Find) -> Labels | None:
    left, right = carried(operator.lhs, find), carried(operator.rhs, find)
    if not _is_vector(operator.lhs):
        return right
    if not _is_vector(operator.rhs) or str(operator.op) in ("and", "unless"):
        return left
    if left is None or right is None:
        return None
    if str(operator.op) == "or":
        return {**right, **left}
    modifier = operator.modifier
    if modifier is None or modifier.matching is None:
        return left
    added = dict.fromkeys(modifier.group_labels or ())
    if modifier.card == promql.VectorMatchCardinality.ManyToOne:
        return {**left, **added}
    if modifier.card == promql.VectorMatchCardinality.OneToMany:
        return {**right, **added}
    if modifier.matching.type == promql.LabelModifierType.Include:
        return {label: left.get(label) for label in modifier.matching.labels}
    return {label: values for label, values in left.items() if label not in modifier.matching.labels}


def _is_vector(expression: promql.Expr) -> bool:
    match expression:
        case promql.NumberLiteral() | promql.StringLiteral():
            return False
        case promql.ParenExpr() | promql.UnaryExpr():
            return _is_vector(expression.expr)
        case promql.Call():
            return bool(expression.func.return_type == promql.ValueType.Vector)
        case promql.BinaryExpr():
            return _is_vector(expression.lhs) or _is_vector(expression.rhs)
        case _:
            return True


# Thresholds


def _of_threshold(operator: promql.BinaryExpr, find: Find) -> Iterator[str]:
    if str(operator.op) not in COMPARISONS:
        return
    for side, other in ((operator.lhs, operator.rhs), (operator.rhs, operator.lhs)):
        threshold, known = constant(other), bounds(side, find)
        if threshold is not None and known is not None and threshold not in known:
            shown = ", ".join(f"{bound:g}" for bound in known)
            yield f"the threshold {threshold:g} is no bound of the histogram's buckets, which are {shown}"
