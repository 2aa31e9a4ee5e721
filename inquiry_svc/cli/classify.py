"""`inquiry-svc classify`: what does the classifier say to these texts?"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from inquiry_svc.cli.configured import Configured, config_option, configured, open_classifier
from inquiry_svc.inquiries import Prediction, Text
from inquiry_svc.predicting import prediction_of

_BATCH = 64


@click.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT... or -")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each text, as the HTTP interface gives it.")
@config_option
def classify(texts: tuple[str, ...], as_json: bool, file: Path | None) -> None:
    """Classify each TEXT, or each line of standard input."""
    given = [line.strip() for line in (sys.stdin if texts == ("-",) else texts)]
    wanted = [Text("", text) for text in given if text]
    if not wanted:
        raise click.UsageError("there is no text to classify; give one, or lines on standard input with -")
    for prediction in asyncio.run(_predictions(configured(file), wanted)):
        click.echo(_as_json(prediction) if as_json else _as_line(prediction))


async def _predictions(found: Configured, texts: Sequence[Text]) -> Sequence[Prediction]:
    async with open_classifier(found) as classifier:
        verdicts = [
            verdict
            for start in range(0, len(texts), _BATCH)
            for verdict in await classifier.classify(texts[start : start + _BATCH])
        ]
        below = found.settings.review.below_confidence
        return [prediction_of(verdict, classifier.model, review_below=below) for verdict in verdicts]


def _as_json(prediction: Prediction) -> str:
    from inquiry_svc.web.outgoing import json_line, prediction_out

    return json_line(prediction_out(prediction, with_scores=True)).decode().rstrip()


def _as_line(prediction: Prediction) -> str:
    verdict = prediction.verdict
    labels = (verdict.category, verdict.sentiment, verdict.urgency)
    review = "  needs review" if prediction.needs_review else ""
    return "  ".join(f"{label.label} {label.confidence:.2f}" for label in labels) + review
