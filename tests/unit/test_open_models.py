"""Who answers a text, and until when a model must stay open."""

from __future__ import annotations

import asyncio
import random

import pytest

from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.inquiries import Text
from inquiry_svc.metrics import Metrics
from inquiry_svc.models.open_models import LineUp, OpenModel, OpenModels
from inquiry_svc.testing.providers import FunctionClassifier
from inquiry_svc.testing.samples import sample_inquiry

METRICS = Metrics(OWN_METRICS)
CHAMPION, CHALLENGER, SHADOW = (OpenModel(FunctionClassifier(digest=digest), METRICS) for digest in "123")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.5, 1.0])
def test_a_challenger_answers_its_share(share: float) -> None:
    line_up = LineUp(CHAMPION, CHALLENGER, SHADOW, canary_share=share)
    texts = [Text(f"Order {number}", f"Where is parcel {number * 7}?") for number in range(20_000)]
    answering = line_up.answering(texts)
    assert abs(sum(model is CHALLENGER for model in answering) / len(texts) - share) < 0.01
    assert SHADOW not in answering


def test_a_text_is_on_the_same_side_whoever_sends_it_and_whenever() -> None:
    texts = [Text(f"{number}", "\ud800 odd, and ordinary") for number in range(500)]
    first = LineUp(CHAMPION, CHALLENGER, canary_share=0.3)
    again = LineUp(CHAMPION, CHALLENGER, canary_share=0.3)
    shuffled = random.Random(1).sample(texts, len(texts))
    sides = dict(zip(shuffled, again.answering(shuffled), strict=True))
    assert [sides[text] for text in texts] == list(first.answering(texts))
    inquiries = [
        sample_inquiry(subject=text.subject, body=text.body, sender_email=f"{text.subject}@example.org")
        for text in texts
    ]
    assert first.answering(inquiries) == first.answering(texts)


def test_a_larger_share_takes_nobody_back() -> None:
    texts = [Text("", f"text {number}") for number in range(1000)]
    small, large = (LineUp(CHAMPION, CHALLENGER, canary_share=share).answering(texts) for share in (0.1, 0.4))
    assert all(after is CHALLENGER for before, after in zip(small, large, strict=True) if before is CHALLENGER)


async def test_a_line_up_is_unheld_when_the_last_has_let_go() -> None:
    models = OpenModels(LineUp(CHAMPION))
    old = models.line_up
    with models.held() as first:
        with models.held():
            models.line_up = LineUp(CHALLENGER)
            with models.held() as new:
                assert (first, new) == (old, models.line_up)
            waiting = asyncio.create_task(old.unheld())
            await asyncio.sleep(0)
            assert not waiting.done()
        await asyncio.sleep(0)
        assert not waiting.done()
    async with asyncio.timeout(30):
        await waiting
        await old.unheld()


async def test_a_holder_that_fails_or_is_cancelled_lets_go() -> None:
    models = OpenModels(LineUp(CHAMPION))

    async def hold() -> None:
        with models.held():
            await asyncio.Event().wait()

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0)
    holder.cancel()
    await asyncio.gather(holder, return_exceptions=True)
    async with asyncio.timeout(30):
        await models.line_up.unheld()
