"""One line of an archive to one line of what the classifier says of it, or of why it says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET, UnsetType

from inquiry_svc.batching import isolate
from inquiry_svc.contracts import Classifier
from inquiry_svc.inquiries import Model, Prediction, Text, Verdict
from inquiry_svc.intake.bodies import TextIn
from inquiry_svc.intake.checking import NotValid, checked
from inquiry_svc.intake.strict_json import Fault, NotJson
from inquiry_svc.predicting import prediction_of
from inquiry_svc.reviewing import ReviewPolicy, own_thresholds
from inquiry_svc.scoring.archives import MAX_LINE_BYTES, Chunk
from inquiry_svc.web import schemas as out
from inquiry_svc.web.outgoing import json_line, prediction_out

_BATCH: Final = 64


class ArchivedIn(TextIn, kw_only=True, forbid_unknown_fields=False):
    """What is read of a line. Whatever else stands there, as in what the service takes in and gives, is passed over."""

    inquiry_id: str | None = None


class ScoredOut(out.Outgoing):
    file: str
    line: int
    inquiry_id: str | None
    category: out.CategoryOut
    sentiment: out.SentimentOut
    urgency: out.UrgencyOut
    needs_review: bool
    review_reasons: tuple[str, ...]
    degraded: tuple[str, ...]
    model: out.ModelOut


class NotScoredOut(out.Outgoing, omit_defaults=True):
    """In the place of a line that can't be scored."""

    file: str
    line: int
    inquiry_id: str | None
    error: str
    errors: list[out.FieldErrorOut] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Scored:
    """Of a chunk."""

    lines: bytes
    """JSON, one for each line of the chunk, in order."""
    not_scored: int
    """How many of them say why there is nothing."""


class Scorer:
    """The same chunk gives the same bytes wherever the same model is asked."""

    def __init__(self, classifier: Classifier, policy: ReviewPolicy) -> None:
        self._classifier = classifier
        self._policy = policy
        self._review_below = own_thresholds(classifier)
        self._turn = asyncio.Lock()
        """Held during a call: a classifier is promised one at a time."""

    @property
    def model(self) -> Model:
        return self._classifier.model

    async def score(self, chunk: Chunk) -> Scored:
        """A line for each. Raises `Unavailable` where the classifier is out of reach, as it says itself."""
        found = [_read(line) for line in chunk.lines]
        texts = [Text(each.subject, each.body) for each in found if isinstance(each, ArchivedIn)]
        async with self._turn:
            verdicts = iter(await self._classified(texts))
        answers: list[ScoredOut | NotScoredOut] = []
        for number, each in enumerate(found, start=chunk.first):
            verdict = next(verdicts) if isinstance(each, ArchivedIn) else None
            answers.append(self._answer(chunk.file, number, each, verdict))
        not_scored = sum(isinstance(answer, NotScoredOut) for answer in answers)
        return Scored(b"".join(map(json_line, answers)), not_scored)

    async def _classified(self, texts: Sequence[Text]) -> Sequence[Verdict | Exception]:
        results: list[Verdict | Exception] = []
        for start in range(0, len(texts), _BATCH):
            results += await isolate(self._classifier.classify, texts[start : start + _BATCH])
            await asyncio.sleep(0)  # whoever shares the loop, such as a cluster's heartbeat
        return results

    def _answer(
        self, file: str, number: int, read: ArchivedIn | _Unread, verdict: Verdict | Exception | None
    ) -> ScoredOut | NotScoredOut:
        if isinstance(read, _Unread):
            errors = [out.FieldErrorOut(field=fault.pointer, message=fault.message) for fault in read.faults]
            return NotScoredOut(file, number, None, read.error, errors or UNSET)
        if not isinstance(verdict, Verdict):
            return NotScoredOut(file, number, read.inquiry_id, f"the classifier raised {type(verdict).__name__}")
        prediction = prediction_of(verdict, self.model, self._policy, self._review_below)
        return _scored(file, number, read.inquiry_id, prediction)


async def scored_here(chunks: Iterable[Chunk], scorer: Scorer) -> AsyncGenerator[tuple[Chunk, Scored]]:
    """One chunk after the other, in this process."""
    for chunk in chunks:
        yield chunk, await scorer.score(chunk)


def _scored(file: str, number: int, inquiry_id: str | None, prediction: Prediction) -> ScoredOut:
    said = prediction_out(prediction, with_scores=False)
    return ScoredOut(
        file=file,
        line=number,
        inquiry_id=inquiry_id,
        category=said.category,
        sentiment=said.sentiment,
        urgency=said.urgency,
        needs_review=said.needs_review,
        review_reasons=said.review_reasons,
        degraded=said.degraded,
        model=said.model,
    )


@dataclass(frozen=True, slots=True)
class _Unread:
    error: str
    faults: Sequence[Fault] = ()


def _read(line: bytes | None) -> ArchivedIn | _Unread:
    if line is None:
        return _Unread(f"longer than {MAX_LINE_BYTES} bytes")
    try:
        return checked(line, ArchivedIn)
    except NotJson as error:
        return _Unread(f"not JSON: {error}")
    except NotValid as error:
        return _Unread(str(error), error.faults)
