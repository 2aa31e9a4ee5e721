"""Routes batches: looks the labels up in a table made at start, then adds a consultant and a due time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from inquiry_svc.inquiries import Inquiry, Prediction, Route
from inquiry_svc_plugins.routers.rules.business_hours import Calendar, round_the_clock_due_at
from inquiry_svc_plugins.routers.rules.consultants import Picker, picker_for
from inquiry_svc_plugins.routers.rules.priority import Decision, Labels, decide, every_combination
from inquiry_svc_plugins.routers.rules.schema import Rules


class RulesRouter:
    """A `Router` over checked rules. Keeps nothing but the turns among consultants."""

    def __init__(self, rules: Rules) -> None:
        self._table = _make_table(rules)

    async def route(
        self,
        inquiries: Sequence[Inquiry],
        predictions: Sequence[Prediction],
        open_inquiries: Mapping[str, int],
    ) -> Sequence[Route]:
        counts = dict(open_inquiries)  # what this batch assigns is added: capacity holds within it too
        table = self._table
        routes: list[Route] = []
        for inquiry, prediction in zip(inquiries, predictions, strict=True):
            verdict = prediction.verdict
            entry = table[verdict.category.label, verdict.sentiment.label, verdict.urgency.label]
            consultant = entry.picker.pick(inquiry, counts)
            if consultant is not None:
                counts[consultant] = counts.get(consultant, 0) + 1
            decision = entry.decision
            routes.append(
                Route(
                    decision.department,
                    consultant,
                    decision.priority_score,
                    decision.escalated,
                    decision.reasons if consultant is not None else entry.reasons_when_queued,
                    entry.due_at(inquiry.received_at, entry.target),
                )
            )
        return routes


@dataclass(frozen=True, slots=True)
class _Entry:
    """All that is known of an inquiry once its labels are."""

    decision: Decision
    reasons_when_queued: tuple[str, ...]
    picker: Picker
    due_at: Callable[[datetime, timedelta], datetime]
    target: timedelta


def _make_table(rules: Rules) -> dict[tuple[str, str, str], _Entry]:
    pickers = {department: picker_for(desk) for department, desk in rules.consultants.by_department().items()}
    calendar = Calendar(rules.business_hours)

    def entry(labels: Labels) -> _Entry:
        decision = decide(rules, labels)
        always = labels.urgency in rules.business_hours.round_the_clock
        queued = f"nobody free in {decision.department} -> department queue"
        return _Entry(
            decision=decision,
            reasons_when_queued=(*decision.reasons, queued),
            picker=pickers[decision.department],
            due_at=round_the_clock_due_at if always else calendar.due_at,
            target=timedelta(minutes=getattr(rules.response_targets_minutes, labels.urgency)),
        )

    return {labels: entry(labels) for labels in every_combination()}
