"""`inquiry-svc restore FILE`: what a backup holds, put in the place of what the chosen store holds."""

from __future__ import annotations

from pathlib import Path

import click

from inquiry_svc.cli.chosen_store import chosen_store, data_dir_option, in_figures
from inquiry_svc.cli.configured import config_option


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@data_dir_option
@config_option
def restore(source: Path, data_dir: str | None, file: Path | None) -> None:
    """Put the backup FILE in the place of what the chosen store holds, which is kept under another name.

    Refused while a service serves.
    """
    store = chosen_store(file, data_dir)
    backups = store.backups
    restored, seconds = store.call(backups.restore, source)
    kept = f"what was there before is in {restored.kept}" if restored.kept else "nothing was there before"
    click.echo(f"{restored.path}: {in_figures(restored.contents)}; restored in {seconds:.2f} s; {kept}")
