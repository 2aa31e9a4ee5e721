"""Who is judged: classifiers by their names, opened as the service opens them, and parts of the shipped one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import click

from benchmarks.accuracy.ablations import Answer, linear_alone, trees_alone
from inquiry_svc.cli.configured import configured, open_classifier
from inquiry_svc.errors import ConfigurationError
from inquiry_svc.inquiries import Text, Verdict
from inquiry_svc.labelled import LabelledText
from inquiry_svc.models.named import NamedModel
from inquiry_svc.reviewing import own_thresholds

SHIPPED: Final = "shipped"
CLASSIFIERS: Final[Mapping[str, str]] = {
    SHIPPED: "xgboost",
    "keyword": "keyword",
    "MiniLM": "minilm",
}
_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Judged:
    """What one system said of each row."""

    name: str
    verdicts: Sequence[Verdict]
    us_per_text: float
    """Processor time of all threads, in batches of 64, over the mails."""
    review_below: Mapping[str, float] = field(default_factory=dict)
    model: str = ""


def judged(
    training: Sequence[LabelledText], mails: Sequence[Text], others: Sequence[Text], *, ablations: bool
) -> Iterator[Judged]:
    """Each system in turn on mails and then on others; a classifier whose extra is not installed is left out."""
    for name, provider in CLASSIFIERS.items():
        try:
            yield asyncio.run(_by_classifier(name, provider, mails, others))
        except ConfigurationError as error:
            click.echo(f"left out: {error}", err=True)
        if ablations and name == SHIPPED:
            for part, train in {"linear alone": linear_alone, "XGBoost alone": trees_alone}.items():
                click.echo(f"training {part}", err=True)
                yield _by_part(part, train(training), mails, others)


async def _by_classifier(name: str, provider: str, mails: Sequence[Text], others: Sequence[Text]) -> Judged:
    found = configured()
    async with open_classifier(found, NamedModel(provider)) as classifier:
        await classifier.classify(mails[:1])
        verdicts: list[Verdict] = []
        began = time.process_time()
        for batch in _batches(mails):
            verdicts += await classifier.classify(batch)
        us_per_text = (time.process_time() - began) / len(mails) * 1e6
        for batch in _batches(others):
            verdicts += await classifier.classify(batch)
        return Judged(name, verdicts, us_per_text, own_thresholds(classifier), classifier.model.digest)


def _by_part(name: str, answer: Answer, mails: Sequence[Text], others: Sequence[Text]) -> Judged:
    answer(mails[:1])
    began = time.process_time()
    verdicts = [verdict for batch in _batches(mails) for verdict in answer(batch)]
    us_per_text = (time.process_time() - began) / len(mails) * 1e6
    verdicts += [verdict for batch in _batches(others) for verdict in answer(batch)]
    return Judged(name, verdicts, us_per_text)


def _batches(texts: Sequence[Text]) -> Iterator[Sequence[Text]]:
    for first in range(0, len(texts), _BATCH):
        yield texts[first : first + _BATCH]
