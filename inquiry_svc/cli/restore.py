"""`inquiry-svc restore FILE`: what a backup holds, put in the place of what the chosen store holds."""

from __future__ import annotations

from pathlib import Path

import click

from inquiry_svc.cli.chosen_store import chosen_store, in_figures
from inquiry_svc.cli.configured import Configured, gets_configured


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@gets_configured
def restore(source: Path, found: Configured) -> None:
    """Put the backup FILE in the place of what the chosen store holds, which is kept under another name.

    Refused while a service serves.
    """
    store = chosen_store(found)
    backups = store.backups
    restored, seconds = store.call(backups.restore, source)
    kept = f"what was there before is in {restored.kept}" if restored.kept else "nothing was there before"
    click.echo(f"{restored.path}: {in_figures(restored.contents)}; restored in {seconds:.2f} s; {kept}")
