"""Are the promises kept? From the recording rules that alerting/slo.yaml becomes, so that no bound is said twice."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panels import Above, Below, Dashboard, Panel, Unit

_WAYS: Final = ("AvailabilityBudgetBurn", "LatencyBudgetBurn", "InferenceBudgetBurn", "SlaBudgetBurn")


def _kpi(kpi: str, question: str, unit: Unit, about: str, runbook: str) -> Panel:
    value = {"K5": "{{model_name}}", "K6": "{{model_name}}", "K7": "{{model_name}}", "K10": "{{department}}"}
    return Panel(
        f"{question} ({kpi})",
        unit,
        f"{about} The other line is the objective.",
        {
            value.get(kpi, "now"): f'kpi:value{{kpi="{kpi}"}}',
            "objective": f'kpi:objective{{kpi="{kpi}"}}',
        },
        runbooks=(runbook,),
    )


SLO: Final = Dashboard(
    "slo",
    "Service Level Objectives",
    "Error budgets of 30 days and the ten key figures, from alerting/slo.yaml.",
    refresh="1m",
    over="7d",
    panels=(
        Panel(
            "How much of the error budget is left?",
            "share",
            "Of the bad events that 30 days may have. Below 0 the promise is broken: stop risky changes.",
            {"{{slo}}": 'min by (slo) (slo:error_budget:remaining30d{service="inquiry-svc"})'},
            form="number",
            limits=Below(0.25, 0),
            runbooks=_WAYS,
        ),
        Panel(
            "How fast is it being spent?",
            "count",
            "Bad events of the hour before, as a multiple of what the objective allows: at 1 the budget lasts "
            "30 days, at "
            "14.4 two days.",
            {
                "{{slo}}": "max by (slo) (slo:sli_error:ratio_rate1h)"
                " / on (slo) (1 - max by (slo) (slo:objective:ratio))"
            },
            limits=Above(1, 14.4),
            runbooks=_WAYS,
        ),
        Panel(
            "What share of events is bad?",
            "share",
            "Of the day before, by objective.",
            {"{{slo}}": "max by (slo) (slo:sli_error:ratio_rate1d)"},
            runbooks=_WAYS,
        ),
        _kpi("K1", "Is the slowest twentieth quick enough?", "seconds", "95 of 100 requests stay within this.",
             "LatencyBudgetBurn"),
        _kpi("K2", "Is enough done a minute?", "per minute",
             "Inquiries stored. Below the objective is well while nobody sends more.", "ThroughputKpiMissed"),
        _kpi("K3", "Is it available?", "share", "Valid requests of 30 days without a fault.", "AvailabilityBudgetBurn"),
        _kpi("K4", "Are few requests failing?", "share", "Faults of the hour before.", "ErrorRateKpiMissed"),
        _kpi("K5", "Is the model quick enough?", "seconds", "99 of 100 calls stay within this.", "InferenceBudgetBurn"),
        _kpi("K6", "Is the category right?", "share", "What people found right in 7 days.", "AccuracyKpiMissed"),
        _kpi("K7", "Is the model sure enough?", "share", "Mean confidence of the day before.", "ConfidenceKpiMissed"),
        _kpi("K8", "Are they answered in time?", "share", "Resolved by their due time, in 3 days.", "SlaBudgetBurn"),
        _kpi("K9", "Is little escalated?", "share", "Inquiries of the day before.", "EscalationKpiMissed"),
        _kpi("K10", "Are customers content?", "score", "Estimated from the mood of their mails, 1 to 5.",
             "SatisfactionKpiMissed"),
    ),
)  # fmt: skip
