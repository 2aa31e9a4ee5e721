"""Inquiries as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from inquiry_svc.console.showing import title_of, words, zone
from inquiry_svc.web import schemas as out

_COLUMNS: Final = {
    "Received": st.column_config.DatetimeColumn(format="D MMM HH:mm", width=110),
    "Inquiry": st.column_config.TextColumn(width=230),
    "Sure": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent", width=90),
    "Priority": st.column_config.NumberColumn(format="%d"),
}


def table(inquiries: Sequence[out.InquiryOut], *, key: str) -> None:
    """The newest first."""
    if not inquiries:
        st.info("No inquiries yet." if key == "latest" else "No inquiries like that.")
        return
    st.dataframe(
        [_row(each) for each in inquiries],
        column_config=_COLUMNS,
        hide_index=True,
        height="content" if len(inquiries) <= 10 else 560,
    )


def _row(each: out.InquiryOut) -> dict[str, Any]:
    return {
        "Received": each.received_at.astimezone(zone()),
        "Inquiry": title_of(each),
        "Category": words(each.category.label),
        "Sure": round(each.category.confidence, 2),
        "Sentiment": words(each.sentiment.label),
        "Urgency": words(each.urgency.label),
        "Department": words(each.routing.department),
        "Priority": each.routing.priority_score,
        "Escalated": each.routing.escalated,
        "Review": each.needs_review,
        "Answered": each.resolved_at is not None,
    }
