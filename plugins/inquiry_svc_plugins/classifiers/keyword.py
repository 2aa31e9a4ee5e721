"""The fallback classifier, `keyword`: lists of words and phrases, counted.

It needs nothing but the standard library, reads any text, and whoever doubts an answer can check it with a finger on
the lists below. It is far less right than a trained model and its modest confidences say so: it is there for the time
in which that model fails.

The score of a label is its prior, multiplied by a weight for each different word or phrase of its list that the text
holds, as whole words in any case. The scores of an axis are then divided by their sum. So the margin between two labels
is the logarithm of the ratio of their priors, plus that of the weight for each word of the one, minus that for each of
the other; where more than `MAX_COUNTED` of a list are there, they share what so many count for. A text without a word
of any category is no evidence.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from inquiry_svc.contracts import Classifier, Host, NoSettings, Provider
from inquiry_svc.explanations import (
    AxisExplanation,
    Contest,
    Explanation,
    Span,
    Words,
    contest,
    contests,
    margin_between,
)
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import AXES, Model, Text, Verdict
from inquiry_svc.leaving_out import tried

VERSION: Final = "2"
WEIGHTS: Final[Mapping[str, float]] = {"category": 5.0, "sentiment": 2.0, "urgency": 4.0}
"""How much likelier one word makes its label: such that confidence comes close to accuracy on the corpus."""
MAX_COUNTED: Final = 3
"""Different words of one list; more of them say no more."""

KEYWORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "technical_support": (
        "access denied", "api", "app", "backup", "browser", "bug", "can't log in", "cannot log in", "connect",
        "connection", "crash", "crashed", "crashes", "down", "driver", "error", "error message", "firmware",
        "freezes", "frozen", "install", "installation", "log in", "login", "network", "not working", "offline",
        "outage", "password", "printer", "reboot", "reset", "restart", "router", "screen", "server",
        "software", "stopped working", "sync", "timeout", "update", "upload", "vpn", "wifi",
    ),
    "billing": (
        "amount", "bank", "bill", "billed", "billing", "card", "charge", "charged", "charged twice",
        "credit note", "debit", "deducted", "direct debit", "fee", "fees", "instalment", "invoice", "invoices",
        "money back", "overcharged", "paid", "pay", "payment", "payments", "receipt", "refund", "refunded",
        "reminder", "statement", "subscription", "tax", "transaction", "transfer", "vat",
    ),
    "sales": (
        "available", "brochure", "bulk", "buy", "buying", "catalogue", "demo", "discount", "discounts",
        "do you sell", "how much", "in stock", "interested in", "looking for", "offer", "order", "plan",
        "plans", "price", "prices", "pricing", "product range", "purchase", "quotation", "quote", "reseller",
        "trial", "upgrade", "wholesale",
    ),
    "hr": (
        "annual leave", "applicant", "application", "applied", "apply", "candidate", "career", "colleague",
        "contract of employment", "cv", "employee", "employees", "employer", "employment", "hiring", "holiday",
        "hr", "human resources", "internship", "interview", "job", "leave", "manager", "maternity", "overtime",
        "parental", "payroll", "payslip", "pension", "position", "recruiter", "resign", "salary", "shift",
        "sick", "sick note", "training", "vacancy", "vacation", "wages",
    ),
    "legal": (
        "agreement", "attorney", "breach", "claim", "clause", "compliance", "confidentiality", "consent",
        "contract", "copyright", "court", "data protection", "deletion", "erasure", "gdpr", "infringement",
        "lawsuit", "lawyer", "legal", "liability", "liable", "licence", "nda", "personal data", "privacy",
        "regulation", "rights", "solicitor", "subpoena", "sue", "terms", "trademark", "warranty",
    ),
    "product_feedback": (
        "could you add", "design", "disappointed", "easier", "easy to use", "fan", "feature",
        "feature request", "feedback", "idea", "improve", "improvement", "it would be nice", "love",
        "new version", "please add", "prefer", "quality", "recommend", "redesign", "review", "suggest",
        "suggestion", "the new", "would be great", "would love",
    ),
    "positive": (
        "amazing", "appreciate", "brilliant", "delighted", "excellent", "fantastic", "glad", "good",
        "grateful", "great", "happy", "helpful", "impressed", "kind", "love", "lovely", "many thanks", "nice",
        "perfect", "pleased", "pleasure", "recommend", "superb", "thank you so much", "thanks so much",
        "well done", "wonderful",
    ),
    "neutral": (
        "can i", "can you", "could you", "do you", "how do i", "how much", "i would like", "is it possible",
        "kindly", "please", "please confirm", "please let me know", "what is", "when", "where", "which",
    ),
    "negative": (
        "angry", "annoyed", "annoying", "awful", "bad", "broken", "complaint", "disappointed", "disappointing",
        "error", "fail", "failed", "frustrated", "frustrating", "horrible", "ignored", "mistake", "never",
        "no one", "nobody", "not acceptable", "not working", "poor", "problem", "ridiculous", "rude",
        "still no", "terrible", "twice", "unacceptable", "unfair", "unhappy", "upset", "useless", "waste",
        "worst", "wrong",
    ),
    "low": (
        "at your convenience", "curious", "feedback", "fyi", "idea", "in the future", "just wanted",
        "no hurry", "no rush", "not urgent", "some day", "suggestion", "thank you", "thanks",
        "when you have time", "whenever", "wondering",
    ),
    "medium": (
        "could you", "how do i", "let me know", "please", "question", "this month", "this week", "would like",
    ),
    "high": (
        "as soon as possible", "asap", "by friday", "by monday", "by tomorrow", "deadline", "escalate",
        "important", "locked", "overdue", "quickly", "soon", "still waiting", "this afternoon", "today",
        "tomorrow", "urgent", "urgently",
    ),
    "critical": (
        "at once", "breach", "court", "critical", "danger", "dangerous", "emergency", "entire", "everyone",
        "fire", "halt", "immediate", "immediately", "injured", "nobody can", "outage", "police", "right now",
        "safety", "smoke", "standstill", "stolen", "whole company", "within the hour",
    ),
}  # fmt: skip
"""For each label its words and phrases, in lower case."""

PRIORS: Final[Mapping[str, float]] = {
    **dict.fromkeys(AXES["category"], 1.0),
    "positive": 1.0,
    "neutral": 2.0,
    "negative": 1.5,
    "low": 1.0,
    "medium": 2.0,
    "high": 1.2,
    "critical": 0.5,
}

_MAX_UNBROKEN_CHARACTERS: Final = 10_000
"""Read in about 3 ms; then others get their turn on the event loop."""


class KeywordClassifier:
    def __init__(self) -> None:
        words = {word for listed in KEYWORDS.values() for word in listed}
        # One pass over the text for each word of it; the look-ahead lets phrases overlap. Longer ones are tried first.
        self._labels = {word: [label for label in KEYWORDS if word in KEYWORDS[label]] for word in words}
        self._pattern = re.compile(
            r"\b(?=(" + "|".join(map(re.escape, sorted(words, key=lambda word: (-len(word), word)))) + r")\b)"
        )
        tables = json.dumps([VERSION, WEIGHTS, MAX_COUNTED, KEYWORDS, PRIORS, dict(AXES)]).encode()
        self._model = Model("keyword", VERSION, hashlib.blake2b(tables, digest_size=16).hexdigest())

    @property
    def model(self) -> Model:
        return self._model

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        verdicts = []
        unbroken = 0
        for text in texts:
            verdicts.append(self._read(text))
            unbroken += len(text.subject) + len(text.body)
            if unbroken > _MAX_UNBROKEN_CHARACTERS:
                await asyncio.sleep(0)
                unbroken = 0
        return verdicts

    async def explain(self, text: Text) -> Explanation:
        return await asyncio.to_thread(self._explain, text)

    async def weigh(self, text: Text, contests: Mapping[str, Contest]) -> Mapping[str, AxisExplanation]:
        return await asyncio.to_thread(self._weigh, text, contests)

    async def judge(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        return await asyncio.to_thread(self._judge, texts)

    def _read(self, text: Text) -> Verdict:
        counts = self._count(set(self._pattern.findall(_lowered(text))))
        scores: list[float] = []
        for axis, labels in AXES.items():
            weights = [PRIORS[label] * WEIGHTS[axis] ** min(counts[label], MAX_COUNTED) for label in labels]
            scores += [weight / sum(weights) for weight in weights]
        return Verdict.from_scores(scores, evidence=1.0 if any(map(counts.get, AXES["category"])) else 0.0)

    def _count(self, words: Iterable[str]) -> dict[str, int]:
        """How many of them each list holds."""
        counts = dict.fromkeys(KEYWORDS, 0)
        for word in words:
            for label in self._labels[word]:
                counts[label] += 1
        return counts

    def _explain(self, text: Text) -> Explanation:
        return Explanation(self._model, tried(text, self._weigh(text, contests(self._read(text))), self._judge))

    def _judge(self, texts: Sequence[Text]) -> list[Verdict]:
        return list(map(self._read, texts))

    def _weigh(self, text: Text, between: Mapping[str, Contest]) -> dict[str, AxisExplanation]:
        verdict, places = self._read(text), self._places(text)
        return {axis: self._contest(axis, labels, verdict, text, places) for axis, labels in between.items()}

    def _contest(
        self, axis: str, between: Contest, verdict: Verdict, text: Text, places: Mapping[str, tuple[Span, ...]]
    ) -> AxisExplanation:
        label, runner_up = contest(verdict, axis, between)
        counts = self._count(places)
        words = []
        for word, spans in places.items():
            weight = 0.0
            for name, sign in ((label.label, 1), (runner_up.label, -1)):
                if name in self._labels[word]:
                    counted = min(counts[name], MAX_COUNTED) / counts[name]
                    weight += sign * counted * math.log(WEIGHTS[axis])
            if weight:
                written = getattr(text, spans[0].field)[spans[0].start : spans[0].end]
                words.append(Words(written, weight, spans))
        return AxisExplanation(
            label,
            runner_up,
            margin=margin_between(verdict, axis, label.label, runner_up.label),
            base=math.log(PRIORS[label.label] / PRIORS[runner_up.label]),
            words=tuple(sorted(words, key=lambda each: -abs(each.weight))),
            surface=(),
        )

    def _places(self, text: Text) -> dict[str, tuple[Span, ...]]:
        """Where each word of the lists stands, in the order of the text."""
        lowered = _lowered(text)
        # One capital, the Turkish I with a dot, becomes two characters in lower case.
        origins = [at for at, character in enumerate(f"{text.subject}\n{text.body}") for _ in character.lower()]
        in_body = len(text.subject) + 1
        places: dict[str, list[Span]] = {}
        for match in self._pattern.finditer(lowered):
            start, end = origins[match.start(1)], origins[match.end(1) - 1] + 1
            span = Span("subject", start, end) if end < in_body else Span("body", start - in_body, end - in_body)
            places.setdefault(match[1], []).append(span)
        return {word: tuple(spans) for word, spans in places.items()}


def _lowered(text: Text) -> str:
    return f"{text.subject}\n{text.body}".lower().replace("\u2019", "'")


@asynccontextmanager
async def open_keyword(settings: NoSettings, host: Host) -> AsyncIterator[Classifier]:
    yield KeywordClassifier()


@hookimpl
def register_classifiers() -> Iterable[Provider[Classifier]]:
    return [Provider("keyword", open_keyword)]
