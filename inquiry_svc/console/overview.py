"""The first page: is the service well, how much comes in, what is it about, who gets it, and is it answered in time?

All of it is read from what the service has stored, so it is the same however many processes and machines serve.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import streamlit as st

from inquiry_svc.console import charts
from inquiry_svc.console.client import Client
from inquiry_svc.console.inquiry_table import table
from inquiry_svc.console.showing import client, moment, percent, plain, telling, zone
from inquiry_svc.inquiries import CATEGORIES, DEPARTMENTS, SENTIMENTS, URGENCIES
from inquiry_svc.web import schemas as out

REFRESH_S: Final = 5.0
LATEST: Final = 200
"""As many as the service gives at once."""
_ENOUGH: Final = 20
"""Inquiries: against fewer a change is chance. Source: the alerts' own (alerting/rules/routing.yaml)."""


@dataclass(frozen=True, slots=True)
class Period:
    days: int
    bar_days: int
    """What one bar of its chart stands for."""
    bars: int


PERIODS: Final[Mapping[str, Period]] = {
    "24 hours": Period(1, 1, 7),
    "7 days": Period(7, 1, 7),
    "28 days": Period(28, 7, 4),
}


def main() -> None:
    chosen = st.segmented_control(
        "Period", list(PERIODS), default="24 hours", key="period", label_visibility="collapsed"
    )
    _live(chosen or "24 hours")


@st.fragment(run_every=REFRESH_S)
def _live(name: str) -> None:
    with telling():
        asked, period = client(), PERIODS[name]
        _health(asked.health())
        now, with_before = (asked.get("/stats", out.StatsOut, days=days) for days in (period.days, 2 * period.days))
        latest = asked.get("/inquiries", out.PageOut, limit=LATEST).items
        _tiles(name, now, with_before, latest)
        left, right = st.columns(2)
        with left:
            charts.moments(f"The latest {len(latest)} inquiries", [each.received_at for each in latest])
        with right:
            charts.periods(
                "Inquiries by week" if period.bar_days == 7 else "Inquiries by day",
                _volume(asked, period, datetime.now(UTC).replace(second=0, microsecond=0)),
                CATEGORIES,
            )
        for row in (
            (
                ("Category", now.category_distribution, CATEGORIES),
                ("Department", now.department_distribution, DEPARTMENTS),
            ),
            (("Urgency", now.urgency_distribution, URGENCIES), ("Sentiment", now.sentiment_distribution, SENTIMENTS)),
        ):
            for column, (title, counts, order) in zip(st.columns(2), row, strict=True):
                with column:
                    charts.distribution(f"{title}, {name}", counts, order)
        charts.confidences(
            f"How sure the model is of the category, latest {len(latest)}",
            [each.category.confidence for each in latest],
        )
        st.markdown("**The latest inquiries**")
        table(latest[:10], key="latest")
        st.caption(f"Renewed every {REFRESH_S:.0f} s, at {moment(datetime.now(UTC))}.")


def _health(found: out.HealthOut) -> None:
    ill = [f"{plain(name)} {each.status}" for name, each in found.components.items() if each.status != "healthy"]
    match found.status:
        case "healthy":
            st.badge(f"healthy · {plain(found.version)}", icon=":material/check_circle:", color="green")
        case "degraded":
            st.warning(f"The service serves, but is degraded: {', '.join(ill)}.", icon=":material/warning:")
        case "unhealthy":
            st.error(f"The service can't serve: {', '.join(ill)}.", icon=":material/error:")


def _tiles(name: str, now: out.StatsOut, with_before: out.StatsOut, latest: Sequence[out.InquiryOut]) -> None:
    more, worse = changes(now, with_before)
    sure = statistics.fmean(each.category.confidence for each in latest) if latest else None
    priority = "-" if now.average_priority_score is None else f"{now.average_priority_score:.0f}"
    with st.container(horizontal=True):
        st.metric(
            f"Inquiries, {name}",
            f"{now.total_inquiries:,}",
            more,
            delta_color="off",
            border=True,
            height="stretch",
            help=f"Against the {name} before.",
        )
        st.metric(
            "Waiting for review",
            f"{now.needs_review_inquiries:,}",
            border=True,
            height="stretch",
            help="Of these, how many a person should look at and nobody has.",
        )
        st.metric(
            "Escalated",
            percent(now.escalation_rate),
            worse,
            delta_color="inverse",
            border=True,
            height="stretch",
            help=f"The goal is under 10 %. Against the {name} before.",
        )
        st.metric(
            "Answered in time",
            percent(now.within_sla_rate),
            border=True,
            height="stretch",
            help="Of those answered or overdue; the goal is over 95 %.",
        )
        st.metric(
            "Confidence",
            percent(sure),
            border=True,
            height="stretch",
            help=f"The mean for the category, of the latest {len(latest)}; the goal is over 70 %.",
        )
        st.metric("Priority", priority, border=True, height="stretch", help="The mean, of 0 to 100.")


def changes(now: out.StatsOut, with_before: out.StatsOut) -> tuple[str | None, str | None]:
    """How many more inquiries than in the period before, and how much more of them escalated; None against too few."""
    before = with_before.total_inquiries - now.total_inquiries
    if before < _ENOUGH or now.escalation_rate is None:
        return None, None
    escalated_before = (with_before.escalated_inquiries - now.escalated_inquiries) / before
    return f"{now.total_inquiries / before - 1:+.0%}", f"{100 * (now.escalation_rate - escalated_before):+.1f} points"


def _volume(asked: Client, period: Period, now: datetime) -> Sequence[tuple[str, Mapping[str, int]]]:
    """How many of each category in each bar, oldest first, each named by its end.

    The service counts back from now, so a bar is what one count has beyond the next shorter one.
    """
    totals = _totals(asked.url, period.bar_days, period.bars, asked)
    ends = [now - timedelta(days=period.bar_days * number) for number in range(period.bars)]
    named = ["%a" if period.bar_days == 1 else "%d %b"] * period.bars
    bars = [
        (end.astimezone(zone()).strftime(form), Counter(longer) - Counter(shorter))
        for end, form, longer, shorter in zip(ends, named, totals, [{}, *totals], strict=False)
    ]
    return bars[::-1]


@st.cache_data(ttl=60, show_spinner=False)
def _totals(url: str, bar_days: int, bars: int, _asked: Client) -> list[dict[str, int]]:
    """Of each category in the last bar, the last two, and so on."""
    return [
        _asked.get("/stats", out.StatsOut, days=bar_days * number).category_distribution
        for number in range(1, bars + 1)
    ]


if __name__ == "__main__":
    main()
