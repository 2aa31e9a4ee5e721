"""What the FastAPI peers read and answer, declared with pydantic as its manual has it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from inquiry_svc.inquiries import Text, Verdict


class ClassifyIn(BaseModel):
    subject: str = Field(max_length=500)
    body: str = Field(min_length=1, max_length=10_000)

    def text(self) -> Text:
        return Text(self.subject, self.body)


class SubmitIn(ClassifyIn):
    sender_email: str = Field(max_length=320)


class LabelOut(BaseModel):
    label: str
    confidence: float


class VerdictOut(BaseModel):
    category: LabelOut
    sentiment: LabelOut
    urgency: LabelOut

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictOut:
        axes = (verdict.category, verdict.sentiment, verdict.urgency)
        category, sentiment, urgency = (LabelOut(label=each.label, confidence=each.confidence) for each in axes)
        return cls(category=category, sentiment=sentiment, urgency=urgency)


class SubmittedOut(VerdictOut):
    inquiry_id: str
    department: str
    priority_score: float
