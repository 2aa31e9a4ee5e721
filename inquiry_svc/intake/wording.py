"""What is wrong with a value, in plain words made from the type that it should have. Knows no request and no JSON."""

from __future__ import annotations

from typing import Any, Final

from msgspec import inspect

_KINDS: Final[dict[type[inspect.Type], str]] = {
    inspect.BoolType: "must be true or false",
    inspect.DateTimeType: "must be a moment with its time zone, such as 2026-11-23T09:00:00Z",
    inspect.DictType: "must be an object",
    inspect.FloatType: "must be a number",
    inspect.IntType: "must be a whole number",
    inspect.StrType: "must be a string",
}


def what_is_wrong(value: Any, kind: Any) -> str:
    """A predicate for a `value` that is not of `kind`, such as "must be at most 500 characters"."""
    found = _innermost(inspect.type_info(kind))
    if isinstance(found, inspect.LiteralType):
        return f"must be one of {', '.join(map(str, found.values))}"
    if isinstance(found, inspect.StrType) and isinstance(value, str):
        if found.min_length is not None and len(value) < found.min_length:
            return f"must be at least {_characters(found.min_length)}"
        if found.max_length is not None:
            return f"must be at most {_characters(found.max_length)}"
    if isinstance(found, inspect.IntType | inspect.FloatType):
        return _KINDS[type(found)] + _bounds(found)
    return _KINDS.get(type(found), "is not of the type that it must have")


def _innermost(kind: inspect.Type) -> inspect.Type:
    """The type itself, without its description and its being optional."""
    if isinstance(kind, inspect.Metadata):
        return _innermost(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _innermost(next(each for each in kind.types if not isinstance(each, inspect.NoneType)))
    return kind


def _characters(count: int) -> str:
    return f"{count:,} character{'' if count == 1 else 's'}"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    bounds = (("from", kind.ge), ("to", kind.le))
    return "".join(f" {word} {bound:,}" for word, bound in bounds if bound is not None)
