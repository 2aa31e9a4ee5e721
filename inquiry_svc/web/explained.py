"""Explanations as the types of `schemas`, as `outgoing` has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from inquiry_svc.explanations import AxisExplanation, Explanation, Flip, Opinion, Span
from inquiry_svc.inquiries import Outcome, Text
from inquiry_svc.web import schemas as out

MAX_WORDS: Final = 50
"""Of each axis; a mail has some 40 different words, 10,000 characters a thousand."""


def explanation_out(text: Text, explanation: Explanation) -> out.ExplanationOut:
    model: Any = explanation.model
    return out.ExplanationOut(
        model=model,
        subject=_sendable(text.subject),
        body=_sendable(text.body),
        **{axis: _axis(explained.strongest(MAX_WORDS)) for axis, explained in explanation.axes.items()},
    )


def inquiry_explanation_out(outcome: Outcome, explanation: Explanation) -> out.InquiryExplanationOut:
    prediction = outcome.prediction
    verdict: Any = prediction.verdict
    model: Any = prediction.model
    route: Any = outcome.route
    return out.InquiryExplanationOut(
        inquiry_id=outcome.inquiry.inquiry_id,
        category=verdict.category,
        sentiment=verdict.sentiment,
        urgency=verdict.urgency,
        needs_review=prediction.needs_review,
        review_reasons=prediction.review_reasons,
        degraded=prediction.degraded,
        model=model,
        routing=route,
        explained_by_same_model=explanation.model == prediction.model,
        explanation=explanation_out(outcome.inquiry, explanation),
    )


def _axis(explained: AxisExplanation) -> out.AxisExplanationOut:
    return out.AxisExplanationOut(
        label=explained.label.label,
        confidence=explained.label.confidence,
        runner_up=explained.runner_up.label,
        runner_up_confidence=explained.runner_up.confidence,
        margin=explained.margin,
        base=explained.base,
        words=tuple(
            out.WordsOut(text=_sendable(each.text), weight=each.weight, alone=each.alone, spans=_spans(each.spans))
            for each in explained.words
        ),
        surface=tuple(
            out.SurfaceFeatureOut(name=each.name, value=each.value, weight=each.weight) for each in explained.surface
        ),
        rest=explained.rest,
        flip=None if explained.flip is None else _flip(explained.flip),
        opinions=tuple(map(_opinion, explained.opinions)),
    )


def _opinion(opinion: Opinion) -> out.OpinionOut:
    model: Any = opinion.model
    return out.OpinionOut(
        model=model, label=opinion.label.label, confidence=opinion.label.confidence, weight=opinion.weight
    )


def _flip(flip: Flip) -> out.FlipOut:
    return out.FlipOut(
        left_out=tuple(map(_sendable, flip.left_out)),
        spans=_spans(flip.spans),
        label=flip.label.label,
        confidence=flip.label.confidence,
    )


def _spans(spans: Iterable[Span]) -> tuple[out.SpanOut, ...]:
    return tuple(out.SpanOut(field=span.field, start=span.start, end=span.end) for span in spans)


def _sendable(text: str) -> str:
    """With a question mark for each half of an emoji, which JSON in UTF-8 can't hold; the places stay the same."""
    return text.encode("utf-8", "replace").decode()
