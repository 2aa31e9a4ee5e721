"""The charts: counts as bars, and when the latest came in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import altair as alt
import streamlit as st

from inquiry_svc.console.showing import words

_STEPS: Final = tuple(
    timedelta(seconds=each)
    for each in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800, 2_592_000)
)
_BARS: Final = 40
"""At most; more are too thin on a telephone."""
_HEIGHT_PX: Final = 220
_ROW_PX: Final = 30
_COUNT: Final = alt.Axis(tickMinStep=1, format="d", title=None)


def distribution(title: str, counts: Mapping[str, int], order: Sequence[str]) -> None:
    """A bar for each label, in the order given, the missing ones too, with its count and its share."""
    total = sum(counts.values())
    rows = [
        {"label": words(label), "count": counts.get(label, 0), "shown": _shown(counts.get(label, 0), total)}
        for label in order
    ]
    base = _chart(rows).encode(
        x=alt.X("count:Q", axis=None, scale=alt.Scale(domain=[0, 1.4 * max([1, *counts.values()])])),
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=140)),
        tooltip=[alt.Tooltip("label:N"), alt.Tooltip("count:Q")],
    )
    bars = base.mark_bar(cornerRadiusEnd=3) + base.mark_text(align="left", dx=5).encode(text="shown:N")
    _draw(title, bars, _ROW_PX * len(rows))


def _shown(count: int, total: int) -> str:
    return f"{count:,}  ({count / total:.0%})" if count else "0"


def periods(title: str, rows: Sequence[tuple[str, Mapping[str, int]]], order: Sequence[str]) -> None:
    """A stacked bar for each period, oldest first: its name, and how many of each label."""
    values = [
        {"period": name, "label": words(label), "count": counts.get(label, 0)}
        for name, counts in rows
        for label in order
    ]
    chart = _chart(values).mark_bar()
    encoded = chart.encode(
        x=alt.X("period:N", sort=None, title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("count:Q", axis=_COUNT),
        color=alt.Color(
            "label:N", sort=list(map(words, order)), legend=alt.Legend(orient="bottom", title=None, columns=2)
        ),
        tooltip=[alt.Tooltip("period:N"), alt.Tooltip("label:N"), alt.Tooltip("count:Q")],
    )
    _draw(title, encoded, _HEIGHT_PX + 80)


def moments(title: str, found: Iterable[datetime]) -> None:
    """How many came in when, in as many steps as can be told apart."""
    at = sorted(found)
    step = step_for(at[-1] - at[0]) if at else _STEPS[0]
    counted = Counter(each.timestamp() // step.total_seconds() for each in at)
    values = [
        {
            "from": number * step.total_seconds() * 1000,
            "to": (number + 1) * step.total_seconds() * 1000,
            "count": count,
        }
        for number, count in sorted(counted.items())
    ]
    chart = _chart(values).mark_rect(stroke="white", strokeWidth=0.5)
    encoded = chart.encode(
        x=alt.X("from:T", title=None),
        x2="to:T",
        y=alt.Y("count:Q", axis=_COUNT, scale=alt.Scale(domainMin=0)),
        y2=alt.datum(0),
        tooltip=[alt.Tooltip("from:T", format="%d %b %H:%M:%S"), alt.Tooltip("count:Q")],
    )
    _draw(f"{title}, per {_named(step)}", encoded, _HEIGHT_PX + 80)


def step_for(span: timedelta) -> timedelta:
    """The shortest step that needs no more than `_BARS` bars for the span."""
    return next((each for each in _STEPS if span / each < _BARS), _STEPS[-1])


def _named(step: timedelta) -> str:
    for length, name in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if step.total_seconds() >= length:
            count = int(step.total_seconds() // length)
            return name if count == 1 else f"{count} {name}s"
    raise AssertionError(step)


def confidences(title: str, found: Iterable[float]) -> None:
    """How many are how sure, in tenths."""
    counted = Counter(min(int(each * 10), 9) for each in found)
    values = [{"sure": f"{10 * tenth} to {10 * tenth + 10} %", "count": counted[tenth]} for tenth in range(10)]
    encoded = (
        _chart(values)
        .mark_bar()
        .encode(
            x=alt.X("sure:N", sort=None, title=None, axis=alt.Axis(labelAngle=-45)),
            y=alt.Y("count:Q", axis=_COUNT),
            tooltip=[alt.Tooltip("sure:N"), alt.Tooltip("count:Q")],
        )
    )
    _draw(title, encoded, _HEIGHT_PX)


def _chart(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]


def _draw(title: str, chart: Any, height_px: int) -> None:
    with st.container(border=True):
        st.markdown(f"**{title}**")
        st.altair_chart(chart.properties(height=height_px))
