"""What the peers that submit do with an inquiry once it is classified: route it by hand, and make a row of it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.peers.fastapi_bodies import SubmitIn, SubmittedOut, VerdictOut
from inquiry_svc.inquiries import Verdict

TABLE: Final = Path(__file__).with_name("submissions.sql").read_text()
COLUMNS: Final = 13

_DEPARTMENT: Final = {"billing": "finance", "product_feedback": "product_management"}
_URGENCY: Final = {"low": 10.0, "medium": 20.0, "high": 40.0, "critical": 60.0}
_SENTIMENT: Final = {"positive": 0.0, "neutral": 10.0, "negative": 30.0}


def row_and_answer(asked: SubmitIn, verdict: Verdict) -> tuple[tuple[str | float, ...], SubmittedOut]:
    category, sentiment, urgency = verdict.category, verdict.sentiment, verdict.urgency
    answer = SubmittedOut(
        **dict(VerdictOut.of(verdict)),
        inquiry_id=str(uuid.uuid4()),
        department=_DEPARTMENT.get(category.label, category.label),
        priority_score=_URGENCY[urgency.label] + _SENTIMENT[sentiment.label],
    )
    labels = [each for axis in (category, sentiment, urgency) for each in (axis.label, axis.confidence)]
    head = (answer.inquiry_id, datetime.now(UTC).isoformat(), asked.subject, asked.body, asked.sender_email)
    return (*head, *labels, answer.department, answer.priority_score), answer
