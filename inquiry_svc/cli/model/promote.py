"""`inquiry-svc model promote MODEL`: judged against the champion and the limits, then put in charge or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from inquiry_svc.cli.configured import Configured, gets_configured, open_classifier
from inquiry_svc.cli.model.listing import told
from inquiry_svc.cli.model.person import person
from inquiry_svc.cli.model.taking_in import taken_in
from inquiry_svc.errors import ConfigurationError, PromotionRefused
from inquiry_svc.inquiries import AXES
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc.models.comparing import Answers, answers_of, figures_of
from inquiry_svc.models.limits import Figures, missed_by_candidate
from inquiry_svc.models.named import NamedModel
from inquiry_svc.models.registry import ALIASES, Alias
from inquiry_svc.settings import ModelsSettings


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--as", "alias", default="champion", show_default=True, type=click.Choice(ALIASES))
@click.option(
    "--judging",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Labelled JSON lines that no model has learnt from; may be given again. Instead of models.judging.",
)
@click.option("--why", default="", help="For the history.")
@click.option("--force", is_flag=True, help="Promote it whatever limits it misses; the history says so.")
@gets_configured
def promote(
    model: str,
    alias: Alias,
    files: tuple[Path, ...],
    why: str,
    force: bool,
    found: Configured,
) -> None:
    """Put a model in charge: an alias, the beginning of a digest, a model folder, or built-in.

    As the champion it answers; as the challenger it answers models.canary_share of the texts; as the shadow it answers
    nobody and is only watched. All but a shadow must keep the limits in [models], judged beside the champion. Running
    services follow within 2 s.
    """
    named = taken_in(found, found.names.find(model))
    judging = [*files] or [Path(each) for each in found.settings.models.judging]
    figures = Figures()
    if alias != "shadow" and (judging or not force):
        figures = _judged(found, named, judging, force=force)
    why = "; ".join(filter(None, [why, "forced" if force else ""]))
    change = found.registry.promote(named.reference, alias, who=person(), why=why, figures=figures.as_numbers())
    click.echo(told(change))


def _judged(found: Configured, candidate: NamedModel, judging: Sequence[Path], *, force: bool) -> Figures:
    """Its figures, shown. Raises `PromotionRefused` where it misses a limit, unless forced.

    None where it is forced in the place of a champion that can't be opened.
    """
    if not judging:
        raise ConfigurationError("there is nothing to judge it on; set models.judging, or name --judging FILE")
    limits, rows = found.settings.models, read_labelled(judging)
    of_candidate = asyncio.run(_answers(found, candidate, rows))
    try:
        of_champion = asyncio.run(_answers(found, found.names.find("champion"), rows))
    except ConfigurationError as error:
        if not force:
            raise
        click.echo(f"without figures, for there is no champion to compare it with: {error}")
        return Figures()
    figures = figures_of(of_candidate, of_champion, rows, max_p99_s=limits.max_p99_s)
    for line in _table(figures, limits, len(rows)):
        click.echo(line)
    missed = "; ".join(each.told for each in missed_by_candidate(figures, limits))
    if missed and not force:
        raise PromotionRefused(f"{candidate} is not promoted: {missed}; --force promotes it all the same")
    return figures


async def _answers(found: Configured, model: NamedModel, rows: Sequence[LabelledText]) -> Answers:
    async with open_classifier(found, model) as classifier:
        return await answers_of(classifier, rows)


def _table(figures: Figures, limits: ModelsSettings, rows: int) -> Iterator[str]:
    yield f"{f'{rows} rows':18}{'candidate':>10}{'champion':>10}  limit"
    for axis in AXES:
        right, champions = figures.right[axis].share, figures.champion_right[axis].share
        floor: float = getattr(limits, f"min_accuracy_{axis}")
        least = f"at least {floor:.1%}, and the champion's less {limits.max_accuracy_loss:.1%}"
        yield f"{axis:18}{right:10.1%}{champions:10.1%}  {least}"
    yield f"{'agreement':18}{figures.agreed.share:10.1%}{'':10}  at least {limits.min_agreement:.1%} of the categories"
    yield f"{f'over {limits.max_p99_s:g} s':18}{figures.slow.share:10.1%}{'':10}  at most 1.0% of the calls"
    yield f"{'errors':18}{figures.failed.share:10.1%}{'':10}  at most {limits.max_error_rate:.1%} of the texts"
