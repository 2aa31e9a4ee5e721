"""What the rules make of three labels: department, priority, escalated or not, and the reasons in words.

Pure arithmetic over the 72 combinations of labels. It knows neither consultants nor clocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from inquiry_svc.inquiries import CATEGORIES, SENTIMENTS, URGENCIES, Department
from inquiry_svc_plugins.routers.rules.schema import Rule, Rules

MAX_PRIORITY: Final = 100.0


class Labels(NamedTuple):
    category: str
    sentiment: str
    urgency: str


@dataclass(frozen=True, slots=True)
class Decision:
    department: Department
    priority_score: float
    escalated: bool
    reasons: tuple[str, ...]


def every_combination() -> Iterator[Labels]:
    """All 72, in the order of the labels."""
    return (Labels(*labels) for labels in product(CATEGORIES, SENTIMENTS, URGENCIES))


def matches(rule: Rule, labels: Labels) -> bool:
    return all(label in getattr(rule.when, axis) for axis, label in zip(labels._fields, labels, strict=True))


def decide(rules: Rules, labels: Labels) -> Decision:
    """The first match that names a department decides it; the largest boost among the matches counts."""
    matching = [rule for rule in rules.rules if matches(rule, labels)]
    deciding = next((rule for rule in matching if rule.department), None)
    boosting = max((rule for rule in matching if rule.boost is not None), key=_boost, default=None)
    priority, sum_in_words = _add_up(rules, labels, boosting)

    category_department: Department = getattr(rules.departments, labels.category)
    reasons = [] if deciding else [f"category {labels.category} -> {category_department}"]
    reasons += [_rule_in_words(rule, deciding, boosting) for rule in matching]
    reasons.append(sum_in_words)
    over_threshold = priority >= rules.escalation_threshold
    if over_threshold:
        reasons.append(f"priority {priority:g} >= {rules.escalation_threshold:g}: escalated")
    return Decision(
        department=(deciding and deciding.department) or category_department,
        priority_score=priority,
        escalated=over_threshold or any(rule.escalate for rule in matching),
        reasons=tuple(reasons),
    )


def _boost(rule: Rule) -> float:
    return rule.boost or 0.0


def _add_up(rules: Rules, labels: Labels, boosting: Rule | None) -> tuple[float, str]:
    """The priority, and how it came about."""
    points = rules.priority
    summands: list[tuple[str, float]] = [
        (f"urgency {labels.urgency}", getattr(points.urgency, labels.urgency)),
        (f"sentiment {labels.sentiment}", getattr(points.sentiment, labels.sentiment)),
        (f"category {labels.category}", getattr(points.category, labels.category)),
    ]
    if boosting:
        summands.append((f"rule {boosting.name}", _boost(boosting)))
    total = round(sum(value for _, value in summands), 6)  # 0.1 + 0.2 reads as 0.3
    priority = min(max(total, 0.0), MAX_PRIORITY)
    clamped = "" if priority == total else f" (clamped from {total:g})"
    in_words = " + ".join(f"{what} {value:g}" for what, value in summands)
    return priority, f"priority {priority:g}{clamped} = {in_words}"


def _rule_in_words(rule: Rule, deciding: Rule | None, boosting: Rule | None) -> str:
    effects: list[str] = []
    if rule.boost is not None:
        outdone = f" (not added: {boosting.name} gives more)" if boosting and rule is not boosting else ""
        effects.append(f"{rule.boost:+g}{outdone}")
    if rule.escalate:
        effects.append("escalated")
    if rule.department:
        outrun = f" (not taken: {deciding.name} decided before)" if deciding and rule is not deciding else ""
        effects.append(f"-> {rule.department}{outrun}")
    if rule.reason:
        effects.append(rule.reason)
    return f"rule {rule.name}: {', '.join(effects) or 'matches'}"
