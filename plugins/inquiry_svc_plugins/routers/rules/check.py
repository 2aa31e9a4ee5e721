"""Looks for mistakes beyond the schema: rules that never speak, contradict each other or lead nowhere.

It tries all 72 combinations of labels, so what it says is certain, not a guess. It changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from msgspec import structs

from inquiry_svc_plugins.routers.rules.priority import Decision, Labels, decide, every_combination, matches
from inquiry_svc_plugins.routers.rules.schema import Rule, Rules


def find_warnings(rules: Rules) -> list[str]:
    """A line for each thing that a team lead hardly meant, in the order of the file."""
    decisions = {labels: decide(rules, labels) for labels in every_combination()}
    warnings: list[str] = []
    for rule in rules.rules:
        warnings += _warnings_of_rule(rules, rule, decisions)
    warnings += _conflicts(rules)
    warnings += _warnings_of_departments(rules, decisions)
    return warnings


@dataclass(frozen=True, slots=True)
class Outlook:
    """What becomes of some inquiries under the rules."""

    total: int
    escalated: int
    escalated_by_rule: int
    departments: dict[str, int]
    average_priority: float


def look_ahead(rules: Rules, inquiries: Sequence[Labels]) -> Outlook:
    """Decide each; `inquiries` may hold the same labels many times but must not be empty."""
    departments: Counter[str] = Counter()
    escalated = by_rule = 0
    priorities = 0.0
    for labels, count in Counter(inquiries).items():
        decision = decide(rules, labels)
        departments[decision.department] += count
        escalated += count * decision.escalated
        by_rule += count * any(rule.escalate and matches(rule, labels) for rule in rules.rules)
        priorities += count * decision.priority_score
    total = len(inquiries)
    return Outlook(total, escalated, by_rule, dict(departments.most_common()), priorities / total)


def _warnings_of_rule(rules: Rules, rule: Rule, decisions: dict[Labels, Decision]) -> Iterator[str]:
    matched = [labels for labels in decisions if matches(rule, labels)]
    inquiries = f"each of the {len(matched)} label combinations that it matches"
    if rule.department:
        deciding = Counter(_deciding(rules, labels).name for labels in matched)
        if rule.name not in deciding:
            yield (
                f"rule {rule.name!r} never decides the department (unreachable): for {inquiries} "
                f"it is decided before, by {', '.join(deciding)}; move it up or narrow the others"
            )
    without = structs.replace(rules, rules=tuple(other for other in rules.rules if other is not rule))
    if all(_effect(decide(without, labels)) == _effect(decisions[labels]) for labels in matched):
        yield f"rule {rule.name!r} can never change anything: the rest of the file gives {inquiries} the same"
    if rule.department == "escalation" and not rule.escalate:
        yield f"rule {rule.name!r} sends to escalation but does not escalate: add `escalate: true`"


def _deciding(rules: Rules, labels: Labels) -> Rule:
    return next(rule for rule in rules.rules if rule.department and matches(rule, labels))


def _effect(decision: Decision) -> tuple[str, float, bool]:
    return decision.department, decision.priority_score, decision.escalated


def _conflicts(rules: Rules) -> Iterator[str]:
    """Pairs that name different departments for one inquiry: their order decides, perhaps by accident."""
    for first, second in combinations((rule for rule in rules.rules if rule.department), 2):
        both = [labels for labels in every_combination() if matches(first, labels) and matches(second, labels)]
        if not both or first.department == second.department:
            continue
        yield (
            f"rules {first.name!r} and {second.name!r} conflict: {first.department}, {second.department}; "
            f"both match {len(both)} label combinations ({'/'.join(both[0])} for one), and the first wins"
        )


def _warnings_of_departments(rules: Rules, decisions: dict[Labels, Decision]) -> Iterator[str]:
    reached = {decision.department for decision in decisions.values()}
    for department, desk in rules.consultants.by_department().items():
        if department in reached and not desk.members:
            yield f"department {department!r} has no consultants: its inquiries wait in its queue"
        if department not in reached and desk.members:
            names = ", ".join(member.name for member in desk.members)
            yield f"department {department!r} gets no inquiries: {names} will have nothing to do"
