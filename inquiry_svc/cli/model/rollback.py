"""`inquiry-svc model rollback`: the champion before is the champion again; a challenger or a shadow is taken down."""

from __future__ import annotations

import asyncio

import click

from inquiry_svc.cli.configured import Configured, gets_configured, open_classifier
from inquiry_svc.cli.model.listing import told
from inquiry_svc.cli.model.person import person
from inquiry_svc.models.registry import ALIASES, Alias, Reference


@click.command()
@click.argument("alias", default="champion", type=click.Choice(ALIASES))
@click.option("--why", default="", help="For the history.")
@gets_configured
def rollback(alias: Alias, why: str, found: Configured) -> None:
    """Go back to the champion before, or take the challenger or the shadow down. Services follow within 2 s."""
    former = found.registry.aliases().former_champions
    if alias == "champion" and former:
        asyncio.run(_try(found, former[-1]))
    click.echo(told(found.registry.roll_back(alias, who=person(), why=why)))


async def _try(found: Configured, model: Reference | None) -> None:
    """Raise unless it can be opened: a service would refuse it."""
    async with open_classifier(found, found.names.of(model)):
        pass
