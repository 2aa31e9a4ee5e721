"""Rule files held against the series that exist: those of the registry, and those that the files themselves record."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import promql_parser as promql

from inquiry_svc.linting.expressions import Find, bounds, carried, complaints, parse
from inquiry_svc.linting.series import Labels, Series

_LABEL_SHOWN: Final = re.compile(r"\$labels\.(\w+)")


@dataclass(frozen=True, slots=True)
class Complaint:
    """`place` is the file and the rule."""

    place: str
    message: str


@dataclass(frozen=True, slots=True)
class Rule:
    place: str
    record: str | None
    expression: promql.Expr
    labels: Mapping[str, str]
    texts: tuple[str, ...]
    """What a person reads: annotations, which may show labels of the result."""


def lint_rules(files: Mapping[str, Any], series: Mapping[str, Series]) -> Iterator[Complaint]:
    """What is wrong in `files`, the content of rule files by their names. A name recorded in one is known in all."""
    rules: list[Rule] = []
    for file, content in files.items():
        for found in _rules_in(file, content):
            if isinstance(found, Rule):
                rules.append(found)
            else:
                yield found
    known = _Known(rules, series)
    for rule in rules:
        for message in dict.fromkeys(complaints(rule.expression, known.find)):
            yield Complaint(rule.place, message)
        for label in _shown_in_vain(rule, carried(rule.expression, known.find)):
            yield Complaint(rule.place, f"$labels.{label} is always empty: the result has no such label")


def _rules_in(file: str, content: Any) -> Iterator[Rule | Complaint]:
    try:
        rules = [rule for group in content["groups"] for rule in group.get("rules") or () if rule.items()]
    except (TypeError, KeyError, AttributeError):
        yield Complaint(file, "no rule file: it is not a list of groups with lists of rules")
        return
    for rule in rules:
        place = f"{file}: {rule.get('alert') or rule.get('record') or 'a rule without a name'}"
        try:
            expression = parse(str(rule.get("expr", "")))
        except ValueError as error:
            yield Complaint(place, f"its expression can't be read: {' '.join(str(error).split())}")
            continue
        labels = {name: str(value) for name, value in (rule.get("labels") or {}).items()}
        texts = tuple(map(str, (rule.get("annotations") or {}).values()))
        yield Rule(place, rule.get("record"), expression, labels, texts)


class _Known:
    """The series of the registry and those recorded, whose labels follow from their expressions."""

    def __init__(self, rules: list[Rule], series: Mapping[str, Series]) -> None:
        self._series = series
        self._recorded: dict[str, list[Rule]] = {}
        for rule in rules:
            if rule.record is not None:
                self._recorded.setdefault(rule.record, []).append(rule)
        self._asked: set[str] = set()
        self.find = cache(self._find)

    def _find(self, name: str) -> Series | None:
        if name in self._series or name not in self._recorded or name in self._asked:
            return self._series.get(name)
        self._asked.add(name)  # a name recorded from itself: known by then, or not at all
        of_rules = [_labels_of(rule, self.find) for rule in self._recorded[name]]
        of_bounds = [bounds(rule.expression, self.find) for rule in self._recorded[name]]
        return Series(_united(of_rules), of_bounds[0] if len(of_bounds) == 1 else None)


def _labels_of(rule: Rule, find: Find) -> Labels | None:
    labels = carried(rule.expression, find)
    return None if labels is None else {**labels, **{label: (value,) for label, value in rule.labels.items()}}


def _united(of_rules: Iterable[Labels | None]) -> Labels | None:
    """A label has any value that one of the rules gives it."""
    united: dict[str, Sequence[str] | None] = {}
    for labels in of_rules:
        if labels is None:
            return None
        for label, values in labels.items():
            before = united.get(label, ())
            united[label] = None if values is None or before is None else (*before, *values)
    return united


def _shown_in_vain(rule: Rule, labels: Labels | None) -> list[str]:
    shown = dict.fromkeys(label for text in rule.texts for label in _LABEL_SHOWN.findall(text))
    return [] if labels is None else [label for label in shown if label not in labels]
