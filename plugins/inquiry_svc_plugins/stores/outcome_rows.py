"""An outcome as rows, and back: equal to what was saved, to the last bit of a score and the microsecond of a time.

Both stores of SQL keep the same columns and a view `outcomes` over them; they differ in how they write a time. Runs no
SQL. An outcome that can't be written raises `TypeError`, `ValueError` or the like, never `StoreUnavailable`, so that
it fails alone.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias

from inquiry_svc.inquiries import (
    Feedback,
    IdempotencyKey,
    Inquiry,
    Label,
    Model,
    Outcome,
    Prediction,
    ReviewReason,
    Route,
    Verdict,
)
from inquiry_svc.review_queue import Claim, Review, ReviewQueue, Waiting

Row: TypeAlias = Sequence[Any]

# The standard library's JSON, not a faster one: it alone holds integers of any size, and refuses NaN.
to_json: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_from_json: Final = json.JSONDecoder().decode


@lru_cache(1024)
def _words_to_json(words: tuple[str, ...]) -> str:
    """Few differ: each is a reason or the name of a part."""
    return to_json(words)


@lru_cache(8)
def _doubles(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}d")


@dataclass(frozen=True, slots=True)
class OutcomeRows:
    """Rows of one store. A time without a zone is for `from_time` to refuse."""

    from_time: Callable[[datetime], Any]
    to_time: Callable[[Any], datetime]
    from_flag: Callable[[bool], Any] = bool
    from_bytes: Callable[[bytes], Any] = bytes
    nothing: Any = None
    """What is written where a new outcome has no value."""

    def inquiry(self, outcome: Outcome) -> Row:
        inquiry = outcome.inquiry
        return (
            inquiry.inquiry_id,
            self.from_time(inquiry.received_at),
            self.from_time(outcome.processed_at),
            inquiry.subject,
            inquiry.body,
            inquiry.sender_email,
            self.nothing if inquiry.sender_name is None else inquiry.sender_name,
            inquiry.source,
            to_json(dict(inquiry.metadata)) if inquiry.metadata else "{}",
        )

    def prediction(self, outcome: Outcome) -> tuple[Any, ...]:
        """But for the id and the time of receipt, which are the first two of an inquiry."""
        prediction, verdict, model = outcome.prediction, outcome.prediction.verdict, outcome.prediction.model
        return (
            verdict.category.label,
            verdict.category.confidence,
            verdict.sentiment.label,
            verdict.sentiment.confidence,
            verdict.urgency.label,
            verdict.urgency.confidence,
            self.from_bytes(_doubles(len(verdict.scores)).pack(*verdict.scores)),
            model.name,
            model.version,
            model.digest,
            self.from_flag(prediction.needs_review),
            _words_to_json(tuple(prediction.degraded)),
            verdict.evidence,
            _words_to_json(tuple(prediction.review_reasons)),
        )

    def routing_decision(self, outcome: Outcome) -> tuple[Any, ...]:
        """But for the id and the time of receipt, as the above."""
        route = outcome.route
        return (
            route.department,
            self.nothing if route.consultant is None else route.consultant,
            route.priority_score,
            self.from_flag(route.escalated),
            _words_to_json(tuple(route.reasons)),
            self.from_time(route.sla_due_at),
            self.nothing if outcome.resolved_at is None else self.from_time(outcome.resolved_at),
        )

    def idempotency_keys(self, outcomes: Sequence[Outcome]) -> list[Row]:
        """Of those outcomes that have one."""
        keys = ((outcome.inquiry.idempotency_key, outcome.inquiry.inquiry_id) for outcome in outcomes)
        return [(key.value, key.fingerprint, inquiry_id) for key, inquiry_id in keys if key is not None]

    def waiting(self, outcomes: Sequence[Outcome]) -> list[Row]:
        """Of those outcomes that wait for a review: the id, the turn, the time of receipt, the reasons."""
        return [
            (
                outcome.inquiry.inquiry_id,
                self.from_time(outcome.route.sla_due_at),
                self.from_time(outcome.inquiry.received_at),
                _words_to_json(tuple(outcome.prediction.review_reasons)),
            )
            for outcome in outcomes
            if outcome.prediction.needs_review
        ]

    def feedback(self, inquiry_id: str, feedback: Feedback) -> Row:
        return (
            inquiry_id,
            feedback.category,
            feedback.sentiment,
            feedback.urgency,
            feedback.reviewer,
            self.from_time(feedback.given_at),
        )

    def outcome(self, row: Row) -> Outcome:
        """From a row of the view `outcomes`."""
        return Outcome(
            inquiry=self._inquiry(row[:11]),
            prediction=_prediction([*row[11:23], *row[35:37]]),
            route=self._route(row[23:29]),
            processed_at=self.to_time(row[2]),
            feedback=self._feedback(row[30:35]),
            resolved_at=None if row[29] is None else self.to_time(row[29]),
        )

    def review(self, row: Row) -> Review:
        """From a row of the view `outcomes`, with the turn, the reviewer and the end of the claim after it."""
        *outcome, turn_at, reviewer, claimed_until = row
        claim = None if reviewer is None else Claim(reviewer, self.to_time(claimed_until))
        return Review(self.outcome(outcome), self.to_time(turn_at), claim)

    def review_queue(self, rows: Sequence[Row]) -> ReviewQueue:
        """From the reasons that occur together, how often they do, and the oldest time of receipt among those."""
        found = [(_from_json(reasons), Waiting(count, self.to_time(oldest))) for reasons, count, oldest in rows]
        by_reason: dict[ReviewReason, list[Waiting]] = {}
        for reasons, waiting in found:
            for reason in reasons:
                by_reason.setdefault(reason, []).append(waiting)
        everything = _together([waiting for _, waiting in found]) if found else None
        return ReviewQueue(
            everything.size if everything else 0,
            everything.oldest_received_at if everything else None,
            {reason: _together(waiting) for reason, waiting in by_reason.items()},
        )

    def _inquiry(self, columns: Row) -> Inquiry:
        (inquiry_id, received_at, _, subject, body, email, name, source, metadata, key, fingerprint) = columns
        return Inquiry(
            subject=subject,
            body=body,
            inquiry_id=inquiry_id,
            sender_email=email,
            received_at=self.to_time(received_at),
            sender_name=name,
            source=source,
            metadata=_from_json(metadata),
            idempotency_key=None if key is None else IdempotencyKey(key, fingerprint),
        )

    def _route(self, columns: Row) -> Route:
        department, consultant, priority_score, escalated, reasons, sla_due_at = columns
        return Route(
            department=department,
            consultant=consultant,
            priority_score=priority_score,
            escalated=bool(escalated),
            reasons=tuple(_from_json(reasons)),
            sla_due_at=self.to_time(sla_due_at),
        )

    def _feedback(self, columns: Row) -> Feedback | None:
        category, sentiment, urgency, reviewer, given_at = columns
        if given_at is None:
            return None
        return Feedback(category, sentiment, urgency, reviewer, self.to_time(given_at))


def _together(waiting: Sequence[Waiting]) -> Waiting:
    return Waiting(sum(each.size for each in waiting), min(each.oldest_received_at for each in waiting))


def _prediction(columns: Row) -> Prediction:
    *labels, scores, model_name, model_version, model_digest, needs_review, degraded, evidence, reasons = columns
    return Prediction(
        verdict=Verdict(
            Label(*labels[0:2]),
            Label(*labels[2:4]),
            Label(*labels[4:6]),
            _doubles(len(scores) // 8).unpack(scores),
            evidence,
        ),
        model=Model(model_name, model_version, model_digest),
        needs_review=bool(needs_review),
        degraded=tuple(_from_json(degraded)),
        review_reasons=tuple(_from_json(reasons)),
    )
