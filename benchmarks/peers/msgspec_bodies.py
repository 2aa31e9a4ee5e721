"""What the Starlette and Litestar peers read and answer, declared with msgspec."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from inquiry_svc.inquiries import Label, Text, Verdict


class ClassifyIn(Struct):
    subject: Annotated[str, Meta(max_length=500)]
    body: Annotated[str, Meta(min_length=1, max_length=10_000)]

    def text(self) -> Text:
        return Text(self.subject, self.body)


class VerdictOut(Struct):
    category: Label
    sentiment: Label
    urgency: Label

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictOut:
        return cls(verdict.category, verdict.sentiment, verdict.urgency)
