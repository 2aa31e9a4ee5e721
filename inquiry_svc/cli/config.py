"""`inquiry-svc config`: what holds and where it was set; `config check FILE`: is this file all right?"""

from __future__ import annotations

from pathlib import Path

import click

from inquiry_svc.cli.configured import config_option, configured


@click.group(invoke_without_command=True)
@config_option
@click.pass_context
def config(context: click.Context, file: Path | None) -> None:
    """Show every setting with its origin; secrets are masked."""
    if context.invoked_subcommand is not None:
        return
    rows = [(each.key, str(each.value), each.origin) for each in configured(file).effective]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for key, value, origin in rows:
        click.echo(f"{key.ljust(widths[0])}  {value.ljust(widths[1])}  {origin}")


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a configuration file without starting anything."""
    configured(file)
    click.echo(f"{file}: valid")
