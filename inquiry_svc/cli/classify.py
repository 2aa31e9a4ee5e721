"""`inquiry-svc classify`: what does the classifier say to these texts?"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TypeAlias

import click

from inquiry_svc.cli.configured import Configured, gets_configured, model_option, open_classifier
from inquiry_svc.cli.explained import lines_of
from inquiry_svc.contracts import Classifier, Explainer
from inquiry_svc.explanations import Explanation
from inquiry_svc.inquiries import Prediction, Text
from inquiry_svc.predicting import prediction_of
from inquiry_svc.reviewing import ReviewPolicy, own_thresholds

_BATCH = 64

_Answer: TypeAlias = tuple[Text, Prediction, Explanation | None]


@click.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT... or -")
@click.option("--subject", default="", help="The subject of each TEXT; none by default.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each text, as the HTTP interface gives it.")
@click.option("--explain", is_flag=True, help="Say why: the words for and against each label, in colour on a terminal.")
@model_option
@gets_configured
def classify(texts: tuple[str, ...], subject: str, as_json: bool, explain: bool, model: str, found: Configured) -> None:
    """Classify each TEXT, or each line of standard input."""
    given = [line.strip() for line in (sys.stdin if texts == ("-",) else texts)]
    wanted = [Text(subject, text) for text in given if text]
    if not wanted:
        raise click.UsageError("there is no text to classify; give one, or lines on standard input with -")
    for text, prediction, explanation in asyncio.run(_answers(found, model, wanted, explain=explain)):
        click.echo(_as_json(text, prediction, explanation) if as_json else _as_line(prediction))
        if explanation is not None and not as_json:
            for line in lines_of(text, explanation, in_colour=sys.stdout.isatty()):
                click.echo(line)


async def _answers(found: Configured, model: str, texts: Sequence[Text], *, explain: bool) -> list[_Answer]:
    async with open_classifier(found, found.names.find(model)) as classifier:
        verdicts = [
            verdict
            for start in range(0, len(texts), _BATCH)
            for verdict in await classifier.classify(texts[start : start + _BATCH])
        ]
        policy, review_below = ReviewPolicy(found.settings.review), own_thresholds(classifier)
        predictions = [prediction_of(verdict, classifier.model, policy, review_below) for verdict in verdicts]
        explanations = [await _explanation(classifier, text) if explain else None for text in texts]
        return list(zip(texts, predictions, explanations, strict=True))


async def _explanation(classifier: Classifier, text: Text) -> Explanation:
    if not isinstance(classifier, Explainer):
        name = classifier.model.name
        raise click.UsageError(f"[classifier] provider {name!r} can't say why; leave --explain out or choose another")
    return await classifier.explain(text)


def _as_json(text: Text, prediction: Prediction, explanation: Explanation | None) -> str:
    from inquiry_svc.web.explained import explanation_out
    from inquiry_svc.web.outgoing import json_line, prediction_out

    answer = prediction_out(prediction, with_scores=True)
    if explanation is not None:
        answer.explanation = explanation_out(text, explanation)
    return json_line(answer).decode().rstrip()


def _as_line(prediction: Prediction) -> str:
    verdict = prediction.verdict
    labels = (verdict.category, verdict.sentiment, verdict.urgency)
    review = f"  needs review: {', '.join(prediction.review_reasons)}" if prediction.needs_review else ""
    return "  ".join(map(str, labels)) + review
