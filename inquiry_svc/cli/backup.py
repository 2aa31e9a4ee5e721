"""`inquiry-svc backup FILE`: all that the chosen store holds, in one file, while it serves; `--verify` reads one."""

from __future__ import annotations

from pathlib import Path

import click

from inquiry_svc.cli.chosen_store import chosen_store, in_figures
from inquiry_svc.cli.configured import Configured, gets_configured
from inquiry_svc.errors import ConfigurationError


@click.command()
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option("--verify", is_flag=True, help="Write nothing: read all of FILE, and show what it holds.")
@gets_configured
def backup(target: Path, force: bool, verify: bool, found: Configured) -> None:
    """Write a backup of the chosen store to FILE, whole or not at all, while the service serves.

    Shows the rows of each table and a digest of all of them, which `--verify` and `inquiry-svc restore` show again.
    """
    store = chosen_store(found)
    backups = store.backups
    if force and verify:
        raise click.UsageError("--force and --verify exclude each other: --verify writes nothing")
    if not (force or verify) and target.exists():
        raise ConfigurationError(f"{target} exists: name another file, or replace it with --force")
    contents, seconds = store.call(backups.verify if verify else backups.save, target)
    click.echo(f"{target}: {in_figures(contents)}; {'read' if verify else 'written'} in {seconds:.2f} s")
