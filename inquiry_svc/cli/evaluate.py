"""`inquiry-svc evaluate FILE...`: how right a model is on labelled rows, and how honest its confidence."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from inquiry_svc.cli.configured import Configured, gets_configured, model_option, open_classifier
from inquiry_svc.evaluation import AxisFigures, Evaluation, review_thresholds
from inquiry_svc.evaluation import evaluate as evaluated
from inquiry_svc.inquiries import AXES, CATEGORIES
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc.reviewing import ReviewPolicy


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--source", help="Only the rows of this source, such as an author that the model has not seen.")
@click.option(
    "--review-accuracy",
    metavar="SHARE",
    type=click.FloatRange(0, 1),
    help="Find the review thresholds that leave so many right, such as 0.97, and print them as configuration.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object.")
@model_option
@gets_configured
def evaluate(
    files: tuple[Path, ...],
    source: str | None,
    review_accuracy: float | None,
    as_json: bool,
    model: str,
    found: Configured,
) -> None:
    """Judge a model on JSON lines with the right labels.

    Judge on rows by authors whom the model has not seen: on those that it learnt from, any model looks right.
    """
    rows = [row for row in read_labelled(files) if source in (None, row.source)]
    if not rows:
        raise click.UsageError(f"no row has the source {source!r}; leave --source out to see all rows")
    evaluation = asyncio.run(_evaluate(found, model, rows, quiet=as_json))
    if review_accuracy is not None:
        click.echo("\n".join(_thresholds(rows, evaluation, review_accuracy)))
    else:
        click.echo(json.dumps(evaluation.as_json()) if as_json else "\n".join(_table(evaluation)))


async def _evaluate(found: Configured, model: str, rows: list[LabelledText], *, quiet: bool) -> Evaluation:
    async with open_classifier(found, found.names.find(model)) as classifier:
        hidden = quiet or not sys.stderr.isatty()
        with click.progressbar(length=len(rows), label="Classifying", hidden=hidden, file=sys.stderr) as bar:
            return await evaluated(
                classifier,
                rows,
                policy=ReviewPolicy(found.settings.review),
                on_progress=bar.update,
            )


def _table(evaluation: Evaluation) -> Iterator[str]:
    yield f"{'':10}{'rows':>7}{'accuracy':>10}{'macro F1':>10}{'mean conf.':>12}{'ECE':>8}{'review':>8}{'the rest':>10}"
    for axis, figures in evaluation.axes.items():
        yield f"{axis:10}{figures.rows:7}" + "".join(
            f"{'-' if value is None else format(value, '.3f'):>{width}}"
            for value, width in (
                (figures.accuracy, 10),
                (figures.macro_f1, 10),
                (figures.mean_confidence, 12),
                (figures.ece, 8),
                (figures.needs_review_share, 8),
                (figures.accuracy_without_review, 10),
            )
        )
    if evaluation.microseconds_per_document is not None:
        yield f"{evaluation.microseconds_per_document:.0f} microseconds a document"
    for axis, figures in evaluation.axes.items():
        if figures.rows:
            yield ""
            yield from _confusion(axis, figures)


def _thresholds(rows: list[LabelledText], evaluation: Evaluation, accuracy: float) -> Iterator[str]:
    judged = [(row, each.category) for row, each in zip(rows, evaluation.verdicts, strict=True) if row.category]
    truths = [row.category or "" for row, _ in judged]
    given = [(said.label, said.confidence) for _, said in judged]
    below = review_thresholds(CATEGORIES, truths, given, accuracy)
    kept = [row.category == said.label for row, said in judged if said.confidence >= below[said.label]]
    yield f"# {len(kept)} of {len(judged)} rows without review, {sum(kept)} of them right"
    yield "[review.below_confidence]"
    for category, confidence in below.items():
        yield f"{category} = {confidence:.2f}"


def _confusion(axis: str, figures: AxisFigures) -> Iterator[str]:
    labels = AXES[axis]
    width = max(map(len, labels)) + 2
    yield f"{axis}: right label by row, given label by column"
    yield " " * width + "".join(label.rjust(width) for label in labels)
    for label, row in zip(labels, figures.confusion, strict=True):
        yield label.ljust(width) + "".join(str(count).rjust(width) for count in row)
