"""`inquiry-svc model diff A B FILE...`: where two models say different things, in figures and by example."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from inquiry_svc.cli.configured import Configured, gets_configured, open_classifier
from inquiry_svc.cli.explained import printable
from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc.models.comparing import Answers, agreement, answers_of
from inquiry_svc.models.named import NamedModel

_EXCERPT = 60


@click.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--examples", default=5, show_default=True, help="Of each axis, at most.")
@gets_configured
def diff(one: str, other: str, files: tuple[Path, ...], examples: int, found: Configured) -> int:
    """Compare two models over JSON lines, whose labels may be null.

    A and B are each an alias, the beginning of a digest, a model folder, or built-in. Exit code 0: the same labels
    everywhere; 1: not; 2: they can't be compared.
    """
    rows = read_labelled(files)
    a, b = asyncio.run(_answers(found, [found.names.find(one), found.names.find(other)], rows))
    for name, answers in (("A", a), ("B", b)):
        failed = sum(verdict is None for verdict in answers.verdicts)
        click.echo(f"{name}  {answers.model.name} {answers.model.digest}" + (f", failed {failed}" if failed else ""))
    for axis in AXES:
        for line in _axis(axis, a, b, rows, examples):
            click.echo(line)
    return int(any(a.labels(axis) != b.labels(axis) for axis in AXES))


async def _answers(found: Configured, models: Sequence[NamedModel], rows: Sequence[LabelledText]) -> list[Answers]:
    answers = []
    for named in models:
        async with open_classifier(found, named) as classifier:
            answers.append(await answers_of(classifier, rows))
    return answers


def _axis(axis: str, a: Answers, b: Answers, rows: Sequence[LabelledText], examples: int) -> Iterator[str]:
    same = agreement(a, b, axis)
    yield ""
    yield f"{axis}: the same label for {same.count:.0f} of {same.of:.0f} ({same.share:.1%})"
    right = [answers.right(rows, axis) for answers in (a, b)]
    if right[0].of:
        yield f"  right of {right[0].of:.0f} known: A {right[0].share:.1%}, B {right[1].share:.1%}"
    pairs = list(zip(a.labels(axis), b.labels(axis), strict=True))
    for (given, others), count in Counter(pair for pair in pairs if pair[0] != pair[1]).most_common():
        yield f"  {count:5}  A {given or 'failed'}, B {others or 'failed'}"
    differing = [row for row, pair in enumerate(pairs) if pair[0] != pair[1]]
    for row in differing[:examples]:
        truth = rows[row].label(axis)
        text = " ".join(f"{rows[row].text.subject} {rows[row].text.body}".split())
        shown = printable(text if len(text) <= _EXCERPT else text[: _EXCERPT - 3] + "...")
        given, others = (label or "failed" for label in pairs[row])
        yield f"    {given} / {others}" + (f", right: {truth}" if truth else "") + f": {shown}"
