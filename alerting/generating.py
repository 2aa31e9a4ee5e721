"""Objectives to Prometheus rules: pure, so that whoever runs it gets the same files.

An SLO is told of when its budget of bad events (0.1 % for 99.9 %) is spent too fast, over a long window so that it
matters and over a short one so that it is still going on. The pairs and their factors are those of the Site
Reliability Workbook, chapter 5: at 14.4 times the allowed pace the budget of 30 days is gone in 2 days. `for` is the
kubernetes-mixin's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from alerting.objectives import WINDOW, Kpi, Objectives, Slo

RuleFile: TypeAlias = Mapping[str, Any]
"""What stands in a rule file: `{"groups": [...]}`."""

PERIOD: Final = "30d"
RUNBOOKS: Final = "alerting/runbooks"
SHORT: Final = ("5m", "30m", "1h", "2h")
LONG: Final = ("6h", "1d", "3d")


@dataclass(frozen=True, slots=True)
class Burn:
    """Told of when both windows burn at `factor` times the allowed pace."""

    factor: Decimal
    long: str
    long_s: int
    short: str
    for_: str
    pages: bool


BURNS: Final = (
    Burn(Decimal("14.4"), "1h", 3_600, "5m", "2m", pages=True),
    Burn(Decimal(6), "6h", 21_600, "30m", "15m", pages=True),
    Burn(Decimal(3), "1d", 86_400, "2h", "1h", pages=False),
    Burn(Decimal(1), "3d", 259_200, "6h", "3h", pages=False),
)


def generate(objectives: Objectives) -> Mapping[str, RuleFile]:
    """The content of each generated rule file, by its path below `alerting`."""
    return {
        "recording/slo.yaml": {
            "groups": [
                {"name": f"slo {slo.name}, {name}", "interval": interval, "rules": rules}
                for slo in objectives.slos
                for name, interval, rules in (
                    ("short windows", "30s", list(_recorded(slo, objectives, SHORT))),
                    ("long windows", "1m", [*_recorded(slo, objectives, LONG), *_over_the_period(slo, objectives)]),
                )
            ]
        },
        "recording/kpi.yaml": {
            "groups": [
                {
                    "name": "kpi",
                    "interval": "1m",
                    "rules": [rule for kpi in objectives.kpis for rule in _figures(kpi, objectives)],
                }
            ]
        },
        "rules/slo.yaml": {
            "groups": [
                {"name": f"slo {slo.name}", "rules": list(_burn_alerts(slo, objectives))} for slo in objectives.slos
            ]
        },
        "rules/kpi.yaml": {
            "groups": [
                {
                    "name": "kpi alerts",
                    "rules": [rule for kpi in objectives.kpis for rule in _kpi_alert(kpi, objectives)],
                }
            ]
        },
    }


# Shares of events


def _recorded(slo: Slo, objectives: Objectives, windows: Sequence[str]) -> Iterator[dict[str, Any]]:
    labels = _labels(slo, objectives)
    for window in windows:
        bad, total = (_over(query, window) for query in (slo.sli.events.error_query, slo.sli.events.total_query))
        ratio = f"(\n{bad}\n)\n/\n((\n{total}\n) > 0)\n"
        yield {"record": f"slo:sli_error:ratio_rate{window}", "expr": ratio, "labels": labels}
        if window == "5m":
            yield {"record": "slo:bad_events:rate5m", "expr": bad, "labels": labels}
            yield {"record": "slo:events:rate5m", "expr": total, "labels": labels}
        for burn in BURNS:
            if burn.long == window:
                expr = f"(\n{bad}\n) * {burn.long_s}\n"
                yield {"record": f"slo:bad_events:increase{window}", "expr": expr, "labels": labels}


def _over_the_period(slo: Slo, objectives: Objectives) -> Iterator[dict[str, Any]]:
    labels, which = _labels(slo, objectives), f'{{slo="{slo.name}"}}'
    bad, total = (f"sum_over_time(slo:{events}:rate5m{which}[{PERIOD}])" for events in ("bad_events", "events"))
    yield {"record": f"slo:sli_error:ratio_rate{PERIOD}", "expr": f"{bad} / ({total} > 0)", "labels": labels}
    remaining = f"1 - slo:sli_error:ratio_rate{PERIOD}{which} / {_plain(slo.budget)}"
    yield {"record": f"slo:error_budget:remaining{PERIOD}", "expr": remaining, "labels": labels}
    yield {"record": "slo:objective:ratio", "expr": f"vector({_plain(1 - slo.budget)})", "labels": labels}


def _burn_alerts(slo: Slo, objectives: Objectives) -> Iterator[dict[str, Any]]:
    which = f'{{slo="{slo.name}"}}'
    for burn in BURNS:
        severity = slo.alerting.page_alert if burn.pages else slo.alerting.ticket_alert
        if severity.disable:
            continue
        limit = _plain(burn.factor * slo.budget)
        allowed = f"over the last {burn.long}; the objective allows {_plain(100 * slo.budget)} %"
        yield {
            "alert": slo.alerting.name,
            "expr": f"slo:sli_error:ratio_rate{burn.long}{which} > {limit}\n"
            f"and slo:sli_error:ratio_rate{burn.short}{which} > {limit}\n"
            f"and slo:bad_events:increase{burn.long}{which} >= {slo.min_bad_events}\n",
            "for": burn.for_,
            "labels": {**objectives.labels, **slo.alerting.labels, **severity.labels, "window": burn.long},
            "annotations": {
                "summary": slo.alerting.annotations["summary"],
                "description": f"{slo.alerting.annotations['description']} {allowed}.",
                "runbook_url": f"{RUNBOOKS}/{slo.alerting.name}.md",
            },
        }


def _labels(slo: Slo, objectives: Objectives) -> dict[str, str]:
    return {**objectives.labels, "slo": slo.name}


def _over(query: str, window: str) -> str:
    return query.strip().replace(WINDOW, window)


# Figures with a bound


def _figures(kpi: Kpi, objectives: Objectives) -> Iterator[dict[str, Any]]:
    labels = {**objectives.labels, "kpi": kpi.kpi, "measure": kpi.measure, "unit": kpi.unit}
    yield {"record": "kpi:value", "expr": kpi.query, "labels": labels}
    if kpi.events_query is not None:
        yield {"record": "kpi:events", "expr": kpi.events_query, "labels": labels}
    yield {"record": "kpi:objective", "expr": f"vector({kpi.bound:g})", "labels": labels}


def _kpi_alert(kpi: Kpi, objectives: Objectives) -> Iterator[dict[str, Any]]:
    if kpi.alerting is None:
        return
    which, comparison = f'{{kpi="{kpi.kpi}"}}', "<" if kpi.at_least is not None else ">"
    yield {
        "alert": kpi.alerting.name,
        "expr": f"kpi:value{which} {comparison} {kpi.bound:g}\nand kpi:events{which} >= {kpi.min_events}\n",
        "for": kpi.alerting.for_,
        "labels": {**objectives.labels, **kpi.alerting.labels},
        "annotations": {
            "summary": kpi.alerting.annotations["summary"],
            "description": f"{kpi.alerting.annotations['description']}.",
            "runbook_url": f"{RUNBOOKS}/{kpi.alerting.name}.md",
        },
    }


def _plain(number: Decimal) -> str:
    """Without an exponent or trailing zeros."""
    return f"{number.normalize():f}"
