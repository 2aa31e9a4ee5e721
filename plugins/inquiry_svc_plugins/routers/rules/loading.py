"""Reads a rules file: YAML into the types of `schema.py`, or one line that says what to mend and where.

YAML is read more strictly than usual: a key that stands twice is refused, and `17:00` and `2026-12-25` stay
what was written (YAML 1.1 would make a number of the one and a date of the other).
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
import yaml

from inquiry_svc.errors import ConfigurationError
from inquiry_svc_plugins.routers.rules.schema import Rules
from inquiry_svc_plugins.routers.rules.schema_errors import explain, shorten

MAX_SIZE_BYTES: Final = 1024 * 1024
"""A hundred times the size of the default file; more is some other file."""


def load_rules(file: str = "") -> Rules:
    """Read `file`, or the packaged default when it is "". Raises `ConfigurationError`."""
    return parse_rules(_read(file) if file else default_rules_yaml(), file or "default.yaml")


def default_rules_yaml() -> bytes:
    """The packaged default as it stands, with its comments."""
    return files(__package__).joinpath("default.yaml").read_bytes()


def parse_rules(content: bytes, file: str) -> Rules:
    """Check `content` against the schema; `file` names it in the `ConfigurationError`."""
    where = f"rules file {file!r}"
    raw = _parse_yaml(content, where)
    if raw is None:
        raise ConfigurationError(f"{where} is empty: start from a copy of the default rules")
    try:
        return msgspec.convert(raw, Rules)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {explain(error, raw)}") from None


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(MAX_SIZE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"rules file {file!r} can't be read ({reason}): name a readable YAML file"
        raise ConfigurationError(message) from None
    if len(content) > MAX_SIZE_BYTES:
        raise ConfigurationError(f"rules file {file!r} is over {MAX_SIZE_BYTES} bytes: name a rules file")
    return content


def _parse_yaml(content: bytes, where: str) -> Any:
    try:
        return _RulesLoader(content).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError(f"{where}{place}: {error.problem}: correct the YAML there") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a character, number or depth too far
        first_line = str(error).partition("\n")[0]
        raise ConfigurationError(f"{where} is not YAML ({first_line}): write it as YAML in UTF-8") from None


class _RulesLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML without repeated keys, sexagesimal numbers and timestamps."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":bool", ":null", ":merge"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                problem = f"the key {shorten(key.value)} is there twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


for _tag, _pattern in (("int", r"[-+]?[0-9]+$"), ("float", r"[-+]?[0-9]+\.[0-9]+$")):
    _RulesLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list("-+0123456789"))
