"""The inquiries that are stored, newest first: filtered, a page at a time, and one of them in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st

from inquiry_svc.console.inquiry_table import table
from inquiry_svc.console.showing import client, details, telling, title_of, words
from inquiry_svc.inquiries import CATEGORIES, DEPARTMENTS, SENTIMENTS, URGENCIES
from inquiry_svc.web import schemas as out

PAGE: Final = 50
_YES_NO: Final[Mapping[str, bool]] = {"yes": True, "no": False}
_STATUSES: Final = ("routed", "resolved")


def main() -> None:
    wanted = _filters()
    if wanted != st.session_state.get("filtered"):
        st.session_state.update(filtered=wanted, cursors=[None])
    cursors: list[str | None] = st.session_state["cursors"]
    with telling():
        page = client().get("/inquiries", out.PageOut, limit=PAGE, cursor=cursors[-1], **wanted)
        table(page.items, key="inquiries")
        with st.container(horizontal=True):
            if st.button("Newer", disabled=len(cursors) == 1, icon=":material/arrow_back:"):
                cursors.pop()
                st.rerun()
            if st.button("Older", disabled=page.next_cursor is None, icon=":material/arrow_forward:"):
                cursors.append(page.next_cursor)
                st.rerun()
        by_id = {each.inquiry_id: each for each in page.items}
        chosen = st.selectbox(
            "One in full", list(by_id), index=None, format_func=lambda each: title_of(by_id[each]), key="opened"
        )
        if chosen is not None:
            _one(chosen)


def _filters() -> dict[str, Any]:
    """What the query asks for; None where anything will do."""
    with st.expander("Only some", icon=":material/filter_list:"):
        labels = {
            name: st.selectbox(
                words(name), labels, index=None, format_func=words, placeholder="any", key=f"only_{name}"
            )
            for name, labels in (
                ("category", CATEGORIES),
                ("department", DEPARTMENTS),
                ("urgency", URGENCIES),
                ("sentiment", SENTIMENTS),
                ("status", _STATUSES),
            )
        }
        flags = {
            name: st.selectbox(title, _YES_NO, index=None, placeholder="either", key=f"only_{name}")
            for name, title in (("escalated", "Escalated"), ("needs_review", "Waiting for review"))
        }
    return {**labels, **{name: None if chosen is None else _YES_NO[chosen] for name, chosen in flags.items()}}


def _one(inquiry_id: str) -> None:
    inquiry = client().get(f"/inquiries/{inquiry_id}", out.InquiryOut)
    st.text(inquiry.inquiry_id)
    details(inquiry)
    if inquiry.resolved_at is not None:
        st.success("It was answered.", icon=":material/check_circle:")
    elif st.button("It was answered", icon=":material/check:", key="resolve"):
        client().post(f"/inquiries/{inquiry_id}/resolve", out.InquiryOut, {})
        st.rerun()


if __name__ == "__main__":
    main()
