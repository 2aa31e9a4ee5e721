"""The review queue: what waits for a person, the most pressing first, and one of them to decide, skip or give back.

Who reviews says a name. What they hold is remembered for as long as the page is open; the service remembers it longer,
and gives it again to whoever claims under the same name.
"""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from inquiry_svc.console.client import Refused
from inquiry_svc.console.showing import client, details, moment, percent, telling, title_of, words
from inquiry_svc.inquiries import AXES
from inquiry_svc.web import schemas as out

SHOWN: Final = 20
_WHY: Final = {
    "low_confidence": "the model is not sure",
    "no_evidence": "there is little in the text to go by",
    "degraded": "the fallback classifier answered",
    "audit": "picked by chance",
}


def main() -> None:
    name = st.text_input("Your name, always the same", key="reviewer", max_chars=200).strip()
    if not name:
        st.info("Say who you are to take a review: nobody else gets what you hold.", icon=":material/badge:")
    with telling():
        held: out.ReviewOut | None = st.session_state.get("held")
        if held is not None and held.claimed_by != name:
            held = None
        if held is None:
            _queue(name)
        else:
            _review(held, name)


def _queue(name: str) -> None:
    if (done := st.session_state.pop("done", None)) is not None:
        st.success(done, icon=":material/check_circle:")
    page = client().get("/reviews", out.ReviewPageOut, limit=SHOWN)
    if not page.items:
        st.success("Nothing waits for a person.", icon=":material/done_all:")
        st.button("Look again", icon=":material/refresh:")
        return
    with st.container(horizontal=True):
        if st.button("Take the next", type="primary", disabled=not name, icon=":material/play_arrow:"):
            claimed = client().post("/reviews/claim", out.ClaimedOut, {"reviewer": name})
            if claimed.items:
                _hold(claimed.items[0])
            st.info("Others hold all that waits.", icon=":material/group:")
        st.button("Look again", icon=":material/refresh:")
    more = " or more" if page.next_cursor is not None else ""
    st.markdown(f"**{len(page.items)}{more} wait, the most pressing first**")
    for each in page.items:
        _waiting(each, name)


def _waiting(review: out.ReviewOut, name: str) -> None:
    inquiry, elsewhere = review.inquiry, review.claimed_by not in (None, name)
    with st.container(border=True):
        st.text(title_of(inquiry))
        why = ", ".join(_WHY[each] for each in inquiry.review_reasons)
        st.caption(
            f"{words(inquiry.category.label)} ({percent(inquiry.category.confidence)}) · {words(inquiry.urgency.label)}"
            f" · due {moment(review.turn_at)} · {why}"
        )
        if elsewhere and review.claimed_until is not None:
            st.text(f"{review.claimed_by} holds it until {moment(review.claimed_until)}")
        elif st.button("Take this one", key=f"take_{inquiry.inquiry_id}", disabled=not name):
            _hold(client().post(f"/reviews/{inquiry.inquiry_id}/claim", out.ReviewOut, {"reviewer": name}))


def _review(review: out.ReviewOut, name: str) -> None:
    inquiry = review.inquiry
    until = "" if review.claimed_until is None else f" until {moment(review.claimed_until)}"
    st.markdown(f"**Yours{until}:** {', '.join(_WHY[each] for each in inquiry.review_reasons)}")
    details(inquiry)
    said = {axis: getattr(inquiry, axis).label for axis in AXES}
    with st.form("decide", border=False):
        right: dict[str, str] = {
            axis: st.radio(
                words(axis),
                labels,
                index=labels.index(said[axis]),
                format_func=words,
                horizontal=True,
                key=f"{axis}_{inquiry.inquiry_id}",
            )
            for axis, labels in AXES.items()
        }
        with st.container(horizontal=True):
            decided = st.form_submit_button("That is right", type="primary", icon=":material/check:")
            skipped = st.form_submit_button("Skip", icon=":material/skip_next:", help="Behind all that wait.")
            released = st.form_submit_button("Give it back", icon=":material/undo:", help="It stands where it stood.")
    changed = {axis: label for axis, label in right.items() if label != said[axis]}
    if decided:
        _let_go("decide", review, {"reviewer": name, **changed}, out.InquiryOut, "Decided. Thank you.")
    elif skipped:
        _let_go("skip", review, {"reviewer": name}, out.ReviewOut, "Skipped.")
    elif released:
        _let_go("release", review, {"reviewer": name}, out.ReviewOut, "Given back.")


def _let_go(action: str, review: out.ReviewOut, body: dict[str, Any], kind: type[out.Outgoing], done: str) -> None:
    try:
        client().post(f"/reviews/{review.inquiry.inquiry_id}/{action}", kind, body)
    except Refused as refusal:
        if refusal.status in (404, 409):  # it is no longer theirs
            st.session_state.pop("held")
        raise
    st.session_state["done"] = done
    _hold(None)


def _hold(review: out.ReviewOut | None) -> None:
    st.session_state["held"] = review
    st.rerun()


if __name__ == "__main__":
    main()
