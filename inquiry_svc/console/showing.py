"""What all pages share: the client that they ask, words for people, and what is shown when the service says no.

What others wrote (subjects, bodies, names) is never given to Streamlit as Markdown, in which it could load pictures
from elsewhere or look like the page's own words.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from inquiry_svc.console.client import Client, NoAnswer, Refused
from inquiry_svc.web import schemas as out


def client() -> Client:
    """Of the arguments that the command gave to the script: address, API key, time limit in seconds."""
    url, api_key, timeout_s = sys.argv[1:]
    return Client(url, api_key, float(timeout_s))


@contextmanager
def telling() -> Iterator[None]:
    """Show what went wrong in place of the rest of the block."""
    asked = client()
    try:
        yield
    except NoAnswer as error:
        st.error(f"The service at `{asked.url}` can't be reached: {plain(str(error))}.", icon=":material/cloud_off:")
        st.markdown(
            "Does it run there? `inquiry-svc serve` starts it, `inquiry-svc health --url URL` asks it. "
            "`inquiry-svc console --url URL`, or `INQUIRY_CONSOLE__URL`, names another address."
        )
    except Refused as refusal:
        st.error(_refused(refusal), icon=":material/block:")
        for field, message in refusal.faults:
            st.text(f"{field.removeprefix('/')}: {message}")


def _refused(refusal: Refused) -> str:
    match refusal.status:
        case 401:
            return "The service wants an API key: set `INQUIRY_CLIENT__KEY`, or `INQUIRY_CLIENT__KEY_FILE`."
        case 403:
            return f"The API key of this page does not allow that: {plain(refusal.detail)}"
        case status:
            return f"The service says no ({status}): {plain(refusal.detail)}"


def words(label: str) -> str:
    """`product_feedback` as people write it."""
    return "HR" if label == "hr" else label.replace("_", " ").capitalize()


def plain(text: str) -> str:
    """Text of others as Markdown that shows just that."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=\"'&])", r"\\\1", " ".join(text.split()))


def title_of(inquiry: out.InquiryOut) -> str:
    """Its subject, or how it begins."""
    return " ".join((inquiry.subject or inquiry.body).split())[:120]


def zone() -> tzinfo:
    """Where the browser is."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def moment(at: datetime) -> str:
    """A time where the browser is, without the date when it is today."""
    there, now = at.astimezone(zone()), datetime.now(zone())
    return there.strftime("%H:%M" if there.date() == now.date() else "%d %b %H:%M")


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def details(inquiry: out.InquiryOut) -> None:
    """One inquiry: its words, what was decided, where it went and why."""
    sender = f"{inquiry.sender_name} <{inquiry.sender_email}>" if inquiry.sender_name else inquiry.sender_email
    st.text(f"{sender}  ·  {inquiry.source}  ·  {moment(inquiry.received_at)}")
    st.code(f"{inquiry.subject}\n\n{inquiry.body}".strip(), language=None, wrap_lines=True)
    with st.container(horizontal=True):
        for axis, decided in (
            ("Category", inquiry.category),
            ("Sentiment", inquiry.sentiment),
            ("Urgency", inquiry.urgency),
        ):
            sure = f"{percent(decided.confidence)} sure"
            st.metric(
                axis, words(decided.label), sure, delta_color="off", delta_arrow="off", border=True, height="stretch"
            )
        who = inquiry.routing.consultant or "nobody free"
        st.metric(
            "Department", words(inquiry.routing.department), who, delta_color="off", delta_arrow="off", border=True
        )
        due = f"due {moment(inquiry.routing.sla_due_at)}"
        st.metric(
            "Priority", f"{inquiry.routing.priority_score:.0f}", due, delta_color="off", delta_arrow="off", border=True
        )
    st.text("\n".join(inquiry.routing.reasons))
