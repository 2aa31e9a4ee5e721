"""Providers that misbehave by seeded dice before and after whatever they do. What they say when they do is known."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Final, Literal, TypeAlias, get_args
from zlib import crc32

from inquiry_svc.errors import StoreUnavailable, Unavailable
from inquiry_svc.inquiries import CATEGORIES, Inquiry, Model, Outcome, Prediction, Route, Text, Verdict
from inquiry_svc.notices import Notice
from inquiry_svc.testing.samples import sample_verdict
from inquiry_svc_plugins.stores.memory import MemoryStore

Provider: TypeAlias = Literal["cache", "champion", "fallback", "router", "store"]
PROVIDERS: Final[tuple[Provider, ...]] = get_args(Provider)

UNREADABLE: Final = "no classifier can read this"
UNWRITABLE: Final = "no store can write this"
_LATE_S: Final = (0.001, 0.02, 0.06, 0.2, 0.35, 0.45, 0.9)
"""On both sides of each time limit."""


class Fate:
    """Decides what befalls whom, and writes it down. In each life other providers are in trouble of other kinds."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.history: list[str] = []
        self.broken: list[str] = []
        """Promises to a provider that were not kept."""
        kinds = ("turns", "late", "hangs", "fails", "is cancelled", "is away", "talks nonsense")
        self.kinds = self.dice.sample(kinds, self.dice.choice((1, 1, 2, 4, len(kinds))))
        self.trouble = {
            provider: self.dice.choice((0.02, 0.2, 0.7, 1.0)) for provider in PROVIDERS if self.dice.random() < 0.4
        }
        """How likely something befalls a call, for those that are in trouble at all."""
        self.trouble_was = self.trouble.keys() | set()

    def note(self, what: str) -> None:
        self.history.append(f"{asyncio.get_running_loop().time() - 1000:.4f} {what}")

    def befalls(self, provider: Provider) -> str:
        """What it is this time; mostly nothing."""
        if self.dice.random() >= self.trouble.get(provider, 0.0):
            return ""
        kind = self.dice.choice(self.kinds)
        self.note(f"{provider} {kind}")
        return kind

    async def meet(self, provider: Provider) -> None:
        """Be held up, or raise."""
        match self.befalls(provider):
            case "turns":
                for _ in range(self.dice.randint(1, 3)):
                    await asyncio.sleep(0)
            case "late":
                await asyncio.sleep(self.dice.choice(_LATE_S))
            case "hangs":
                await asyncio.Event().wait()
            case "fails":
                raise ConnectionResetError
            case "is cancelled":
                raise asyncio.CancelledError
            case "is away":
                raise StoreUnavailable("away") if provider == "store" else Unavailable("away")

    def distorted(self, provider: Provider, answers: Sequence[Any], nonsense: Sequence[Any]) -> Sequence[Any]:
        """Too few, too many, or some that mean nothing, where it talks nonsense."""
        if self.befalls(provider) != "talks nonsense":
            return answers
        wrong = [each if self.dice.random() < 0.5 else self.dice.choice(nonsense) for each in answers]
        return self.dice.choice((wrong, wrong, answers[:-1], [*answers, answers[0]]))


@cache
def verdict_of(model: str, body: str) -> Verdict:
    """What this model says of this text, whenever it is asked."""
    return sample_verdict(CATEGORIES[crc32(f"{model}{body}".encode()) % len(CATEGORIES)])


def route_of(inquiry: Inquiry, prediction: Prediction) -> Route:
    consultant = f"who reads {inquiry.body}"
    reasons = (prediction.verdict.category.label, prediction.model.name)
    return Route("finance", consultant, 50.0, False, reasons, inquiry.received_at + timedelta(hours=4))


class FatedCache:
    def __init__(self, fate: Fate) -> None:
        self._fate = fate
        self._values: dict[bytes, bytes] = {}

    async def get_many(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        await self._fate.meet("cache")
        foreign = [None, b"", b"foreign", *self._values.values()]
        return self._fate.distorted("cache", [self._values.get(key) for key in keys], foreign)

    async def put_many(self, values: Mapping[bytes, bytes]) -> None:
        await self._fate.meet("cache")
        self._values.update(values)
        await self._fate.meet("cache")

    async def check(self) -> None:
        """Nobody asks."""


class FatedClassifier:
    def __init__(self, fate: Fate, role: Literal["champion", "fallback"]) -> None:
        self.model = Model(role, "1", digest=role * 4)
        self._fate = fate
        self._role: Literal["champion", "fallback"] = role
        self._asked = 0

    async def classify(self, texts: Sequence[Text]) -> Sequence[Verdict]:
        self._asked += 1
        if self._asked > 1:
            self._fate.broken.append(f"the {self._role} is asked by two at once")
        try:
            await self._fate.meet(self._role)
            if any(text.body.startswith(UNREADABLE) for text in texts):
                raise ValueError(UNREADABLE)
            verdicts = [verdict_of(self._role, text.body) for text in texts]
            return self._fate.distorted(self._role, verdicts, [None, Verdict.from_scores([float("nan")] * 13)])
        finally:
            self._asked -= 1


class FatedRouter:
    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    async def route(
        self, inquiries: Sequence[Inquiry], predictions: Sequence[Prediction], open_inquiries: Mapping[str, int]
    ) -> Sequence[Route]:
        await self._fate.meet("router")
        return self._fate.distorted("router", [*map(route_of, inquiries, predictions)], [None, float("nan")])


class FatedStore(MemoryStore):
    """It may fail once it has saved; and save once nobody waits for it any more, as a thread does that is left."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate
        self.left_behind: list[Awaitable[object]] = []

    async def save(self, outcomes: Sequence[Outcome], notices: Sequence[Notice] = ()) -> Sequence[Outcome]:
        try:
            await self._fate.meet("store")
            if any(outcome.inquiry.body.startswith(UNWRITABLE) for outcome in outcomes):
                raise ValueError(UNWRITABLE)
        except asyncio.CancelledError:
            if self._fate.dice.random() < 0.5:
                self.left_behind.append(asyncio.create_task(self._save_late(outcomes, notices)))
            raise
        stored = await super().save(outcomes, notices)
        try:
            await self._fate.meet("store")
        except ConnectionResetError as error:
            raise StoreUnavailable("nobody knows") from error
        return stored

    async def _save_late(self, outcomes: Sequence[Outcome], notices: Sequence[Notice]) -> None:
        await asyncio.sleep(self._fate.dice.choice(_LATE_S))
        if not any(outcome.inquiry.body.startswith(UNWRITABLE) for outcome in outcomes):
            self._fate.note(f"{len(outcomes)} are stored after all")
            await super().save(outcomes, notices)
