"""The form: one inquiry by hand, and what the service made of it."""

from __future__ import annotations

from uuid import uuid4

import streamlit as st

from inquiry_svc.console.showing import client, details, telling
from inquiry_svc.inquiries import SOURCES
from inquiry_svc.web import schemas as out


def main() -> None:
    with st.form("submit", border=False):
        email = st.text_input("From (e-mail)", key="sender_email", max_chars=254)
        name = st.text_input("Name", key="sender_name", max_chars=200, placeholder="may be left out")
        subject = st.text_input("Subject", key="subject", max_chars=500)
        body = st.text_area("What they wrote", key="body", max_chars=10_000, height=200)
        source = st.selectbox("It came by", SOURCES, index=SOURCES.index("email"), key="source")
        sent = st.form_submit_button("Submit", type="primary")
    if not sent:
        return
    filled = {"sender_email": email, "sender_name": name or None, "subject": subject, "body": body, "source": source}
    if st.session_state.get("filled") != filled:
        st.session_state.update(filled=filled, submission=uuid4().hex)
    once = {"Idempotency-Key": st.session_state["submission"]}  # the same form sent twice is one inquiry
    with telling():
        stored = client().post("/inquiries/submit", out.InquiryOut, filled, once)
        st.success("It is stored and routed.", icon=":material/check_circle:")
        st.text(stored.inquiry_id)
        details(stored)
        if stored.needs_review:
            st.info("The model is not sure: it waits for a review, too.", icon=":material/rate_review:")


if __name__ == "__main__":
    main()
