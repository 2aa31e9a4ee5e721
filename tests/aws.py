"""deploy/aws, read as data: CloudFormation's short forms resolved as far as a test needs. For tests alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from tests.deployment import DEPLOY

FOLDER: Final = DEPLOY / "aws"
GIVEN: Final[Mapping[str, str]] = {
    "AWS::Region": "eu-central-1",
    "AWS::Partition": "aws",
    "AWS::StackName": "inquiry-svc",
    "Image": "registry.example.org/inquiry-svc:0.1.0",
    "Secret": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:inquiry-svc-abcdef",
    "CriticalTopic": "arn:aws:sns:eu-central-1:123456789012:critical",
    "WarningTopic": "arn:aws:sns:eu-central-1:123456789012:warning",
    "Logs": "/ecs/inquiry-automation/api",
    "inquiry-svc-Logs": "/ecs/inquiry-automation/api",
    "inquiry-svc-LoadBalancer": "app/inquiry-svc/0123456789abcdef",
    "inquiry-svc-Targets": "targetgroup/inquiry-svc/0123456789abcdef",
}


class _Loader(yaml.SafeLoader):
    """Knows `!Ref` and the like."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def template(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((FOLDER / name).read_text(), _Loader)
    return found


def resources(name: str) -> dict[str, dict[str, Any]]:
    """Each resource of a template, as a stack with the defaults and what is `GIVEN` would have it."""
    read = template(name)
    defaults = {key: str(each["Default"]) for key, each in read["Parameters"].items() if "Default" in each}
    resolved: dict[str, dict[str, Any]] = _resolved(read["Resources"], {**defaults, **GIVEN})
    return resolved


def of_type(found: Mapping[str, dict[str, Any]], type_: str) -> dict[str, dict[str, Any]]:
    """The properties of each of this type."""
    return {name: each["Properties"] for name, each in found.items() if each["Type"] == type_}


def _resolved(value: Any, known: Mapping[str, str]) -> Any:
    match value:
        case {"Ref": str(name)}:
            return known.get(name, f"<{name}>")
        case {"Fn::GetAtt": name}:
            return f"<{name}>"
        case {"Fn::ImportValue": name}:
            return known[_resolved(name, known)]
        case {"Fn::Join": [str(between), [*parts]]}:
            return between.join(_resolved(parts, known))
        case {"Fn::Sub": [str(text), dict(more)]}:
            return _resolved({"Fn::Sub": text}, {**known, **_resolved(more, known)})
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: known.get(found[1], f"<{found[1]}>"), text)
        case dict():
            return {key: _resolved(each, known) for key, each in value.items()}
        case list():
            return [_resolved(each, known) for each in value]
        case _:
            return value


def matches(pattern: str, line: str) -> bool:
    """Whether a filter pattern of CloudWatch Logs finds this line: of its grammar, comparisons joined by &&."""
    try:
        fields = json.loads(line)
    except ValueError:
        return False
    terms = [each.strip() for each in pattern.strip("{} ").split("&&")]
    return all(_holds(term, fields) for term in terms)


def _holds(term: str, fields: Mapping[str, Any]) -> bool:
    name, sign, wanted = re.fullmatch(r"\$\.(\w+) (=|>|>=) (\S+)", term).groups()  # type: ignore[union-attr]
    value = fields.get(name)
    if wanted.startswith('"'):
        return sign == "=" and value == wanted.strip('"')
    if not isinstance(value, int | float):
        return False
    return {"=": value == float(wanted), ">": value > float(wanted), ">=": value >= float(wanted)}[sign]


def evaluated(expression: str, values: Mapping[str, float]) -> float:
    """Metric math, as far as the alarms use it. What is None had no number in the period."""
    known = {name: float("nan") if value is None else _Number(value) for name, value in values.items()}
    functions = {
        "IF": lambda condition, then, other: then if condition else other,
        "FILL": lambda value, instead: _Number(instead) if value != value else value,
    }
    return float(eval(expression, {"__builtins__": {}}, {**functions, **known}))


class _Number(float):
    """Divided by zero it is no number, rather than an error: both branches of IF are worked out here."""

    def __truediv__(self, other: float) -> _Number:
        return _Number("nan") if other == 0 else _Number(float(self) / float(other))

    def __add__(self, other: float) -> _Number:
        return _Number(float(self) + float(other))

    def __sub__(self, other: float) -> _Number:
        return _Number(float(self) - float(other))
