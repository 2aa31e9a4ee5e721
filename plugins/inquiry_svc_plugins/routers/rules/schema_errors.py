"""Turns a schema error into a line that a team lead can act on: place in the file, value and cure."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec import inspect

from inquiry_svc_plugins.routers.rules.schema import Rules


def explain(error: msgspec.ValidationError, raw: Any) -> str:
    """One line, from msgspec's message such as "Expected `int`, got `str` - at `$.rules[0].boost`"."""
    match = _PLACED.match(str(error))
    problem, path = (match["problem"], match["path"] or "") if match else (str(error), "")
    place = path.removeprefix(".") or "the top level"
    if isinstance(error.__cause__, ValueError):  # raised by schema.py, in its own words
        return problem if not path else f"{place}: {problem}"
    value, expected = _follow(path, raw)
    named = _BACKTICKED.search(problem)
    name = named[1] if named else ""
    if "`key` in" in str(error):
        return f"{place} has a key that is no text: put it in quotes or remove it"
    if problem.startswith("Object contains unknown field"):
        known = [field.encode_name for field in _struct_fields(expected)]
        return f"{place} has the unknown key {shorten(name)}: {_suggest(name, known)}"
    if problem.startswith("Object missing required field"):
        return f"{place} has no {name!r}: add it (the default rules show how)"
    return f"{place} is {shorten(value)}: {_cure_of_value(problem, value, expected)}"


def shorten(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


_PLACED: Final = re.compile(r"^(?P<problem>.*?)(?: - at (?:`key` in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)
_BACKTICKED: Final = re.compile(r"`(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")
_PLAIN_WORDS: Final = {
    "array": "list", "object": "mapping", "str": "text", "float": "number", "int": "whole number",
    "bool": "true or false", "null": "nothing",
}  # fmt: skip
_MAX_SHOWN: Final = 60


def _cure_of_value(problem: str, value: Any, expected: inspect.Type | None) -> str:
    if problem.startswith("Invalid enum value"):
        return _suggest(value, list(_literals(expected)))
    if problem.startswith("Invalid RFC3339"):
        return "give a date as YYYY-MM-DD"
    wanted = re.sub(r", got .*$", "", problem.removeprefix("Expected ")).replace("`", "").replace(" | ", " or ")
    return "expected " + re.sub(r"\b[a-z]+\b", lambda word: _PLAIN_WORDS.get(word[0], word[0]), wanted)


def _follow(path: str, raw: Any) -> tuple[Any, inspect.Type | None]:
    """The value at `path`, and the type that the schema gives it."""
    expected: inspect.Type | None = inspect.type_info(Rules)
    for key, index in _STEP.findall(path):
        if key:
            raw = raw.get(key) if isinstance(raw, dict) else None
            fields = {field.encode_name: field.type for field in _struct_fields(expected)}
            expected = fields.get(key)
        else:
            raw = raw[int(index)] if isinstance(raw, list) else None
            expected = expected.item_type if isinstance(expected, inspect.VarTupleType) else None
    return raw, expected


def _struct_fields(expected: inspect.Type | None) -> tuple[inspect.Field, ...]:
    return expected.fields if isinstance(expected, inspect.StructType) else ()


def _literals(expected: inspect.Type | None) -> tuple[str, ...]:
    choices = expected.types if isinstance(expected, inspect.UnionType) else (expected,)
    literals = (choice.values for choice in choices if isinstance(choice, inspect.LiteralType))
    return tuple(map(str, next(literals, ())))


def _suggest(word: Any, known: list[str]) -> str:
    near = get_close_matches(str(word), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(known)}"
