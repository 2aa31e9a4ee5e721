"""What people have said about stored inquiries, as rows to learn from."""

from __future__ import annotations

from typing import Final

from inquiry_svc.contracts import Filters, Position, Store
from inquiry_svc.inquiries import Outcome, Text
from inquiry_svc.labelled import LabelledText

SOURCE: Final = "feedback"
"""Whose hand such rows are by, for a model that is judged by holding out whole hands."""
_PAGE: Final = 500


async def corrected(store: Store) -> list[LabelledText]:
    """Every inquiry of which a person said a right label, the first received first; null where nobody said it."""
    rows: list[LabelledText] = []
    after: Position | None = None
    while page := await store.list(Filters(), limit=_PAGE, after=after):
        rows += filter(None, map(_row, page))
        after = Position(page[-1].inquiry.received_at, page[-1].inquiry.inquiry_id)
    return rows[::-1]


def _row(outcome: Outcome) -> LabelledText | None:
    inquiry, said = outcome.inquiry, outcome.feedback
    if said is None or not (said.category or said.sentiment or said.urgency):
        return None
    text = Text(inquiry.subject, inquiry.body)
    return LabelledText(text, said.category, said.sentiment, said.urgency, source=SOURCE)
