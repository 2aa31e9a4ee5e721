"""The script that Streamlit runs: which pages there are, and the one that is looked at."""

from __future__ import annotations

import streamlit as st


def main() -> None:
    st.set_page_config(page_title="Inquiries", page_icon="📥", layout="wide")
    pages = [
        st.Page("overview.py", title="Overview", icon=":material/monitoring:", default=True),
        st.Page("inquiries.py", title="Inquiries", icon=":material/inbox:"),
        st.Page("reviews.py", title="Reviews", icon=":material/rate_review:"),
        st.Page("submit.py", title="Submit", icon=":material/edit:"),
    ]
    st.navigation(pages, position="top").run()


if __name__ == "__main__":
    main()
