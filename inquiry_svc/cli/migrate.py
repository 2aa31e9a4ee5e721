"""`inquiry-svc migrate`: the chosen store's schema, brought to the one of this release before anything is started."""

from __future__ import annotations

import click

from inquiry_svc.cli.chosen_store import chosen_store
from inquiry_svc.cli.configured import Configured, gets_configured
from inquiry_svc.errors import ConfigurationError


@click.command()
@gets_configured
def migrate(found: Configured) -> None:
    """Bring the chosen store to the schema of this release. Done already: changes nothing."""
    store = chosen_store(found)
    if store.upkeep.migrate is None:
        raise ConfigurationError(f"store {store.name!r} has no schema: there is nothing to migrate")
    applied, seconds = store.call(store.upkeep.migrate)
    what = f"applied migration {', '.join(map(str, applied))}" if applied else "no migration was due"
    click.echo(f"store {store.name!r}: {what}; {seconds:.2f} s")
